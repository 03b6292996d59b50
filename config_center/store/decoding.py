"""Reading back what lies in Redis: it may be anything. Pure."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from client_sdk.errors import NotVerified
from client_sdk.image import decode_row
from client_sdk.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from client_sdk.state import Entry

HEAD = ("rec", "e", "v", "c")  # fields of the head, as decode_head takes them


@contextlib.contextmanager
def proof_of(ns: str) -> Iterator[None]:
    """What cannot even be read is as good as what is not signed."""
    try:
        yield
    except NotVerified as error:
        raise error if ns in str(error) else NotVerified(f"the store of {ns}: {error}") from error
    except (LookupError, ValueError) as error:
        raise NotVerified(f"the store of {ns} cannot be read: {error}") from error


def decode_head(ns: str, fields: Sequence[bytes | None]) -> Record | None:
    """The record in the head; the fields that scripts go by have to say the same."""
    frame, *hints = fields
    if frame is None:
        return None
    record = Record.decode(frame)
    signed = [str(part).encode() for part in (*record.position, record.c.hex())]
    if hints != signed:
        raise NotVerified(f"the head of {ns} does not stand where its record says")
    return record


def decode_log(ns: str, rows: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> list[Record]:
    return [_decode_log_row(ns, *row) for row in rows]


def _decode_log_row(ns: str, name: bytes, fields: Mapping[bytes, bytes]) -> Record:
    record = Record.decode(fields[b"r"])
    if name != str(record.position).encode():
        raise NotVerified(f"log row {text_of(name)} of {ns} holds the record {record.position}")
    return record


def decode_rows(ns: str, rows: Mapping[bytes, bytes]) -> tuple[Entry, ...]:
    entries = tuple(map(decode_row, rows.values()))
    for field, entry in zip(rows, entries, strict=True):
        if text_of(field) != entry.key:
            raise NotVerified(f"the row of {text_of(field)!r} in {ns} is that of {entry.key!r}")
    return entries


def text_of(raw: bytes | str) -> str:
    return raw.decode("utf-8") if isinstance(raw, bytes) else raw


def filled(record: Record, found: Mapping[str, bytes]) -> Record:
    named = {content.sha256 for op in record.header.ops for content in op.contents}
    more = {sha: found[sha] for sha in named & found.keys()}
    return Record(record.header, record.raw, record.sig, record.c, {**record.bodies, **more})
