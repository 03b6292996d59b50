"""
The store on Redis or Valkey: four scripts and a few reads.

Scripts run on a connection of their own, one at a time, with the library's retries off: a lost
reply would otherwise run a write twice. Reads use a pool and may be repeated. Which server that is,
of a cluster, is the business of ``servers``. Bodies over 8 KiB are written before the script that
names them, so a record never points at nothing; what nothing names any more goes with
collecting.py.

Log rows and notices carry the bodies when they are small together; a notice that would be larger
than the frame cap carries none, and one whose header alone is too large is not sent: the next beat
is ahead of every client, which then reads the log. So nothing depends on a notice.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from client_sdk.errors import NotVerified
from client_sdk.image import Image
from client_sdk.records import INLINE_LIMIT, START, Position, Record
from client_sdk.transports.keyspace import Keyspace
from client_sdk.transports.redis_client import words_of
from config_center.store.base import (
    Beaten,
    BeatOutcome,
    CommitOutcome,
    Committed,
    Conflict,
    Duplicate,
    Empty,
    NewHistory,
    Retention,
    StoredHead,
    StoreDown,
    StoreRefused,
)
from config_center.store.collecting import Collector
from config_center.store.decoding import (
    HEAD,
    decode_head,
    decode_log,
    decode_rows,
    filled,
    proof_of,
    text_of,
)
from config_center.store.rings import RingsOnRedis
from config_center.store.script_line import TIMEOUT, refusal
from config_center.store.scripts import (
    hashes_of,
    is_inline,
    large_bodies,
    record_args,
    restored_args,
    rows_of,
)
from config_center.store.servers import servers_of
from config_center.store.trimming import Counts, trim

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    import redis.asyncio as redis

    from client_sdk.image import Ring
    from client_sdk.steps import Mark
    from config_center.checks.base import StoreFacts
    from config_center.store.base import Pending, Restored
    from config_center.store.servers import Server

log = logging.getLogger(__name__)
T = TypeVar("T")

_WAIT = 1.0
_ROWS_AT_ONCE = 500
_OUTCOMES: dict[bytes, CommitOutcome] = {
    b"CONFLICT": Conflict(),
    b"NEWHISTORY": NewHistory(),
    b"EMPTY": Empty(),
}


class RedisStore(RingsOnRedis):
    """
    A Redis or Valkey, by URL (redis, rediss, unix; +sentinel, +cluster).

    A change counts once ``replicas`` have it; with fewer after ``wait`` seconds its outcome is
    unknown (docs/protocol.md).
    """

    def __init__(
        self,
        url: str,
        retention: Retention | None = None,
        *,
        replicas: int = 0,
        wait: float = _WAIT,
    ) -> None:
        self._retention = retention or Retention()
        self._name = secrets.token_hex(8)
        self._replicas, self._wait = replicas, wait if replicas else 0.0
        options: dict[str, Any] = {
            "socket_timeout": TIMEOUT,
            "socket_connect_timeout": TIMEOUT,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        self._url = url
        self._servers = servers_of(url, options)
        self._counts = Counts(self._retention)

    async def open(self) -> None:
        await self._speak(self._servers.open(), self._url)

    async def close(self) -> None:
        await self._servers.close()

    async def head(self, ns: str) -> StoredHead | None:
        def ask(redis: redis.Redis) -> Awaitable[Any]:
            pipe = redis.pipeline(transaction=True)
            pipe.hmget(Keyspace(ns).head, [*HEAD, "rid"])
            pipe.info("replication")
            return pipe.execute()

        with proof_of(ns):
            (*fields, rid), info = await self._look(ns, ask)
            record = decode_head(ns, fields)
            if record is None:
                return None
            return StoredHead(record, rid == info["master_replid"].encode())

    async def create(self, pending: Pending) -> CommitOutcome:
        record = pending.record
        keys = Keyspace(record.header.ns)
        names = [keys.head, keys.log, keys.ids, keys.id_times, keys.beat]
        e, v = record.position
        frame = record.encode()
        args = [e, v, record.c.hex(), record.header.id, record.header.req_hash]
        return _outcome(await self._run(keys, "create", names, [*args, frame, _now()]))

    async def restore(
        self, pending: Pending, ring: Ring, ids: Sequence[Restored], replaces: bytes | None = None
    ) -> CommitOutcome:
        keys = Keyspace(pending.record.header.ns)
        # Beside the place where they belong: half of it is no namespace. And where no other attempt
        # writes, not even one of ours whose last command is still under way.
        attempt = secrets.token_hex(8)
        rows, hashes = (keys.beside(name, attempt) for name in (keys.current, keys.digests))
        info = await self._read(keys.ns, lambda redis: redis.info("replication"))
        await self._fill(keys.ns, hashes, hashes_of(pending))
        for sha, body in large_bodies(pending).items():
            await self._keep(keys, {keys.body(sha): body})
        if ring:
            await self.write_ring(keys.ns, ring)
        await self._fill(keys.ns, rows, rows_of(pending))
        names = [keys.head, keys.log, keys.current, keys.digests, keys.ids, keys.id_times]
        args = restored_args(pending, info["master_replid"], replaces, ids, _now())
        reply = await self._run(keys, "restore", [*names, rows, hashes], args)
        if reply[0] != b"OK":
            await self._read(keys.ns, lambda redis: redis.unlink(rows, hashes))
        if reply[0] == b"UNPREPARED":
            raise StoreDown(f"the store restarted or was emptied while {keys.ns} was put back")
        return _outcome(reply)

    async def commit(
        self, ns: str, expected: Mark, pendings: Sequence[Pending], *, adopt: bool = False
    ) -> CommitOutcome:
        keys = Keyspace(ns)
        await self._write_large(keys, pendings)
        names = [keys.head, keys.log, keys.current, keys.ids, keys.id_times]
        names += [keys.digests, keys.beat]
        now = _now()
        args: list[Any] = [
            *expected.position,
            expected.c.hex(),
            "1" if adopt else "0",
            now,
            self._retention.records,
            now - int(self._retention.id_seconds * 1000),
            self._name,
            len(pendings),
        ]
        for pending in pendings:
            args += record_args(pending)
        reply = await self._run(
            keys, "commit", names, args, replicas=self._replicas, wait=self._wait
        )
        outcome = _outcome(reply)
        if isinstance(outcome, Committed):
            await self._trim(keys, now, len(pendings))
        return outcome

    async def is_replicated(self, ns: str) -> bool:
        if not self._replicas:
            return True

        def ask(server: Server) -> Awaitable[bool]:
            return server.scripts.is_replicated(
                Keyspace(ns).beat, replicas=self._replicas, wait=self._wait
            )

        try:
            return await self._speak(self._servers.ask(ns, ask))
        except (StoreDown, StoreRefused):
            return False

    async def beat(self, ns: str, c: bytes, center: str, frame: bytes, every: float) -> BeatOutcome:
        keys = Keyspace(ns)
        args = [c.hex(), center, _now(), int(every * 3000), frame]
        reply = await self._run(keys, "beat", [keys.head, keys.beat], args)
        if reply[0] == b"OK":
            return Beaten(leader=reply[1] == b"1")
        outcome = _OUTCOMES[reply[0]]
        assert isinstance(outcome, Conflict | NewHistory | Empty)
        return outcome

    async def known_ids(self, ns: str, ids: Sequence[str]) -> set[str]:
        if not ids:
            return set()
        found = await self._read(ns, lambda redis: redis.hmget(Keyspace(ns).ids, list(ids)))
        return {name for name, row in zip(ids, found, strict=True) if row is not None}

    async def read_log(self, ns: str, after: Position) -> list[Record] | None:
        def ask(redis: redis.Redis) -> Awaitable[Any]:
            stream, pipe = Keyspace(ns).log, redis.pipeline(transaction=True)
            pipe.xrange(stream, min=f"({after}", max="+")
            pipe.xrange(stream, min="-", max="+", count=1)
            return pipe.execute()

        with proof_of(ns):
            rows, oldest = await self._look(ns, ask)
            if after > START and oldest and Position.parse(text_of(oldest[0][0])).v > after.v + 1:
                return None
            records = await asyncio.to_thread(decode_log, ns, rows)
            return await self._with_bodies(ns, records)

    async def read_image(self, ns: str) -> Image | None:
        def ask(redis: redis.Redis) -> Awaitable[Any]:
            keys, pipe = Keyspace(ns), redis.pipeline(transaction=True)
            pipe.hmget(keys.head, HEAD)
            pipe.hgetall(keys.current)
            pipe.hgetall(keys.ring)
            return pipe.execute()

        with proof_of(ns):
            fields, rows, ring = await self._look(ns, ask)
            head = decode_head(ns, fields)
            if head is None:
                return None
            entries = await asyncio.to_thread(decode_rows, ns, rows)
            wrapped = {text_of(dek): text_of(entry) for dek, entry in ring.items()}
            image = Image(head, entries, wrapped)
            missing = image.missing()
            return image.with_bodies(await self.read_bodies(ns, missing)) if missing else image

    async def read_bodies(self, ns: str, hashes: Iterable[str]) -> dict[str, bytes]:
        """Large bodies by hash; those that are not there are left out."""
        wanted = list(hashes)
        if not wanted:
            return {}
        names = [Keyspace(ns).body(sha) for sha in wanted]
        found = await self._read(ns, lambda redis: redis.mget(names))
        return {sha: body for sha, body in zip(wanted, found, strict=True) if body is not None}

    async def read_trust(self, ns: str) -> bytes | None:
        with proof_of(ns):
            name = Keyspace(ns).trust
            document: bytes | None = await self._look(ns, lambda redis: redis.get(name))
            return document

    async def write_trust(self, ns: str, document: bytes) -> None:
        await self._read(ns, lambda redis: redis.set(Keyspace(ns).trust, document))

    async def read_reports(
        self, ns: str, cursors: Mapping[str, str]
    ) -> tuple[list[tuple[str, bytes]], dict[str, str]]:
        if not cursors:
            return [], {}
        streams: dict[Any, Any] = {
            Keyspace(ns).reports(name): cursor for name, cursor in cursors.items()
        }
        names = {Keyspace(ns).reports(name): name for name in cursors}
        found = await self._read(ns, lambda redis: redis.xread(streams, count=100))
        reports, moved = [], dict(cursors)
        for stream, rows in found:
            instance = names[text_of(stream)]
            for row_id, fields in rows:
                reports.append((instance, fields[b"r"]))
                moved[instance] = text_of(row_id)
        return reports, moved

    async def idle_bodies(self, ns: str) -> dict[str, float]:
        keys = Keyspace(ns)
        return dict(await self._read(ns, lambda redis: Collector(redis).idle(keys)))

    async def remove_bodies(self, ns: str, hashes: Sequence[str], idle: float) -> int:
        keys = Keyspace(ns)
        gone = await self._read(ns, lambda redis: Collector(redis).remove(keys, hashes, idle))
        return int(gone)

    async def remove_unfinished(self, ns: str, idle: float) -> int:
        keys = Keyspace(ns)
        gone = await self._read(ns, lambda redis: Collector(redis).remove_unfinished(keys, idle))
        return int(gone)

    async def facts(self) -> StoreFacts | Mapping[str, StoreFacts | str]:
        return await self._speak(self._servers.facts())

    # -- how ----------------------------------------------------------------------------------

    async def _read(self, ns: str, ask: Callable[[redis.Redis], Awaitable[Any]]) -> Any:
        return await self._speak(self._servers.ask(ns, lambda server: ask(server.reads)))

    async def _look(self, ns: str, ask: Callable[[redis.Redis], Awaitable[Any]]) -> Any:
        """A read of what centers write: a key of another type there was put by somebody else."""
        try:
            return await self._read(ns, ask)
        except StoreRefused as error:
            if "WRONGTYPE" in str(error):
                raise NotVerified("a key of it is not of the type that centers write") from error
            raise

    async def _run(
        self, keys: Keyspace, name: str, names: list[str], args: list[Any], **wait: Any
    ) -> list[bytes]:
        """What a script answers; each is told first where and how to tell the subscribers."""
        told = [keys.events, self._servers.publish, *args]
        return await self._speak(
            self._servers.ask(keys.ns, lambda server: server.scripts.run(name, names, told, **wait))
        )

    async def _speak(self, call: Awaitable[T], url: str = "") -> T:
        """Trouble of Redis as what it means for a store; ``url`` at the first words."""
        try:
            return await call
        except ResponseError as error:
            raise refusal(error) from error
        except RedisError as error:
            raise StoreDown(words_of(error, url)) from error

    async def _fill(self, ns: str, name: str, rows: Sequence[tuple[Any, Any]]) -> None:
        for at in range(0, len(rows), _ROWS_AT_ONCE):
            await self._read(ns, partial(_set, name, dict(rows[at : at + _ROWS_AT_ONCE])))

    async def _write_large(self, keys: Keyspace, pendings: Sequence[Pending]) -> None:
        records = [pending.record for pending in pendings]
        large = {
            keys.body(sha): body
            for record in records
            for sha, body in record.bodies.items()
            if len(body) > INLINE_LIMIT or not is_inline(record)
        }
        if large:
            await self._keep(keys, large)

    async def _keep(self, keys: Keyspace, bodies: dict[Any, Any]) -> None:
        await self._read(keys.ns, lambda redis: redis.mset(bodies))

    async def _with_bodies(self, ns: str, records: list[Record]) -> list[Record]:
        wanted = {c.sha256 for r in records for op in r.header.ops for c in op.contents}
        wanted -= {sha for record in records for sha in record.bodies}
        found = await self.read_bodies(ns, wanted)
        if not found:
            return records
        return [filled(record, found) for record in records]

    async def _trim(self, keys: Keyspace, now: int, added: int) -> None:
        """Keep the log within its bounds; a failure only leaves it longer until the next change."""
        if not self._counts.is_due(keys.ns, added):
            return
        try:
            await self._read(keys.ns, lambda redis: trim(redis, keys.log, self._retention, now))
        except (StoreDown, StoreRefused) as error:
            log.warning("the log of %s could not be trimmed: %s", keys.ns, error)


def _set(name: str, rows: dict[Any, Any], redis: redis.Redis) -> Awaitable[Any]:
    return redis.hset(name, mapping=rows)


def _outcome(reply: list[bytes]) -> CommitOutcome:
    if reply[0] == b"DUP":
        return Duplicate(text_of(reply[1]))
    if reply[0] == b"OK":
        return Committed(wanted=len(reply) > 1)
    return _OUTCOMES[reply[0]]


def _now() -> int:
    return time.time_ns() // 1_000_000
