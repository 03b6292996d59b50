"""
The high-water mark on disk: nothing below it is ever applied again, whatever a store shows.

Two slots, each with a checksum and a count, written in turn and in place: a torn write spoils the
slot it was in, and the other still holds the mark before. Writing costs no ``fsync`` by itself:
when it returns, the mark outlives this process, and what outlives the machine was synced by the
caller (the record behind it lies in the snapshot's tail, and the tail proves its own position).
Where no such record is on disk, ``sync`` asks for it. Rejected: a file replaced by ``rename`` for
each change; three times the price of the record itself.

The newest accepted heartbeat is kept beside it, so that one recorded before a restart does not
count as life after it.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING

from client_sdk.private_files import open_own
from client_sdk.records import Position
from client_sdk.steps import Mark

if TYPE_CHECKING:
    from pathlib import Path

_SLOT = struct.Struct(">QQQQ32s")  # count, epoch, revision, heartbeat (ms), chain value
_SUM = struct.Struct(">I")
_APART = 512  # one slot a sector: a torn write cannot reach the other


class PositionFile:
    """
    The mark and the newest heartbeat (milliseconds) of one directory; ``load`` first.

    Methods block on the disk and raise OSError when it refuses.
    """

    def __init__(self, path: Path) -> None:
        self.mark = Mark()
        self.beat = 0
        self._path = path
        self._count = 0
        self._handle: int | None = None

    def load(self) -> str | None:
        """Read the newer slot; a sentence when there is a file and neither slot can be read."""
        if not self._path.is_file():
            return None
        raw = self._path.read_bytes()
        slots = [slot for at in (0, _APART) if (slot := _read(raw[at : at + _APART])) is not None]
        if not slots:
            self._path.replace(self._path.with_suffix(".corrupt"))
            return "the position file cannot be read and was set aside"
        self._count, e, v, self.beat, c = max(slots)
        self.mark = Mark(Position(e, v), c)
        return None

    def raise_to(self, mark: Mark, beat: int, *, sync: bool = False) -> None:
        """Write a mark, unless it is below the one that is there: that one stays."""
        self.beat = max(self.beat, beat)
        if mark.position > self.mark.position:
            self.mark = mark
        (e, v), self._count = self.mark.position, self._count + 1
        slot = _SLOT.pack(self._count, e, v, self.beat, self.mark.c)
        handle = self._handle
        if handle is None:
            handle = self._handle = open_own(self._path, os.O_WRONLY | os.O_CREAT)
        os.lseek(handle, _APART * (self._count % 2), os.SEEK_SET)
        os.write(handle, slot + _SUM.pack(zlib.crc32(slot)))
        if sync:
            os.fsync(handle)

    def close(self) -> None:
        """Let go of the file; writing opens it again."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _read(raw: bytes) -> tuple[int, int, int, int, bytes] | None:
    slot, given = raw[: _SLOT.size], raw[_SLOT.size : _SLOT.size + _SUM.size]
    if len(given) < _SUM.size or _SUM.unpack(given)[0] != zlib.crc32(slot):
        return None
    count, e, v, beat, c = _SLOT.unpack(slot)
    return (count, e, v, beat, c) if count else None
