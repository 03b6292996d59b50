"""Counts of keys and bytes, kept up with the work of a change, not of the namespace."""

from __future__ import annotations

from itertools import compress, count
from operator import is_not
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from client_sdk.contents import Content, Op
    from client_sdk.state import Entry, NamespaceState


class Sizes:
    """
    Counts of one namespace. States share the buckets that a change did not touch, so only buckets
    that are other objects than last time are counted again.
    """

    def __init__(self) -> None:
        self._shards: tuple[Mapping[str, Entry], ...] = ()
        self._counts: list[tuple[int, int]] = []
        self._keys = 0
        self._bytes = 0

    def of(self, state: NamespaceState) -> tuple[int, int]:
        """(keys, bytes) of a state; reserved keys do not count."""
        shards = state.entries.shards
        if shards is self._shards:
            return self._keys, self._bytes
        if not self._shards:
            self._shards = ({},) * len(shards)
            self._counts = [(0, 0)] * len(shards)
        for index in compress(count(), map(is_not, self._shards, shards)):
            keys, size = _count(shards[index])
            self._keys += keys - self._counts[index][0]
            self._bytes += size - self._counts[index][1]
            self._counts[index] = (keys, size)
        self._shards = shards
        return self._keys, self._bytes

    def after(self, state: NamespaceState, ops: Iterable[Op]) -> tuple[int, int]:
        """(keys, bytes) of the state after these operations."""
        keys, total = self.of(state)
        for op in ops:
            if op.key.startswith("_"):
                continue
            entry = state.entries.get(op.key)
            before = () if entry is None else entry.contents
            keys += bool(op.contents) - bool(before)
            total += _bytes(op.contents) - _bytes(before)
        return keys, total


def _count(shard: Mapping[str, Entry]) -> tuple[int, int]:
    entries = [e for e in shard.values() if e.exists and not e.key.startswith("_")]
    return len(entries), sum(_bytes(entry.contents) for entry in entries)


def _bytes(contents: Iterable[Content]) -> int:
    return sum(content.size for content in contents)
