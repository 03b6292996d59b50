"""
The last verified state on this host's disk: what serves when nobody can be reached.

A **generation** is a whole image and a tail of records behind it, each checksummed; a change
appends its record and costs the same in a namespace of 20,000 keys as in one of 20. A long tail is
folded into a new generation, after it was served; two generations are kept. Reading verifies
everything again: signature of the head (also by a key that is refused since: it was believed when
this was written), digest of the rows, chain and digest of each record. A base that cannot be read
is set aside (``.corrupt-N``) and the generation before is used. Of a tail counts what proves
itself: what lies behind the first damage is read again from the center.

A record is appended only where it links to what the disk holds (``_reached``). After a write that
failed, a torn tail or a generation set aside nothing is known to link, so the next step begins a
new generation: nothing is ever written behind damage, where no reader would find it.

The **position** lies in a file of its own (position_file.py) and is never lowered. It alone decides
what may be applied: an older snapshot may be served (stale), nothing below the position is
accepted. Everything is on disk (fsync) before it serves; a disk that refuses makes the client ``not
durable``, it does not stop it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from client_sdk.errors import NotVerified, StateInUse
from client_sdk.image import Image
from client_sdk.kept_back import KeptBack
from client_sdk.position_file import PositionFile
from client_sdk.private_files import open_own, require_own, require_own_files
from client_sdk.records import Record
from client_sdk.state import NamespaceState
from client_sdk.steps import Mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from client_sdk.image import Ring
    from client_sdk.signing import Verifier

_FRAME = struct.Struct(">II")
_KEPT = 2
_FOLD_RECORDS = 1000
_FOLD_BASES = 4
_FOLD_BYTES = 1024 * 1024  # below this a fold saves nothing worth its fsyncs


@dataclass(frozen=True, slots=True)
class Restored:
    """
    What the disk knew: a verified state and its head (``None``: nothing), the mark and the newest
    heartbeat (milliseconds). ``notes`` say what could not be read.
    """

    state: NamespaceState | None = None
    head: Record | None = None
    ring: Ring = field(default_factory=dict)
    mark: Mark = field(default_factory=Mark)
    beat: int = 0
    notes: tuple[str, ...] = ()


class Snapshots:
    """
    One directory of one instance. Methods block on the disk: call them from a thread, one at a
    time.

    ``token`` guards what no signature covers (kept_back.py). Raises StateInUse when another process
    has the directory, SettingInvalid when others may write there, OSError when the disk refuses.
    """

    def __init__(self, home: Path, ns: str, token: str | None = None) -> None:
        self.kept_back = KeptBack(home, token)
        self._home = home
        self._ns = ns
        self._lock: int | None = None
        self._number = 0
        self._tail_handle: int | None = None
        self._reached: bytes | None = None
        self._position = PositionFile(home / "position")
        self._ring: Ring = {}
        self._forget = False  # an image on disk holds a data key that was shredded
        self._base_bytes = 0
        self._tail_records = 0
        self._tail_bytes = 0

    def open(self) -> None:
        """Make the directory and take it for this process."""
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        require_own(self._home, "the state directory")
        require_own_files(self._home, "the state directory")
        self._lock = open_own(self._home / "lock", os.O_RDWR | os.O_CREAT)
        if not _try_lock(self._lock):
            self.close()
            raise StateInUse(
                f"another process uses {self._home}: every process needs an instance name, or a "
                "state directory, of its own"
            )
        for draft in self._home.glob(".*.tmp"):  # of a process that died while it wrote
            draft.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the directory."""
        self.kept_back.close()
        self._position.close()
        self._close_tail()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- reading ------------------------------------------------------------------------------

    def restore(self, verifier: Verifier) -> Restored:
        """The newest generation that can be proven."""
        verifier = verifier.past
        notes: list[str] = []
        notes.extend(filter(None, [self._position.load()]))
        for number in sorted(self._generations(), reverse=True):
            self._number = max(self._number, number)
            try:
                image, state = self._read_base(number, verifier)
            except (OSError, NotVerified, ValueError, struct.error) as error:
                notes.append(f"snapshot {number} was set aside: {error}")
                self._set_aside(number)
                continue
            state, head = self._read_tail(number, image.head, state, verifier, notes)
            self._ring = self._read_ring(notes) or image.ring
            self._forget = not image.ring.keys() <= self._ring.keys()
            known = self._position
            mark = max(known.mark, Mark(state.position, state.c), key=lambda one: one.position)
            return Restored(state, head, self._ring, mark, known.beat, tuple(notes))
        return Restored(mark=self._position.mark, beat=self._position.beat, notes=tuple(notes))

    def _generations(self) -> list[int]:
        names = (path.name for path in self._home.glob("generation-*.base"))
        return [int(name[11:-5]) for name in names if name[11:-5].isdigit()]

    def _read_base(self, number: int, verifier: Verifier) -> tuple[Image, NamespaceState]:
        raw = self._base(number).read_bytes()
        image = Image.decode(_checked(raw))
        if image.missing():
            raise NotVerified("bodies are missing in it")
        self._base_bytes = len(raw)
        return image, image.prove(self._ns, verifier)

    def _read_tail(
        self,
        number: int,
        head: Record,
        state: NamespaceState,
        verifier: Verifier,
        notes: list[str],
    ) -> tuple[NamespaceState, Record]:
        tail = self._tail(number)
        try:
            for frame in _frames(tail.read_bytes()) if tail.is_file() else ():
                record = Record.decode(frame)
                if not record.verify(verifier) or record.header.p != state.c:
                    raise NotVerified("a record does not follow the one before it")
                state, head = state.apply(record), record
                self._tail_records += 1
                self._tail_bytes += len(frame)
        except (OSError, NotVerified, ValueError) as error:
            notes.append(f"snapshot {number} counts up to {state.position} only: {error}")
            return state, head
        self._reached = state.c if number == self._number else None
        return state, head

    def _read_ring(self, notes: list[str]) -> Ring:
        path = self._home / "ring"
        try:
            plain = orjson.loads(path.read_bytes()) if path.is_file() else {}
            return {str(dek): str(entry) for dek, entry in plain.items()}
        except (OSError, ValueError, AttributeError) as error:
            notes.append(f"the kept key ring cannot be read: {error}")
            return {}

    # -- writing ------------------------------------------------------------------------------

    def advance(
        self,
        state: NamespaceState,
        records: Sequence[Record],
        head: Record,
        ring: Ring,
        beat: int = 0,
    ) -> None:
        """Write down a verified step, whole, before it serves. ``head`` is the state's own."""
        reached, self._reached = self._reached, None
        self.keep_ring(ring)
        follows = bool(records) and records[0].header.p == reached and not self._forget
        if follows:
            self._append(state, records)
        else:
            self._begin(Image(head, tuple(state.entries.values()), ring))
        self._position.raise_to(Mark(state.position, state.c), beat, sync=not follows)
        self._reached = state.c

    def keep_ring(self, ring: Ring) -> None:
        """
        Write the ring down. A data key that left it was shredded: the images that still hold it go
        with the next step.
        """
        if ring == self._ring:
            return
        self._forget = self._forget or not self._ring.keys() <= ring.keys()
        self._replace(self._home / "ring", orjson.dumps(ring))
        self._ring = dict(ring)

    def note_beat(self, beat: int) -> None:
        """Keep the newest accepted heartbeat, in milliseconds."""
        self._position.raise_to(Mark(), beat)

    @property
    def due(self) -> bool:
        """True when the tail is long enough to be folded."""
        long = max(_FOLD_BYTES, _FOLD_BASES * self._base_bytes)
        return self._tail_records > _FOLD_RECORDS or self._tail_bytes > long

    def fold(self, state: NamespaceState, head: Record) -> None:
        """Begin a new generation with what is on disk already."""
        self._begin(Image(head, tuple(state.entries.values()), self._ring))
        self._reached = state.c

    def _append(self, state: NamespaceState, records: Sequence[Record]) -> None:
        frames = b"".join(_framed(_whole(record, state).encode()) for record in records)
        tail = self._tail_handle
        if tail is None:
            tail = self._tail_handle = open_own(self._tail(self._number), os.O_WRONLY | os.O_APPEND)
        try:
            if os.write(tail, frames) < len(frames):
                raise OSError(errno.ENOSPC, "only a part was written")
            os.fsync(tail)
        except OSError:
            self._close_tail()
            raise
        self._tail_records += len(records)
        self._tail_bytes += len(frames)

    def _close_tail(self) -> None:
        if self._tail_handle is not None:
            os.close(self._tail_handle)
            self._tail_handle = None

    def _begin(self, image: Image) -> None:
        self._close_tail()
        number = self._number + 1
        data = _framed(image.encode())
        os.close(_open_private(self._tail(number)))
        self._replace(self._base(number), data)
        self._number, self._base_bytes = number, len(data)
        self._tail_records = self._tail_bytes = 0
        for old in sorted(self._generations())[: -1 if self._forget else -_KEPT]:
            for path in (self._base(old), self._tail(old)):
                path.unlink(missing_ok=True)
        self._forget = False

    def _replace(self, path: Path, data: bytes) -> None:
        fresh = path.with_name(path.name + ".new")
        with open(_open_private(fresh), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        if os.name == "nt":  # a directory cannot be opened there
            return
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


def newest_image(base: Path) -> Image:
    """
    All that the generation with this ``.base`` holds, with the records of the tail and the ring
    beside it. Nothing is verified: whoever takes it proves it. Raises NotVerified, OSError.
    """
    try:
        image = Image.decode(_checked(base.read_bytes()))
    except (ValueError, struct.error) as error:
        raise NotVerified(f"{base.name} is no snapshot: {error}") from error
    head = image.head
    state = NamespaceState.from_entries(image.entries, head.position, head.c)
    tail, ring = base.with_suffix(".tail"), base.with_name("ring")
    with contextlib.suppress(ValueError):  # torn: what is before counts
        for frame in _frames(tail.read_bytes()) if tail.is_file() else ():
            record = Record.decode(frame)
            if record.header.p != state.c:
                break
            state, head = state.apply(record), record
    known: dict[str, str] = {}
    with contextlib.suppress(ValueError):  # damaged: what came with the image counts
        known = orjson.loads(ring.read_bytes()) if ring.is_file() else {}
    return Image(head, tuple(state.entries.values()), {**image.ring, **known})


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
            raise ValueError("it ends inside a record")
        if not size or zlib.crc32(data) != crc:  # a crash may leave zeros, whose checksum is zero
            raise ValueError("the checksum of a record is wrong")
        yield data
        at += _FRAME.size + size
    if at != len(raw):
        raise ValueError("it ends inside a record")


def _open_private(path: Path) -> int:
    return open_own(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)


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
