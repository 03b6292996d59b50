"""
The key-encryption keys (KEKs) of a center, and their exchange without touching a record.

Which of them seals is said by a signed record of ``_system`` (``kek``), so all centers of a store
seal with the same one; where there is none, the first key of the source does. An exchange is that
record and then work that can be cut short anywhere and goes on by itself:

1. Everybody, centers and gateways, is given the new key beside the old one. Nothing uses it yet.
2. The record is published. From then on new secrets are sealed for the new key.
3. Every data key that another KEK wrapped is wrapped anew, in batches: into the journal, then into
   the store, each only while it is as it was read. Both wrappings open to the same, so a center
   that dies in between, or two that do it at once, leave nothing that does not open; whoever runs
   goes on within a minute.
4. When nothing is left that the old key wraps, in memory, journal or store, it may be dropped.

A center that lacks the key of the record, or one that something served needs, does not start: it
would refuse every secret later, one by one. One that runs and lacks it reads its source again.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from client_sdk.bodies import decode_body, encode_body
from client_sdk.contents import Content, Op
from client_sdk.data_keys import deks_in_bodies
from client_sdk.errors import ConfigError, SettingInvalid
from client_sdk.keks import Kek, Keks
from client_sdk.records import sha256_hex
from client_sdk.sealing import FINGERPRINT
from client_sdk.waiting import ended
from config_center.access import Actor
from config_center.ledger.rings import settle
from config_center.ledger.words import Draft, Mode, Planned
from config_center.problems import Problem, not_found
from config_center.secrets.rewrapping import (
    believed,
    count,
    kek_of,
    lacking,
    rewrapped,
    tombstones,
)
from config_center.secrets.shredding import plan_lost

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from client_sdk.image import Ring
    from client_sdk.keks import KekSource
    from client_sdk.state import NamespaceState
    from config_center.ledger.ledger import Ledger
    from config_center.ledger.registry import Registry

    Rng = Callable[[int], bytes]

log = logging.getLogger(__name__)

KEY = "kek"  # in _system
_AT_ONCE = 500
_GO_ON = 30.0  # seconds


class HeldKeks:
    """The keys that this center has, and where they come from. Methods block on that place."""

    def __init__(self, keks: Keks, source: KekSource | None = None) -> None:
        self.keks = keks
        self.source = source

    @property
    def where(self) -> str:
        """The place, for people."""
        return "memory" if self.source is None else self.source.where

    def read_again(self) -> None:
        """As they are there now. Raises SettingInvalid; what was known then stays."""
        if self.source is not None:
            self.keks = self.source.read()

    def keep(self, keks: Keks) -> None:
        """Put these in their place, then use them. Raises SettingInvalid."""
        if self.source is not None:
            self.source.save(keks)
        self.keks = keks

    def believe(self, ns: str, mine: Ring, found: Ring, keys: Collection[str]) -> Ring:
        """The rule of every ledger's ring."""
        return believed(ns, mine, found, keys, self.keks)


class Exchange:
    """The part of the service that is about KEKs. Owns the task that goes on with an exchange."""

    def __init__(self, registry: Registry, held: HeldKeks, rng: Rng) -> None:
        self._registry = registry
        self._held = held
        self._rng = rng
        self._task: asyncio.Task[None] | None = None

    @property
    def keks(self) -> Keks:
        """What opens, with what seals in front; nothing where this center lacks what seals."""
        keks, current = self._held.keks, self.current
        return keks.led_by(current) if keks.get(current) else Keks()

    @property
    def all(self) -> Keks:
        """What opens."""
        return self._held.keks

    @property
    def current(self) -> str:
        """The id of the KEK that seals."""
        return announced(self._registry.system.state) or self._held.keks.ids[0]

    def start(self) -> None:
        """Begin to go on with what was begun."""
        self._task = asyncio.create_task(self._go_on(), name="key exchange")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            await ended(self._task)

    def require(self) -> None:
        """Raise SettingInvalid, at the start, when a KEK that is needed is not at hand (A45)."""
        held = self._held
        missing = {} if held.keks.get(self.current) else {self.current: "seals new secrets"}
        for ledger in self._ledgers():
            lacks = lacking(ledger.ring, needed(ledger.state), held.keks)
            for kek, number in lacks.items():
                missing[kek] = f"wraps {number} data keys of {ledger.ns}"
        if missing:
            kek, why = next(iter(missing.items()))
            raise SettingInvalid(
                f"the key-encryption key {kek} {why}, and {held.where} has only "
                f"{', '.join(held.keks.ids)}: add its line `ID BASE64` from a backup, another "
                "center or a gateway; lost for good, set lost_secret_key to its id"
            )

    def status(self) -> dict[str, Any]:
        """Which KEK wraps how many data keys, in all and for each namespace."""
        ledgers = self._ledgers()
        rings = {ledger.ns: count([ledger.ring]) for ledger in ledgers}
        known = {
            *self._held.keks.ids,
            self.current,
            *(kek for ring in rings.values() for kek in ring),
        }
        return {
            "current": self.current,
            "source": self._held.where,
            "keys": [
                {
                    "id": kek,
                    "held": kek in self._held.keks.ids,
                    "current": kek == self.current,
                    "data_keys": sum(ring.get(kek, 0) for ring in rings.values()),
                }
                for kek in sorted(known)
            ],
            "namespaces": [
                {
                    "namespace": ledger.ns,
                    "data_keys": rings[ledger.ns],
                    "shredded": len(tombstones(ledger.state.entries)),
                }
                for ledger in ledgers
            ],
        }

    async def add(self) -> dict[str, Any]:
        """
        Make a key and put it behind the others: it opens, and seals nothing yet. Raises Problem 409
        while there is one already that nothing uses.
        """
        await asyncio.to_thread(self._held.read_again)
        newest = self._held.keks.ids[-1]
        used = {kek for ledger in self._ledgers() for kek in count([ledger.ring])}
        if newest not in (self.current, *used):
            raise Problem(
                "already-exists",
                f"the key {newest} was made and nothing uses it yet; rotate to it, or drop it",
                id=newest,
            )
        kek = Kek.generate(self._rng)
        await asyncio.to_thread(self._held.keep, self._held.keks.and_(kek))
        log.warning("the key-encryption key %s was made, in %s", kek.id, self._held.where)
        return {"id": kek.id, **self.status()}

    async def rotate(self, to: str | None, actor: Actor) -> dict[str, Any]:
        """
        Seal with ``to`` from now on (none: the last key of the source), and wrap every data key
        anew. To be asked again after any failure. Raises Problem 400, 503.
        """
        await asyncio.to_thread(self._held.read_again)
        target = to or self._held.keks.ids[-1]
        if self._held.keks.get(target) is None:
            raise not_found(
                f"{self._held.where} has no key-encryption key {target[:64]!r}; it has "
                f"{', '.join(self._held.keks.ids)}"
            )
        if target != announced(self._registry.system.state):
            await self._announce(target, actor)
        done = await self._rewrap_all()
        status = self.status()
        left = sum(key["data_keys"] for key in status["keys"] if not key["current"])
        return {"rewrapped": done, "left": left, **status}

    async def drop(self, ident: str, actor: Actor) -> dict[str, Any]:
        """Forget a KEK that wraps nothing any more. Raises Problem 404, 409."""
        await asyncio.to_thread(self._held.read_again)
        if self._held.keks.get(ident) is None:
            raise not_found(f"{self._held.where} has no key-encryption key {ident[:64]!r}")
        if ident == self.current:
            raise Problem("in-use", f"{ident} seals new secrets; rotate to another key first")
        for ledger in self._ledgers():
            left = await self._wrapped_by(ledger, ident)
            if left:
                raise Problem(
                    "in-use",
                    f"{ident} still wraps {left} data keys of {ledger.ns}; rotate, and drop it "
                    "when `config-center secrets status` shows none",
                    namespace=ledger.ns,
                    data_keys=left,
                )
        await asyncio.to_thread(self._held.keep, self._held.keks.without(ident))
        log.warning("%s dropped the key-encryption key %s", actor.name, ident)
        return self.status()

    async def give_up(self, ident: str) -> None:
        """
        The KEK ``ident`` is lost for good, somebody says: what it sealed is shredded, so that this
        center starts and every secret can be published again. Raises SettingInvalid, Problem.
        """
        if self._held.keks.get(ident) is not None:
            raise SettingInvalid(f"lost_secret_key names {ident}, which is not lost: unset it")
        if announced(self._registry.system.state) == ident:
            await self._announce(self._held.keks.ids[0], Actor("lost_secret_key", "admin"))
        for ledger in self._ledgers():
            await self._give_up(ledger, ident)

    async def _give_up(self, ledger: Ledger, ident: str) -> None:
        lost = sorted(name for name, text in ledger.ring.items() if kek_of(text) == ident)
        deks = [name for name in lost if name != FINGERPRINT]
        for at in range(0, len(deks), _AT_ONCE):
            part = deks[at : at + _AT_ONCE]
            draft = Draft(
                token_hex(16),
                f"lost {ident}",
                "config-center",
                partial(plan_lost, kek=ident, deks=part),
                f"the key-encryption key {ident} is lost",
                minted=True,
            )
            await ledger.submit(draft)
        if lost:
            async with ledger.lock:
                await ledger.store.drop_ring(ledger.ns, lost)
                await ledger.journal.drop_ring(ledger.ns, lost)
                ledger.ring = {n: text for n, text in ledger.ring.items() if n not in lost}
            log.error("%s: %d data keys are given up with %s", ledger.ns, len(lost), ident)

    async def _wrapped_by(self, ledger: Ledger, ident: str) -> int:
        """How many data keys it wraps anywhere: in the store, the journal or memory."""
        ledger.require_ready()
        rings = [
            await ledger.store.read_ring(ledger.ns),
            await ledger.journal.ring(ledger.ns),
            ledger.ring,
        ]
        return count(rings).get(ident, 0)

    async def _announce(self, ident: str, actor: Actor) -> None:
        def plan(state: NamespaceState) -> Planned:
            entry = state.entries.get(KEY)
            version = 1 if entry is None else entry.latest + 1
            body = encode_body({"current": ident}, "json")
            content = Content(version, sha256_hex(body), len(body), "json", body=body)
            return Planned((Op(KEY, "set", version, content),))

        words = f"{KEY} {ident}"
        asked = actor.request_id
        draft = Draft(token_hex(16), words, actor.name, plan, request=asked, minted=True)
        await self._registry.system.submit(draft)
        log.warning("%s: secrets are sealed for the key %s from now on", actor.name, ident)

    async def _go_on(self) -> None:
        """An exchange that was begun here or elsewhere goes on, whatever ended it."""
        while True:
            await asyncio.sleep(_GO_ON)
            current = announced(self._registry.system.state)
            try:
                if current and self._held.keks.get(current) is None:
                    await asyncio.to_thread(self._held.read_again)
                if current and self._held.keks.get(current):
                    await self._rewrap_all()
            except (ConfigError, Problem) as error:
                log.warning("the exchange of the key-encryption key waits: %s", error)
            except Exception:  # it must outlive whatever one round met
                log.exception("the exchange of the key-encryption key failed")

    async def _rewrap_all(self) -> int:
        return sum([await self._rewrap(ledger) for ledger in self._ledgers()])

    async def _rewrap(self, ledger: Ledger) -> int:
        done, ns = 0, ledger.ns
        while any(not text.startswith(self.current + ":") for text in ledger.ring.values()):
            async with ledger.lock:
                ledger.require_ready()
                ring = await settle(ledger, await ledger.store.read_ring(ns), ledger.state)
                fresh = await asyncio.to_thread(rewrapped, ns, ring, self.keks, self._rng, _AT_ONCE)
                became = {name: new for name, (_, new) in fresh.items()}
                await ledger.journal.keep_ring(ns, became)
                if fresh:
                    await ledger.store.rewrap_ring(ns, fresh)
                ledger.ring = {**ring, **became}
            if not fresh:  # what is left does not open
                break
            done += len(fresh)
        return done

    def _ledgers(self) -> list[Ledger]:
        ledgers = sorted(self._registry.ledgers.items())
        return [led for ns, led in ledgers if not ns.startswith("_") and led.mode is not Mode.ENDED]


def announced(system: NamespaceState) -> str | None:
    """The id of the KEK that seals, as ``_system`` says it; None: it does not."""
    entry = system.entries.get(KEY)
    if entry is None or entry.content is None:
        return None
    return str(decode_body(entry.content)[0]["current"])


def needed(state: NamespaceState) -> frozenset[str]:
    """The data keys without which something that is served does not open, or be sealed."""
    bodies = (
        content.body
        for entry in state.entries.values()
        for content in entry.contents
        if content.body is not None
    )
    return deks_in_bodies(bodies) | {FINGERPRINT}
