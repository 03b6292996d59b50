"""Reading the audit beside whoever writes it: the newest entries, and exports of one moment."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, TypeVar

from config_center.audit import book
from config_center.audit.chain import End, Seal
from config_center.audit.pages import entry_line, head_line, seal_line
from config_center.problems import Problem, not_found

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from client_sdk.signing import SigningKey
    from config_center.audit.book import Choice, Row

T = TypeVar("T")

_WITHIN = 5.0  # seconds
_EXPORTS = 2  # at a time


class Reading:
    """Every question has a connection of its own, so no writer waits for it."""

    def __init__(self, path: Path, key: SigningKey, clock_ms: Callable[[], int]) -> None:
        self._path = path
        self.key = key
        self._clock_ms = clock_ms
        self._exports = asyncio.Semaphore(_EXPORTS)

    async def newest(self, choice: Choice, before: int | None, limit: int) -> list[Row]:
        """The newest chosen entries, the newest first. Raises Problem 503 when it takes long."""
        return await self._ask(lambda db: book.newest(db, choice, before, limit))

    @asynccontextmanager
    async def export(self, choice: Choice, after: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """
        The lines of an export of what comes after entry number ``after``, of one moment. Raises
        Problem 404 when that entry is not kept, 503 when too many are exporting.
        """
        if self._exports.locked():
            raise Problem("busy", "others are exporting; try again", headers={"Retry-After": "5"})
        async with self._exports:
            with closing(await asyncio.to_thread(book.reader, self._path)) as db:
                yield await self._lines(db, choice, after)

    async def _lines(
        self, db: sqlite3.Connection, choice: Choice, after: int
    ) -> AsyncIterator[bytes]:
        seal, start = await asyncio.to_thread(_begin, db, after)

        async def lines() -> AsyncIterator[bytes]:
            yield head_line(seal.chain, start, excerpt=not choice.everything)
            at = start.n
            while rows := await asyncio.to_thread(book.next_page, db, choice, at, seal.last.n):
                at = rows[-1].n
                yield b"".join(entry_line(row.raw, row.hash) for row in rows)
            if choice.everything:
                now = self._clock_ms()
                yield seal_line(Seal.issue(seal.chain, start, seal.last, now, self.key))

        return lines()

    async def _ask(self, read: Callable[[sqlite3.Connection], T]) -> T:
        def ask() -> T:
            with closing(book.reader(self._path, _WITHIN)) as db:
                return read(db)

        try:
            return await asyncio.to_thread(ask)
        except sqlite3.Error as error:
            raise Problem(
                "busy", f"the audit was not read in time ({error}); ask for less at once"
            ) from error


def _begin(db: sqlite3.Connection, after: int) -> tuple[Seal, End]:
    """Hold one moment of the file: its seal, and the end that an export of it begins behind."""
    db.execute("BEGIN")
    seal = book.read_seal(db)
    start = seal.after if seal is not None and after <= seal.after.n else book.end_at(db, after)
    if seal is None or start is None:
        raise not_found(f"there is no entry {after} here; `next` of a list, or a number, says one")
    return seal, start
