"""Versions of a key and what differs between them, from the journal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from client_sdk.data_keys import deks_in_bodies
from config_center import reading
from config_center.problems import not_found
from config_center.publishing import Operation, check_key
from config_center.rollouts.book import timestamp
from config_center.schemas import binding_of
from config_center.secrets.shredding import tells_of

if TYPE_CHECKING:
    from client_sdk.contents import Content
    from config_center.journal_tables import Version
    from config_center.publishing import Condition
    from config_center.space import Space

# Bodies that the journal reads in one transaction: an ordinary page. Changes wait for no more.
_AT_ONCE = 100


class Histories:
    """The histories of the keys of one namespace."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._ledger = space.ledger

    async def version(self, key: str, number: int) -> dict[str, Any]:
        """One version. Raises Problem 404."""
        found = await self._get(key, number)
        state = self._ledger.state
        value = reading.value_words(found.content, binding_of(state, key), state.entries)
        return {"key": key, **reading.version_words(found), **value}

    async def versions(self, key: str, limit: int, after: str | None) -> dict[str, Any]:
        """
        All versions, the newest first; ``after`` is a version number. One whose secrets were
        destroyed says so as ``shredded``. Raises Problem 404.
        """
        found = await self._all(key)
        rows = [reading.version_words(version) for version in reversed(found)]
        page = reading.page(rows, "version", limit, after)
        if tells_of(key, self._ledger.state):  # the bodies are read for nothing else
            hashes = {version.content.version: version.content.sha256 for version in found}
            await self._mark_shredded([(row, hashes[row["version"]]) for row in page["items"]])
        return page

    async def _mark_shredded(self, rows: list[tuple[dict[str, Any], str]]) -> None:
        """Mark rows of versions, each with the hash of its body."""
        for at in range(0, len(rows), _AT_ONCE):
            part = rows[at : at + _AT_ONCE]
            named = await self._ledger.journal.of_bodies({sha for _, sha in part}, _deks_in)
            for row, sha in part:
                gone = self._space.shredded_words(named.get(sha, ()))
                if gone is not None:
                    row["shredded"] = gone

    async def diff(
        self, key: str, before: int | None, after: int | None, form: str
    ) -> dict[str, Any]:
        """From ``before`` (none: stable while a canary runs, else one earlier) to ``after``."""
        numbers = [version.content.version for version in await self._all(key)]
        new = numbers[-1] if after is None else after
        old = self._earlier(key, numbers, new) if before is None else before
        first, second = await self._get(key, old), await self._get(key, new)
        state = self._ledger.state
        return await asyncio.to_thread(reading.compare, key, state, first, second, form)

    async def way_back(self, key: str, to: int | None, condition: Condition) -> Operation:
        """
        The operation that brings back version ``to``, or the stable one before. Before one that is
        itself a way back means before what it went back to: asked twice, it goes back twice.
        """
        check_key(key)
        entry = self._ledger.state.entries.get(key)
        version, expects = to, None
        if to is None and entry is not None:
            below = (entry.content and entry.content.rollback_of) or entry.version
            version = await self._ledger.journal.stable_before(self._ledger.ns, key, below)
            expects = (entry.version,)
        content = await self._kept(key, version)
        if content is None and version is not None:
            await self._refuse_pruned(key, version)
            raise not_found(f"{key} has no version {version}", key=key, version=version)
        return Operation("rollback", key, content=content, expects=expects, condition=condition)

    async def _kept(self, key: str, number: int | None) -> Content | None:
        if number is None:
            return None
        found = await self._ledger.journal.version(self._ledger.ns, key, number)
        return None if found is None else found.content

    async def _refuse_pruned(self, key: str, number: int) -> None:
        """Raise Problem 404 that says so for a version that was kept once."""
        at = await self._ledger.journal.pruned_until(self._ledger.ns, key, number)
        if at is not None:
            raise not_found(
                f"version {number} of {key} was pruned, on {timestamp(at)} at the latest: it was "
                "older than retention.version_days and not among the newest retention.versions",
                key=key,
                version=number,
            )

    def _earlier(self, key: str, numbers: list[int], new: int) -> int:
        entry = self._ledger.state.entries.get(key)
        if entry is not None and entry.rollout is not None and entry.version not in (None, new):
            return entry.version or new
        earlier = [number for number in numbers if number < new]
        if not earlier:
            raise not_found(f"{key} has no version before {new}", key=key)
        return earlier[-1]

    async def _all(self, key: str) -> list[Version]:
        check_key(key)
        found = await self._ledger.journal.versions(self._ledger.ns, key)
        if not found:
            raise not_found(f"there is no key {key!r} in {self._ledger.ns}", key=key)
        return found

    async def _get(self, key: str, number: int) -> Version:
        check_key(key)
        found = await self._ledger.journal.version(self._ledger.ns, key, number)
        if found is None or found.content.body is None:
            await self._refuse_pruned(key, number)
            raise not_found(f"{key} has no version {number}", key=key, version=number)
        return found


def _deks_in(body: bytes) -> frozenset[str]:
    return deks_in_bodies([body])
