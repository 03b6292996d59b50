"""
What verified history says beside the state: who published what, and what became of rollouts.

A state holds what is served now; it forgets authors and ended rollouts. This is a fold over the
headers of one namespace, in order, each once. Where the journal was pruned it begins at the base:
who brought a version that is kept is known, rollouts that ended before are not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from client_sdk.records import START
from config_center.reading import About
from config_center.rollouts.book import Book

if TYPE_CHECKING:
    from collections.abc import Sequence

    from client_sdk.records import Header, Position
    from client_sdk.state import Entry


@dataclass(slots=True)
class Past:
    """The fold: feed :meth:`fold`, read ``book`` and :meth:`about`."""

    position: Position = START
    book: Book = field(default_factory=Book)
    _credits: dict[str, dict[int, About]] = field(default_factory=dict)

    def fold(self, header: Header) -> None:
        """Take the next change; an older one is passed over."""
        if header.position <= self.position:
            return
        self.position = header.position
        self.credit(header)
        self.book.observe(header)

    def credit(self, header: Header) -> None:
        """Take what a change says of versions, and no more: one that lies before the base."""
        for op in header.ops:
            known = self._credits.get(op.key, {})
            self._credits[op.key] = {
                content.version: known.get(content.version) or About.of(header)
                for content in op.contents
            }

    def begin(self, entries: Sequence[Entry], position: Position) -> None:
        """Go on from the base: its entries, as they were at ``position``."""
        for entry in entries:
            known = self._credits.get(entry.key, {})
            versions = {content.version for content in entry.contents}
            self._credits[entry.key] = {n: about for n, about in known.items() if n in versions}
        self.book.begin(entries)
        self.position = max(self.position, position)

    def about(self, key: str, version: int | None) -> About | None:
        """Who brought this version, if it is served now and history reaches back to it."""
        return None if version is None else self._credits.get(key, {}).get(version)
