"""
Secrets in the history of keys: destroyed, sealed where they stand in clear, sealed anew.

The rules are in ``shredding`` and in ``client_sdk.sealing``; here is the doing. Nothing here
answers, logs or keeps a secret: what is opened is sealed again in the same call.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from client_sdk.bodies import decode_body
from client_sdk.errors import SealedValue
from client_sdk.sealing import RingEntry, clear_secrets, data_keys, open_value, pointer
from config_center import reading
from config_center.changes import Wish
from config_center.ledger.rings import settle_now
from config_center.problems import Problem, invalid, not_found
from config_center.publishing import Change, Condition, Operation, check_key
from config_center.schemas import PREFIX, binding_of
from config_center.secrets.shredding import plan_shred

if TYPE_CHECKING:
    from collections.abc import Callable

    from client_sdk.state import NamespaceState
    from config_center.access import Actor
    from config_center.changes import Changes
    from config_center.journal_tables import Version
    from config_center.ledger.words import Planned
    from config_center.secrets.exchange import Exchange
    from config_center.space import Space

log = logging.getLogger(__name__)


class Secrets:
    """The part of the service that is about secrets of the past."""

    def __init__(
        self, space_of: Callable[[str], Space], changes: Changes, exchange: Exchange
    ) -> None:
        self._space = space_of
        self._changes = changes
        self._exchange = exchange

    async def would_shred(self, ns: str, key: str, version: int) -> dict[str, Any]:
        """
        Which versions lose their secrets with those of this one, and nothing done; ``shredded``
        says since when, of one that has none left to lose; ``served_by`` names the instances that
        may still need one of them. Raises Problem 400, 404, and 409 where shredding would.
        """
        space = self._space(ns)
        deks = await self._deks(space, key, version)
        left = plan_shred(space.ledger.state, key, version, deks).ops
        shared = await self._sharing(space, key, deks)
        already = None if left else space.shredded_words(deks)
        served_by = space.fleet.may_serve(key, shared)
        return {"key": key, "versions": shared, "shredded": already, "served_by": served_by}

    async def shred(
        self, ns: str, key: str, version: int, actor: Actor, comment: str = ""
    ) -> dict[str, Any]:
        """
        Destroy the secrets of one version, and of every other that shares them. To be asked again
        after any failure. Raises Problem 400, 404, 409.
        """
        space = self._space(ns)
        ledger = space.ledger
        deks = await self._deks(space, key, version)
        shared = await self._sharing(space, key, deks)

        def plan(state: NamespaceState) -> Planned:
            return plan_shred(state, key, version, deks)

        wish = Wish(actor, "shred", {"key": key, "version": version}, comment)
        if plan(ledger.state).ops:
            await self._changes.submit(space, plan, wish)
            log.warning("%s: %s shredded version %d of %s", ns, actor.name, version, key)
        async with ledger.lock:
            await settle_now(ledger)
        return {"key": key, "data_keys": sorted(deks), "versions": shared}

    async def in_clear(self, ns: str) -> list[dict[str, Any]]:
        """Versions that hold in clear what is secret today; where, never what."""
        space = self._space(ns)
        state = space.ledger.state
        rows = []
        for key in sorted(k.removeprefix(PREFIX) for k in state.entries if k.startswith(PREFIX)):
            binding, entry = binding_of(state, key), state.entries.get(key)
            if binding is None or not binding.secret_paths:
                continue
            for found in await self._versions(space, key):
                clear = clear_secrets(decode_body(found.content)[0], binding.secret_paths)
                if clear:
                    number = found.content.version
                    served = entry is not None and number in [c.version for c in entry.contents]
                    fields = [pointer(path) for path in clear]
                    ident = f"{key}@{number}"
                    rows.append(
                        {"id": ident, "key": key, "version": number, "fields": fields}
                        | {"served": served}
                    )
        return rows

    async def seal(self, ns: str, actor: Actor, comment: str = "") -> dict[str, Any]:
        """
        Publish anew, sealed, every value that everybody gets and that holds a secret in clear.
        Raises Problem 409 while a rollout runs on one of them.
        """
        space = self._space(ns)
        served = {row["key"] for row in await self.in_clear(ns) if row["served"]}
        operations = tuple(filter(None, (self._as_it_is(space, key) for key in sorted(served))))
        sealed: dict[str, Any] = {"change": None, "keys": []}
        if operations:
            keys = [operation.key for operation in operations]
            wish = Wish(actor, "seal", {"keys": keys}, comment)
            header, _ = await self._changes.commit(space, Change(operations), wish)
            words = reading.change_words(header, keys, [])
            sealed = {"change": words["change"], "keys": words["keys"]}
        return {**sealed, "in_clear": await self.in_clear(ns)}

    async def reseal(self, ns: str, key: str, actor: Actor, comment: str = "") -> dict[str, Any]:
        """
        Publish the present value anew under new data keys: the way to exchange one, or to shred
        what is served. Raises Problem 400, 404, 409, 503.
        """
        space = self._space(ns)
        entry = space.entry(key)
        content = entry.content
        value = None if content is None else decode_body(content)[0]
        if content is None or not data_keys(value):
            raise invalid(f"{key} has no sealed fields", key=key)
        ring = {name: RingEntry.parse(text) for name, text in space.ledger.ring.items()}
        try:
            opened = open_value(value, ns, key, ring, self._exchange.all)
        except SealedValue as error:
            raise Problem("key-missing", error.reason, key=key) from None
        operation = Operation(
            "put",
            key,
            opened,
            format=content.format,
            condition=Condition(if_version=entry.latest),
            anew=True,
        )
        wish = Wish(actor, "reseal", {"key": key, "version": entry.latest}, comment)
        header, warnings = await self._changes.commit(space, Change((operation,)), wish)
        return reading.publish_words(header, key, warnings)

    def _as_it_is(self, space: Space, key: str) -> Operation | None:
        """What is served, to be published again; None for what a canary alone has."""
        entry = space.ledger.state.entries[key]
        if entry.content is None:
            return None
        value, text = decode_body(entry.content)
        now = Condition(if_version=entry.latest)
        return Operation("put", key, value, text, entry.content.format, condition=now)

    async def _deks(self, space: Space, key: str, version: int) -> frozenset[str]:
        """The data keys of a version. Raises Problem 400 for one that has none, 404."""
        check_key(key)
        found = await space.ledger.journal.version(space.ledger.ns, key, version)
        if found is None or found.content.body is None:
            raise not_found(f"{key} has no version {version}", key=key, version=version)
        value = decode_body(found.content)[0]
        deks = data_keys(value)
        binding = binding_of(space.ledger.state, key)
        if not deks and binding is not None and clear_secrets(value, binding.secret_paths):
            raise invalid(
                f"version {version} of {key} holds its secret in clear, which no key can take "
                "away: exchange the secret where it was issued; the version goes when retention "
                "lets it go",
                key=key,
            )
        if not deks:
            raise invalid(f"version {version} of {key} has no sealed fields", key=key)
        return deks

    async def _sharing(self, space: Space, key: str, deks: frozenset[str]) -> list[int]:
        """The versions of which any of these data keys opens something."""
        return [
            found.content.version
            for found in await self._versions(space, key)
            if deks & data_keys(decode_body(found.content)[0])
        ]

    async def _versions(self, space: Space, key: str) -> list[Version]:
        """Every version that is kept, with its body."""
        journal, ns = space.ledger.journal, space.ledger.ns
        numbers = [version.content.version for version in await journal.versions(ns, key)]
        found = [await journal.version(ns, key, number) for number in numbers]
        return [one for one in found if one is not None and one.content.body is not None]
