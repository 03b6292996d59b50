"""
What verified history says beside the state: who published what, and what became of rollouts.

A state holds what is served now; it forgets authors and ended rollouts. This is a fold over the
headers of one namespace, in order, each once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from client_sdk.records import START
from config_center.reading import About
from config_center.rollouts.book import Book

if TYPE_CHECKING:
    from client_sdk.records import Header, Position


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
        for op in header.ops:
            known = self._credits.get(op.key, {})
            self._credits[op.key] = {
                content.version: known.get(content.version) or About.of(header)
                for content in op.contents
            }
        self.book.observe(header)

    def about(self, key: str, version: int | None) -> About | None:
        """Who brought this version, if it is served now and history reaches back to it."""
        return None if version is None else self._credits.get(key, {}).get(version)
