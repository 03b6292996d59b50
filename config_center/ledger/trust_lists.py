"""
The list of signing keys of a running center: one verifier believes it, and a copy lies beside every
namespace for clients of the store.

A list comes from a person (`trust rotate`, `install`) or, written there by another center, from the
store. It is taken only if our root signed it and its version is higher; it is on disk before it is
believed, so that no restart brings a refused key back. Whatever lies in the store that is not the
newest list we know of is put right and said: an older one put there would only harm clients that
come anew, and those it would harm most.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from client_sdk.errors import ConfigError, NotTrusted
from client_sdk.signing import TrustList

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from client_sdk.signing import Verifier
    from config_center.store.base import Store

log = logging.getLogger(__name__)


class TrustLists:
    """
    ``verifier`` is the one that everything here verifies with, ``namespaces`` says beside which a
    list has to lie. ``keep`` writes a list to disk, in a thread; ``on_taken`` is awaited after a
    newer list was taken.
    """

    def __init__(
        self, store: Store, verifier: Verifier, namespaces: Callable[[], Iterable[str]]
    ) -> None:
        self.keep: Callable[[TrustList], None] = _nowhere
        self.on_taken: Callable[[], Awaitable[None]] = _nobody
        self._store = store
        self._verifier = verifier
        self._namespaces = namespaces
        self._turn = asyncio.Lock()  # who looks sees no list that is on its way out

    @property
    def newest(self) -> TrustList:
        """The list that counts."""
        return self._verifier.trust

    async def take(self, trust: TrustList) -> bool:
        """Believe a newer list of our root from now on; False for any other. Raises OSError."""
        async with self._turn:
            taken = await self._take(trust)
        if taken:
            await self.on_taken()
        return taken

    async def _take(self, trust: TrustList) -> bool:
        ours = self.newest
        if trust.root != ours.root or trust.version <= ours.version:
            return False
        await asyncio.to_thread(self.keep, trust)
        self._verifier.renew(trust)
        log.warning("list %d of the signing keys: %s", trust.version, ", ".join(sorted(trust.keys)))
        for ns in list(self._namespaces()):
            with contextlib.suppress(ConfigError):  # the guard lays it once the store is back
                await self.lay(ns)
        return True

    async def lay(self, ns: str) -> None:
        """Write our list beside a namespace."""
        await self._store.write_trust(ns, self.newest.encode())

    async def look(self, ns: str) -> None:
        """Take a newer list that lies beside a namespace, put anything else right."""
        async with self._turn:
            taken = await self._look(ns)
        if taken:
            await self.on_taken()

    async def _look(self, ns: str) -> bool:
        document = await self._store.read_trust(ns)
        ours = self.newest
        try:
            theirs = TrustList.parse(document or b"", ours.root)
        except NotTrusted:
            what = "is not there" if document is None else "was edited"
            log.error("the list of signing keys beside %s %s; it is put right", ns, what)
            await self.lay(ns)
            return False
        if theirs.version < ours.version:
            log.error(
                "list %d of the signing keys, an old one, lies beside %s; it is put right",
                theirs.version,
                ns,
            )
            await self.lay(ns)
        elif theirs.version > ours.version:
            return await self._take(theirs)
        elif theirs.raw != ours.raw:
            log.error(
                "the root signed two lists of signing keys with the number %d; sign another one "
                "with a higher number (config-center trust request)",
                ours.version,
            )
        return False

    async def look_first(self, ns: str) -> None:
        """The same at a start, when the store may hold nothing yet: only a newer list counts."""
        try:
            document = await self._store.read_trust(ns)
            if document is not None:
                await self.take(TrustList.parse(document, self.newest.root))
        except ConfigError as error:
            log.warning("the list of signing keys in the store is not taken: %s", error)


def _nowhere(_: TrustList) -> None:
    """There is no disk."""


async def _nobody() -> None:
    """Nobody waits for it."""
