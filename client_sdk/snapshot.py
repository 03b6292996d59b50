"""
The last verified state on this host's disk: what serves when nobody can be reached.

A **generation** is a whole image and a tail of records behind it, each checksummed; a change
appends its record and costs the same in a namespace of 20,000 keys as in one of 20. A long tail is
folded into a new generation; two generations are kept. Reading verifies everything again: signature
of the head, digest of the rows, chain and digest of each record. What cannot be read is set aside
(``.corrupt-N``) and the generation before is used; a tail that ends in the middle of a record lost
only what was never acknowledged to anybody.

The **position** lies in a file of its own and is never lowered. It alone decides what may be
applied: an older snapshot may be served (stale), nothing below the position is accepted. Everything
is on disk (fsync) before it serves; a disk that refuses makes the client ``not durable``, it does
not stop it.
"""

from __future__ import annotations

import base64
import contextlib
import os
import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from client_sdk.errors import NotVerified, StateInUse
from client_sdk.image import Image, decode_row, encode_row
from client_sdk.records import Position, Record
from client_sdk.state import Entry, NamespaceState
from client_sdk.steps import Mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from client_sdk.image import Ring
    from client_sdk.signing import Verifier

_FRAME = struct.Struct(">II")
_KEPT = 2
_FOLD_RECORDS = 1000
_FOLD_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Restored:
    """What the disk knew: a verified state and its head (``None``: nothing), and the mark."""

    state: NamespaceState | None = None
    head: Record | None = None
    ring: Ring = field(default_factory=dict)
    mark: Mark = field(default_factory=Mark)
    held: Mapping[str, Entry] = field(default_factory=dict)
    groups: tuple[frozenset[str], ...] = ()
    notes: tuple[str, ...] = ()


class Snapshots:
    """
    One directory of one instance. Methods block on the disk: call them from a thread, one at a
    time.

    Raises StateInUse when another process has the directory, OSError when the disk refuses.
    """

    def __init__(self, home: Path, ns: str) -> None:
        self._home = home
        self._ns = ns
        self._lock: int | None = None
        self._number = 0
        self._tail_records = 0
        self._tail_bytes = 0

    def open(self) -> None:
        """Make the directory and take it for this process."""
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        if not _try_lock(self._lock):
            self.close()
            raise StateInUse(
                f"another process uses {self._home}: every process needs an instance name, or a "
                "state directory, of its own"
            )

    def close(self) -> None:
        """Let go of the directory."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- reading ------------------------------------------------------------------------------

    def restore(self, verifier: Verifier) -> Restored:
        """The newest generation that can be proven."""
        notes: list[str] = []
        mark = self._read_mark(notes)
        for number in sorted(self._generations(), reverse=True):
            self._number = max(self._number, number)
            try:
                state, head, ring = self._read(number, verifier)
            except (OSError, NotVerified, ValueError, struct.error) as error:
                notes.append(f"snapshot {number} was set aside: {error}")
                self._set_aside(number)
                continue
            held, groups = self._read_held(state, notes)
            if state.position > mark.position:
                mark = Mark(state.position, state.c)
            return Restored(state, head, ring, mark, held, groups, tuple(notes))
        return Restored(mark=mark, notes=tuple(notes))

    def _generations(self) -> list[int]:
        names = (path.name for path in self._home.glob("generation-*.base"))
        return [int(name[11:-5]) for name in names if name[11:-5].isdigit()]

    def _read(self, number: int, verifier: Verifier) -> tuple[NamespaceState, Record, Ring]:
        image = Image.decode(_checked(self._base(number).read_bytes()))
        state = image.prove(self._ns, verifier)
        head = image.head
        tail = self._tail(number)
        for frame in _frames(tail.read_bytes()) if tail.is_file() else ():
            record = Record.decode(frame)
            if not record.verify(verifier) or record.header.p != state.c:
                raise NotVerified("its tail does not follow it")
            state, head = state.apply(record), record
        return state, head, image.ring

    def _read_mark(self, notes: list[str]) -> Mark:
        path = self._home / "position"
        if not path.is_file():
            return Mark()
        try:
            plain = orjson.loads(path.read_bytes())
            return Mark(Position(plain["e"], plain["v"]), bytes.fromhex(plain["c"]))
        except (ValueError, KeyError, TypeError) as error:
            notes.append(f"the position file was set aside: {error}")
            path.rename(path.with_suffix(".corrupt"))
            return Mark()

    def _read_held(
        self, state: NamespaceState, notes: list[str]
    ) -> tuple[Mapping[str, Entry], tuple[frozenset[str], ...]]:
        path = self._home / "held"
        if not path.is_file():
            return {}, ()
        try:
            plain = orjson.loads(path.read_bytes())
            entries = [decode_row(base64.b64decode(row)) for row in plain["rows"]]
        except (ValueError, KeyError, TypeError, NotVerified) as error:
            notes.append(f"what was held back is not known any more: {error}")
            return {}, ()
        known = {entry.key: entry for entry in entries if entry.key in state.entries}
        return known, tuple(frozenset(group) for group in plain["groups"])

    # -- writing ------------------------------------------------------------------------------

    def advance(
        self, state: NamespaceState, records: Sequence[Record], head: Record, ring: Ring
    ) -> None:
        """Write down a verified step, whole, before it serves."""
        short = self._tail_records < _FOLD_RECORDS and self._tail_bytes < _FOLD_BYTES
        if records and self._number and short:
            self._append(state, records)
            self._write_mark(state)
            return
        self._begin(Image(head, tuple(state.entries.values()), ring))
        self._write_mark(state)

    def write_held(self, held: Mapping[str, Entry], groups: Iterable[Iterable[str]]) -> None:
        """Write down the older entries that serve on."""
        rows = [base64.b64encode(encode_row(entry)).decode("ascii") for entry in held.values()]
        plain = {"rows": rows, "groups": [sorted(group) for group in groups]}
        self._replace(self._home / "held", orjson.dumps(plain))

    def _append(self, state: NamespaceState, records: Sequence[Record]) -> None:
        frames = b"".join(_framed(_whole(record, state).encode()) for record in records)
        with self._tail(self._number).open("ab") as tail:
            tail.write(frames)
            tail.flush()
            os.fsync(tail.fileno())
        self._tail_records += len(records)
        self._tail_bytes += len(frames)

    def _begin(self, image: Image) -> None:
        number = self._number + 1
        self._replace(self._base(number), _framed(image.encode()))
        self._number, self._tail_records, self._tail_bytes = number, 0, 0
        for old in self._generations():
            if old <= number - _KEPT:
                for path in (self._base(old), self._tail(old)):
                    path.unlink(missing_ok=True)

    def _write_mark(self, state: NamespaceState) -> None:
        e, v = state.position
        self._replace(self._home / "position", orjson.dumps({"e": e, "v": v, "c": state.c.hex()}))

    def _replace(self, path: Path, data: bytes) -> None:
        fresh = path.with_name(path.name + ".new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        folder = os.open(self._home, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _set_aside(self, number: int) -> None:
        for path in (self._base(number), self._tail(number)):
            with contextlib.suppress(FileNotFoundError):
                path.rename(path.with_name(f"{path.name}.corrupt-{number}"))

    def _base(self, number: int) -> Path:
        return self._home / f"generation-{number}.base"

    def _tail(self, number: int) -> Path:
        return self._home / f"generation-{number}.tail"


def _whole(record: Record, state: NamespaceState) -> Record:
    """The record with every body that the state after it holds for its keys."""
    bodies = dict(record.bodies)
    for op in record.header.ops:
        entry = state.entries.get(op.key)
        for content in entry.contents if entry is not None else ():
            if content.body is not None and any(c.sha256 == content.sha256 for c in op.contents):
                bodies[content.sha256] = content.body
    return Record(record.header, record.raw, record.sig, record.c, bodies)


def _framed(data: bytes) -> bytes:
    return _FRAME.pack(len(data), zlib.crc32(data)) + data


def _checked(raw: bytes) -> bytes:
    size, crc = _FRAME.unpack_from(raw)
    data = raw[_FRAME.size : _FRAME.size + size]
    if len(data) != size or zlib.crc32(data) != crc:
        raise ValueError("its checksum is wrong")
    return data


def _frames(raw: bytes) -> Iterator[bytes]:
    at = 0
    while at + _FRAME.size <= len(raw):
        size, crc = _FRAME.unpack_from(raw, at)
        data = raw[at + _FRAME.size : at + _FRAME.size + size]
        if len(data) < size:
            return  # torn by a crash while it was written: never served, never acknowledged
        if zlib.crc32(data) != crc:
            raise ValueError("the checksum of its tail is wrong")
        yield data
        at += _FRAME.size + size


def _try_lock(handle: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows: two processes are not kept apart there
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
