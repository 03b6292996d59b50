"""The scripts of the store: how they are sent, and what they are given about a record."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

import redis.asyncio as redis
from redis.exceptions import NoScriptError

from client_sdk.image import encode_row
from client_sdk.records import INLINE_LIMIT, Record
from client_sdk.state import bucket_of
from config_center.store.base import Restored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config_center.store.base import Pending

FRAME_CAP = 16 * 1024  # bytes; a larger notice would hold up those behind it


class Script:
    """A script file, sent by hash and loaded where it is not known yet."""

    def __init__(self, name: str) -> None:
        self._text = resources.files(__package__).joinpath(f"{name}.lua").read_text("utf-8")
        self._sha: str | None = None

    async def run(self, client: redis.Redis, keys: list[str], args: list[Any]) -> Any:
        """Its answer."""
        if self._sha is None:
            self._sha = await client.script_load(self._text)
        try:
            return await client.evalsha(self._sha, len(keys), *keys, *args)
        except NoScriptError:  # a restarted server; nothing ran
            await client.script_load(self._text)
            return await client.evalsha(self._sha, len(keys), *keys, *args)


def record_args(pending: Pending) -> list[Any]:
    """What ``commit`` is told of one record."""
    record = pending.record
    header = record.header
    inline = is_inline(record)
    frame = record.encode(bodies=inline)
    bare = record.encode(bodies=False)
    notice = frame if len(frame) <= FRAME_CAP else bare if len(bare) <= FRAME_CAP else b""
    args: list[Any] = [header.e, header.v, record.c.hex(), header.id, header.req_hash]
    args += [frame, bare, notice, len(pending.entries)]
    for entry in pending.entries:
        args += [entry.key, encode_row(entry, INLINE_LIMIT)]
    buckets = {bucket_of(entry.key) for entry in pending.entries}
    args.append(len(buckets))
    for index in buckets:
        args += [index, pending.state.buckets[index].hex()]
    return args


def is_inline(record: Record) -> bool:
    """True when all its bodies fit into the log and the notice."""
    return sum(map(len, record.bodies.values())) <= INLINE_LIMIT


def restored_args(
    pending: Pending, rid: str, replaces: bytes | None, ids: Sequence[Restored], now: int
) -> list[Any]:
    """
    What ``restore`` is told, behind the channel and its command; ``rid`` is the replication id from
    before all that was made ready, ``replaces`` the chain value of a head that may go.
    """
    record, rows = pending.record, "1" if pending.entries else "0"
    args: list[Any] = [*record.position, record.c.hex(), record.encode(), now, rid, rows]
    args.append("" if replaces is None else replaces.hex())
    for each in (Restored(record.header.id, record.position, record.c, ""), *ids):
        args += [each.id, f"{each.position.e} {each.position.v} {each.c.hex()} {each.req_hash}"]
    return args


def rows_of(pending: Pending) -> list[tuple[Any, Any]]:
    """Every key with its row."""
    return [(entry.key, encode_row(entry, INLINE_LIMIT)) for entry in pending.entries]


def hashes_of(pending: Pending) -> list[tuple[Any, Any]]:
    """Every bucket that holds something, with its hash."""
    used = sorted({bucket_of(entry.key) for entry in pending.entries})
    return [(index, pending.state.buckets[index].hex()) for index in used]


def large_bodies(pending: Pending) -> dict[str, bytes]:
    """The bodies of its entries that do not lie in their rows, by hash."""
    return {
        content.sha256: content.body
        for entry in pending.entries
        for content in entry.contents
        if content.body is not None and content.size > INLINE_LIMIT
    }
