"""
Every namespace of a center, and how one begins.

``_system`` comes first: it holds the namespaces (``namespace.<name>``) and the tokens as signed
records of its own. A namespace is made in two steps, first its record there, then its own
``create``; a center that died in between finishes at its next start. A publish never makes one, and
a namespace that the journal knows but the store does not is lost, not new.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING

from client_sdk.bodies import encode_body
from client_sdk.contents import Content, Op
from client_sdk.errors import ConfigError
from client_sdk.records import sha256_hex
from client_sdk.state import NamespaceState
from client_sdk.waiting import ended
from config_center.ledger.keeper import Keeper
from config_center.ledger.ledger import Ledger
from config_center.ledger.pruning import Pruner
from config_center.ledger.rings import all_of_both
from config_center.ledger.trust_lists import TrustLists
from config_center.ledger.words import Draft, Mode, Planned
from config_center.ledger.writer import sign
from config_center.problems import Problem, not_found
from config_center.retention import Keep
from config_center.store.base import Conflict, Pending, StoreDown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from client_sdk.signing import SigningKey, Verifier
    from config_center.journal import Journal
    from config_center.ledger.keeper import Rhythm
    from config_center.ledger.rings import RingRule
    from config_center.store.base import Store

log = logging.getLogger(__name__)

SYSTEM = "_system"
DEFAULT = "default"
PREFIX = "namespace."


class Registry:
    """The ledgers of all namespaces; opens and closes them."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        key: SigningKey,
        verifier: Verifier,
        center: str,
        rhythm: Rhythm,
        keep: Keep | None = None,
    ) -> None:
        self.store = store
        self.journal = journal
        self.key = key
        self.verifier = verifier
        self.lists = TrustLists(store, verifier, lambda: self._ledgers)
        self._center = center
        self._rhythm = rhythm
        self._ledgers: dict[str, Ledger] = {}
        self._keepers: dict[str, Keeper] = {}
        self.pruner = Pruner(journal, verifier, keep or Keep())
        self._tasks: list[asyncio.Task[None]] = []
        self.on_attached: Callable[[Ledger], Awaitable[object]] = _ignore
        self.on_new_key: Callable[[SigningKey], None] = _keep_quiet
        self._turn = asyncio.Lock()
        self.ask_peers: Callable[[Ledger], Awaitable[None]] = _ignore
        self.ring_rule: RingRule = all_of_both
        self.peers_know: Callable[[str], Awaitable[bool]] = _nobody_knows
        self._ended: set[str] = set()
        self._looked_through: NamespaceState | None = None

    @property
    def system(self) -> Ledger:
        """The namespace of namespaces and tokens."""
        return self._ledgers[SYSTEM]

    @property
    def ledgers(self) -> Mapping[str, Ledger]:
        """All of them by name."""
        return self._ledgers

    async def open(self) -> None:
        """Open every known namespace; make ``_system`` and ``default`` where nobody knows them."""
        await self.lists.look_first(SYSTEM)  # keys may have been replaced while this was away
        known = set(await self.journal.namespaces())
        if SYSTEM not in known and await self._is_new(SYSTEM):
            await self._begin(SYSTEM)
        await self._attach(SYSTEM)
        if self.system.mode is not Mode.READY:
            for ns in known - {SYSTEM}:
                await self._attach(ns)
            self._start_house()
            return
        registered = self._registered()
        if not registered and DEFAULT not in known:
            await self._register_default()
            registered = {DEFAULT}
        for ns in sorted(registered | (known - {SYSTEM})):
            if ns not in known and await self._is_absent(ns):
                await self._begin(ns)
            await self._attach(ns)
        self._start_house()

    async def _register_default(self) -> None:
        try:
            await self._register(DEFAULT, "config-center")
        except Problem as problem:
            if problem.name != "outcome-unknown":  # e.g. a replica that is not there yet
                raise
            log.warning("%s", problem.detail)

    async def close(self) -> None:
        """Stop all writers, beats and guards."""
        await ended(*self._tasks)
        for keeper in self._keepers.values():
            await keeper.close()
        for ledger in self._ledgers.values():
            await ledger.close()

    def get(self, ns: str) -> Ledger:
        """The ledger of a namespace that clients may use. Raises Problem 404."""
        ledger = self._ledgers.get(ns)
        if ledger is None or ledger.mode is Mode.ENDED:
            raise not_found(f"there is no namespace {ns!r}; make it with PUT /v1/namespaces/{ns}")
        return ledger

    async def create(self, ns: str, author: str, request: str = "") -> Ledger:
        """
        Make a namespace, or finish one whose making was cut off. Raises Problem 409 when the name
        is, or ever was, in use, 504 when it is not known whether the store has made it.
        """
        async with self._turn:
            used = ns in self._ledgers or ns in await self.journal.namespaces()
            half = not used and ns in self._registered()
            if used or not (half or await self._is_new(ns)):
                raise Problem("already-exists", f"the namespace name {ns!r} is taken")
            self.system.require_ready()
            if not half:
                await self._register(ns, author, request)
            if await self._is_absent(ns):
                await self._begin(ns)
            ledger = await self._attach(ns)
            if ledger.mode is Mode.ENDED:  # another center was quicker with both
                raise Problem("already-exists", f"the namespace name {ns!r} is taken")
            await self.lists.lay(ns)
            return ledger

    async def end(self, ns: str, draft: Draft) -> None:
        """Write a namespace's last record; its name is never used again."""
        await self.get(ns).submit(draft)

    async def publish_trust(self) -> None:
        """Lay the list of signing keys beside every namespace, for clients of the store."""
        for ns in list(self._ledgers):
            await self.lists.lay(ns)

    def sign_with(self, key: SigningKey) -> None:
        """Sign everything with another key from now on."""
        self.key = key
        for ledger in self._ledgers.values():
            ledger.key = key
        self.on_new_key(key)

    # -- what other centers make and end ------------------------------------------------------

    def _start_house(self) -> None:
        pruning = self.pruner.run(self._ledgers, self._rhythm.prune_every)
        self._tasks = [
            asyncio.create_task(self._keep_house(), name="namespaces"),
            asyncio.create_task(pruning, name="pruning"),
        ]

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(self._rhythm.beat_every)
            try:
                async with self._turn:
                    await self._take_up()
                    await self._put_away()
                await self.lists.look(SYSTEM)
            except ConfigError as error:
                log.info("namespaces are not looked after now: %s", error)
            except Exception:  # it must outlive whatever one round met
                log.exception("looking after namespaces failed")

    async def _take_up(self) -> None:
        """Namespaces that another center has made; looked for when the list of them has changed."""
        system = self.system.state
        if system is self._looked_through:
            return
        complete = True
        for ns in self._registered() - self._ledgers.keys() - self._ended:
            if await self.store.head(ns) is None:
                complete = False  # it is still being made
                continue
            ledger = await self._attach(ns)
            if ledger.mode is not Mode.ENDED:
                await self._open_to_clients(ledger)
        if complete:
            self._looked_through = system

    async def _open_to_clients(self, ledger: Ledger) -> None:
        """All of it, or the next round begins anew: half of it would stay shut until a restart."""
        try:
            await self.lists.lay(ledger.ns)
            await self.on_attached(ledger)
        except BaseException:
            await self._keepers.pop(ledger.ns).close()
            await self._ledgers.pop(ledger.ns).close()
            raise

    async def _put_away(self) -> None:
        """Namespaces that ended: their tasks go, their name stays used."""
        for ns, ledger in list(self._ledgers.items()):
            if ledger.mode is Mode.ENDED:
                await self._keepers.pop(ns).close()
                await self._close(ns)

    async def _close(self, ns: str) -> None:
        self._ended.add(ns)
        await self._ledgers[ns].close()
        del self._ledgers[ns]

    async def _is_new(self, ns: str) -> bool:
        """What a peer has history of was lost by the store, and is not to begin anew."""
        return await self._is_absent(ns) and not await self.peers_know(ns)

    async def _is_absent(self, ns: str) -> bool:
        try:
            return await self.store.head(ns) is None
        except StoreDown:
            return False

    def _registered(self) -> set[str]:
        entries = self.system.state.entries
        keys = [key for key, entry in entries.items() if entry.exists and key.startswith(PREFIX)]
        return {key.removeprefix(PREFIX) for key in keys}

    async def _register(self, ns: str, author: str, request: str = "") -> None:
        def plan(state: NamespaceState) -> Planned:
            body = encode_body({"name": ns}, "json")
            content = Content(1, sha256_hex(body), len(body), "json", body=body)
            return Planned((Op(PREFIX + ns, "set", 1, content),))

        draft = Draft(secrets.token_hex(16), f"create {ns}", author, plan, request=request)
        await self.system.submit(draft)

    async def _begin(self, ns: str) -> None:
        ledger = Ledger(ns, self.store, self.journal, self.key, self.verifier)
        draft = Draft(
            secrets.token_hex(16), f"create {ns}", "config-center", _nothing, type="create"
        )
        record, state = sign(ledger, draft, Planned(()), NamespaceState.empty(), epoch=1)
        await self.journal.intend(ns, [record])
        outcome = await self.store.create(Pending(record, (), state))
        if not isinstance(outcome, Conflict):  # else another center was first: its record is read
            await self.journal.mark([record.c], "committed")

    async def _attach(self, ns: str) -> Ledger:
        ledger = Ledger(ns, self.store, self.journal, self.key, self.verifier)
        ledger.ask_peers = self.ask_peers
        ledger.ring_rule = self.ring_rule
        self._ledgers[ns] = ledger
        await ledger.open()
        if ledger.mode is Mode.ENDED:  # it ended while this center was away, or before
            await self._close(ns)
            return ledger
        keeper = Keeper(ledger, self._center, self._rhythm, self.lists)
        self._keepers[ns] = keeper
        keeper.start()
        return ledger


async def _ignore(_: Ledger) -> None:
    """There is nobody else."""


def _keep_quiet(_: SigningKey) -> None:
    """Nobody else signs."""


async def _nobody_knows(_: str) -> bool:
    return False


def _nothing(state: NamespaceState) -> Planned:
    return Planned(())
