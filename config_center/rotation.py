"""
Replacing the signing key of a center that runs: nothing restarts, nobody is dropped.

The steps, each of which waits for the one before and is taken up again after a crash:

1. **Announce.** The successor lies on disk; the root has signed a list that trusts it beside the
   old key. The list is laid beside every namespace and every beat names its number, so whoever
   listens has it within a beat. We wait ten beats all the same. Nobody has to be waited for longer:
   who was away asks for the list as soon as he meets a name he does not know.
2. **Cut over.** The successor becomes the signing key by one rename, and signs everything.
3. **Cover.** Every namespace whose newest record the old key signed gets a `rekey` record: the
   same state, signed by the new key, which so vouches for all below it. A namespace that takes no
   changes now is waited for; until then both keys are trusted, which is safe.
4. **Retire.** The second list refuses the old key.

A key that was **revoked** (it was stolen) is refused first, and the rest follows at once. Instead
of `rekey` each namespace begins a new epoch, because the thief may have shown clients records above
our head: they never go back, so the true line has to go on above whatever he showed them.

Everything is decided anew from what is on disk, in the list and in the heads (`_step`), so a second
center that finds a refused key under a head does the same, whoever is first. Rejected: waiting for
each client's word before the cut-over (one that is switched off would hold it for ever).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from typing import TYPE_CHECKING, Any

from client_sdk.errors import ConfigError, NotTrusted
from client_sdk.signing import RETIRED, REVOKED, Validity, show_public
from client_sdk.waiting import ended
from config_center import succession
from config_center.ledger.recovery import adopt
from config_center.ledger.words import Draft, Mode, Planned
from config_center.problems import Problem, not_found
from config_center.rollouts.book import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from client_sdk.signing import SigningKey, TrustList
    from client_sdk.state import NamespaceState
    from config_center.keys import KeyFiles
    from config_center.ledger.ledger import Ledger
    from config_center.ledger.registry import Registry
    from config_center.succession import Request

log = logging.getLogger(__name__)

_BEATS = 10


class Rotation:
    """
    One for a center. ``every`` is the interval of beats in seconds; ``clock_ms`` gives milliseconds
    since 1970, ``rng(n)`` n random bytes.
    """

    def __init__(
        self,
        registry: Registry,
        files: KeyFiles,
        *,
        every: float,
        clock_ms: Callable[[], int],
        rng: Callable[[int], bytes],
    ) -> None:
        self._registry = registry
        self._files = files
        self._every = every
        self._clock_ms = clock_ms
        self._rng = rng
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._announced_at: float | None = None
        self._waits_for = ""
        self._task: asyncio.Task[None] | None = None
        registry.lists.keep = files.keep_list
        registry.lists.on_taken = self._on_taken

    def start(self) -> None:
        """Take up what a process before this one began, and wait for more."""
        self._wake.set()
        self._task = asyncio.create_task(self._run(), name="signing keys")

    async def close(self) -> None:
        """Stop; the next start goes on."""
        await ended(self._task)

    # -- what people ask for ------------------------------------------------------------------

    async def words(self) -> dict[str, Any]:
        """The keys, what each is, and what the center waits for."""
        trust, own = self._trust, self._registry.key.kid
        successor = await asyncio.to_thread(self._files.successor)
        pending = await asyncio.to_thread(self._files.pending)
        states = dict.fromkeys(trust.keys, "trusted") | {own: "signs"}
        if successor is not None:
            states[successor.kid] = "next"
        states |= dict.fromkeys(succession.leaving(trust, pending), "leaving")
        return {
            "version": trust.version,
            "root": show_public(trust.root),
            "root_here": await asyncio.to_thread(self._files.root) is not None,
            "issued": timestamp(trust.issued) if trust.issued else None,
            "signs": own,
            "keys": _key_rows(trust, states),
            "waits_for": self._waits_for,
        }

    async def request(
        self, what: str, kid: str | None = None, *, days: int | None = None, keep: bool = False
    ) -> Request:
        """
        What the root has to sign to ``rotate`` this center's key, or to ``retire`` or ``revoke``
        the key ``kid``. A successor is made where one is needed. Raises Problem 404, 409.
        """
        trust, now, own = self._trust, self._clock_ms(), self._registry.key.kid
        if what == "rotate":
            successor = await asyncio.to_thread(self._files.make_successor, self._rng)
            return succession.rotation(trust, own, successor.public, now, days=days, keep=keep)
        gone = kid or ""
        if gone not in trust.keys:
            raise not_found(f"list {trust.version} does not trust the key {gone[:64]!r}")
        if gone != own:
            why = REVOKED if what == "revoke" else RETIRED
            return succession.refusal(trust, gone, why, now, None)
        if what == "retire":
            raise Problem(
                "not-trusted", f"{gone} is the key that this center signs with: rotate it instead"
            )
        successor = await asyncio.to_thread(self._files.make_successor, self._rng)
        return succession.refusal(trust, gone, REVOKED, now, successor.public)

    async def do(
        self, what: str, kid: str | None = None, *, days: int | None = None, keep: bool = False
    ) -> dict[str, Any]:
        """
        The same, signed by the root in the data directory and begun. Raises Problem 409 where the
        root is not there.
        """
        async with self._turn:
            root = await asyncio.to_thread(self._files.root)
            if root is None:
                only = "" if kid is None else f" --{what} {kid}"
                raise Problem(
                    "root-offline",
                    "root.key is not in this center's data directory, so it can sign no list. "
                    f"Type: config-center trust request FILE{only}; carry FILE to the root, and "
                    "there: config-center trust sign FILE --root root.key; carry FILE.signed back, "
                    "and: config-center trust install FILE.signed",
                )
            request = await self.request(what, kid, days=days, keep=keep)
            await self._install(succession.sign(request, root))
        return await self.words()

    async def install(self, documents: list[dict[str, Any]]) -> dict[str, Any]:
        """Begin with lists that the root signed elsewhere. Raises Problem 400, 409."""
        try:
            lists = succession.decode_signed(documents, self._trust.root)
        except NotTrusted as error:
            raise Problem("not-trusted", str(error)) from error
        async with self._turn:
            await self._install(lists)
        return await self.words()

    async def signed_by(self, kid: str, since: int) -> list[dict[str, Any]]:
        """
        What this center's journals hold that ``kid`` signed since then (milliseconds), by the time
        it was written down here, and whether this very center wrote it. Raises Problem 404 for a
        key that the trust list does not name.
        """
        if kid not in {row["kid"] for row in (await self.words())["keys"]}:
            raise not_found(f"there is no key {kid[:64]!r}; GET /v1/trust/keys lists them all")
        found = []
        for ns in list(self._registry.ledgers):
            for record in await self._registry.journal.since(ns, since):
                header = record.header
                if header.kid == kid:
                    found.append(
                        {
                            "namespace": ns,
                            "position": str(record.position),
                            "type": header.type,
                            "keys": [op.key for op in header.ops],
                            "author": header.author,
                            "at": timestamp(header.ts),
                            "change": header.id,
                        }
                    )
        return found

    async def _install(self, lists: Iterable[TrustList]) -> None:
        new = [one for one in lists if one.version > self._trust.version]
        if not new:
            raise Problem("not-trusted", f"list {self._trust.version} is here, and none is newer")
        await self._require_a_key(new[-1])
        for trust in new:
            if succession.must_wait(self._trust, trust):
                await asyncio.to_thread(self._files.keep_pending, trust)
                break
            await self._registry.lists.take(trust)
        self._wake.set()

    async def _require_a_key(self, trust: TrustList) -> None:
        """Refuse a list that leaves this center without a key, before anything came of it."""
        successor = await asyncio.to_thread(self._files.successor)
        own = {self._registry.key.kid} | ({successor.kid} if successor is not None else set())
        if not own & trust.keys.keys():
            raise Problem(
                "not-trusted",
                f"list {trust.version} trusts neither this center's key nor its successor; make "
                "the request at this center",
            )

    # -- what follows from it -----------------------------------------------------------------

    @property
    def _trust(self) -> TrustList:
        return self._registry.lists.newest

    async def _on_taken(self) -> None:
        """A newer list counts: what could not be believed before is looked at again."""
        refused = self._registry.key.kid not in self._trust.keys
        for ledger in list(self._registry.ledgers.values()):
            if refused or ledger.mode is Mode.TAMPERED:  # a key of this list may have signed it
                async with ledger.lock:
                    await ledger.refresh()
        self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                wait = await self._step()
            except (ConfigError, Problem, OSError) as error:
                self._waits_for, wait = str(error), self._every
                log.warning("replacing the signing key goes on later: %s", error)
            except Exception:  # it must outlive whatever one step met
                log.exception("replacing the signing key failed")
                wait = self._every
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            self._wake.clear()

    async def _step(self) -> float | None:
        """Do what is to be done now; the seconds until the next look, ``None``: nothing is left."""
        files, trust = self._files, self._trust
        successor = await asyncio.to_thread(files.successor)
        if successor is not None and successor.kid in trust.keys:
            left = self._announcing()
            if left > 0 and self._registry.key.kid in trust.keys:
                self._waits_for = "everybody to have the list that names the next key"
                return left
            await self._cut_over(successor)
        pending = await asyncio.to_thread(files.pending)
        if pending is not None and pending.version <= trust.version:
            await asyncio.to_thread(files.keep_pending, None)
            pending = None
        left_over = await self._cover(succession.leaving(trust, pending))
        if left_over:
            self._waits_for = f"namespaces that take no changes now: {', '.join(left_over)}"
            return self._every
        self._waits_for = ""
        if pending is None:
            return None
        return await self._retire(pending)

    def _announcing(self) -> float:
        """Seconds that are left of the announcement."""
        now = time.monotonic()
        if self._announced_at is None:
            self._announced_at = now
        return self._announced_at + _BEATS * self._every - now

    async def _cut_over(self, successor: SigningKey) -> None:
        old = self._registry.key.kid
        await asyncio.to_thread(self._files.promote)
        self._registry.sign_with(successor)
        self._announced_at = None
        log.warning("the signing key is %s now, it was %s", successor.kid, old)

    async def _cover(self, leaving: Mapping[str, str]) -> list[str]:
        """Lay a record of ours over every head that a leaving key signed; who could not be yet."""
        left = []
        for ns, ledger in list(self._registry.ledgers.items()):
            async with ledger.lock:  # what is under way may still bear the old key's signature
                head = ledger.head
            if ledger.mode is Mode.ENDED or head is None or head.header.kid not in leaving:
                continue
            if self._registry.key.kid in leaving or not await self._lay_over(ledger, leaving):
                left.append(ns)
        return left

    async def _lay_over(self, ledger: Ledger, leaving: Mapping[str, str]) -> bool:
        head = ledger.head
        assert head is not None  # whoever calls has looked
        if leaving[head.header.kid] == REVOKED:
            async with ledger.lock:
                await ledger.refresh()
                if ledger.mode is Mode.READY:
                    await adopt(ledger, why="the key of its newest record was revoked")
        elif ledger.mode is Mode.READY:
            ident = secrets.token_hex(16)
            draft = Draft(ident, "rekey", "config-center", _nothing, type="rekey", minted=True)
            await ledger.submit(draft)
        return ledger.mode is Mode.READY

    async def _retire(self, pending: TrustList) -> float | None:
        trust = self._trust
        if pending.version == trust.version + 1:
            await self._registry.lists.take(pending)
            await asyncio.to_thread(self._files.keep_pending, None)
            return None
        self._waits_for = (
            f"list {trust.version + 1}; the list that retires the old key is number "
            f"{pending.version}: config-center trust retire KID asks for another one"
        )
        return None


def _key_rows(trust: TrustList, states: Mapping[str, str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for kid, public in sorted(trust.keys.items()):
        until = trust.validity.get(kid, Validity()).not_after
        ends = None if until is None else timestamp(until)
        rows.append(
            {"kid": kid, "public": show_public(public), "state": states[kid], "until": ends}
        )
    for kid, gone in sorted(trust.refused.items()):
        since = timestamp(gone.since)
        rows.append(
            {"kid": kid, "public": show_public(gone.public), "state": gone.why, "since": since}
        )
    return rows


def _nothing(_: NamespaceState) -> Planned:
    return Planned(())
