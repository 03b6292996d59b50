"""
A center in this process, for tests of what embeds the library.

It signs a history with keys of its own and shows it to real clients, over ``memory://``. What it
leaves out is what a center does for its admins: schemas, tokens, an HTTP API, a journal. Nothing
is kept when it ends.

Publishing is a plain call: the frame is on its way when it returns, and :meth:`MemoryCenter.served`
waits until a client serves it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client_sdk.bodies import encode_body
from client_sdk.client import Client
from client_sdk.contents import Content, Op, Rollout
from client_sdk.errors import InvalidValue, NotVerified
from client_sdk.image import Image
from client_sdk.records import Beat, Header, Position, Record, sha256_hex
from client_sdk.reports import Report
from client_sdk.signing import SigningKey, TrustList
from client_sdk.state import NamespaceState
from client_sdk.transports.memory import SOURCES
from client_sdk.waiting import ended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from client_sdk.connecting import Connecting
    from client_sdk.image import Ring

_TTL = 10.0


class MemoryCenter:
    """
    One namespace that tests publish to::

        async with MemoryCenter({"prompt": "hello"}) as center:
            async with center.connect(instance="gw-1") as client:
                center.publish("prompt", "hi")
                await center.served(client)
                assert client.get("prompt") == "hi"

    ``reports`` are those that clients sent. Use it from one thread.
    """

    def __init__(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        namespace: str = "default",
        beat_every: float = 1.0,
    ) -> None:
        self.url = f"memory://{secrets.token_hex(8)}"
        self.namespace = namespace
        self.away = False
        self.ring: Ring = {}
        self.records: list[Record] = []
        self.reports: list[Report] = []
        self.listeners: set[Callable[[bytes | None], None]] = set()
        root = SigningKey.generate(os.urandom)
        self._key = SigningKey.generate(os.urandom)
        self._trust = TrustList.issue(root, {self._key.kid: self._key.public}, 1)
        self._every = beat_every
        self._state = NamespaceState.empty()
        self._beating: asyncio.Task[None] | None = None
        self._home = tempfile.TemporaryDirectory(prefix="memory-center-")
        self._commit("create", (), epoch=1)
        if values:
            self.publish_all(values)

    # -- publishing ---------------------------------------------------------------------------

    def publish(self, key: str, value: Any, format: str = "json") -> Position:
        """Publish one value to everybody; ``format`` is ``json`` or ``text``."""
        return self._commit("put", (self._put(key, value, format),))

    def publish_all(self, values: Mapping[str, Any]) -> Position:
        """Publish several values as one change."""
        return self._commit("put", [self._put(key, value, "json") for key, value in values.items()])

    def remove(self, key: str) -> Position:
        """Remove a key: its default serves, or nothing."""
        return self._commit("put", (Op(key, "del", self._entry(key).latest, None),))

    def canary(
        self,
        name: str,
        values: Mapping[str, Any],
        *,
        percent: float,
        unit: str = "device",
        allow: Iterable[str] = (),
    ) -> Position:
        """Give ``values`` to ``percent`` of the units, and to those in ``allow``."""
        ops = []
        for key, value in values.items():
            entry = self._state.entries.get(key)
            stable = None if entry is None else entry.content
            latest = 1 if entry is None else entry.latest + 1
            rollout = Rollout(
                id=name,
                percent=percent,
                unit=unit,
                salt=name,
                keys=tuple(values),
                content=_content(value, "json", latest),
                allow=tuple(allow),
            )
            ops.append(Op(key, "rollout", latest, stable, rollout))
        return self._commit("put", ops)

    def promote(self, name: str) -> Position:
        """Give the canary's values to everybody."""
        return self._end(name, lambda entry: entry.rollout.content)

    def abort(self, name: str) -> Position:
        """Take the canary back."""
        return self._end(name, lambda entry: entry.content)

    def adopt(self) -> Position:
        """Begin a new epoch, as a center does after its store failed over."""
        return self._commit("adopt", (), epoch=self._state.position.e + 1)

    # -- its clients --------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """The position of the newest change."""
        return self._state.position

    def connect(self, instance: str = "test", **options: Any) -> Connecting:
        """:meth:`Client.connect` to here; the state directory goes when the center goes."""
        options.setdefault("state", Path(self._home.name) / instance)
        options.setdefault("token", "memory")
        return Client.connect(self.url, namespace=self.namespace, instance=instance, **options)

    async def served(self, client: Client, timeout: float = 5.0) -> None:
        """Wait until ``client`` serves the newest change. Raises asyncio.TimeoutError."""

        async def look() -> None:
            while client.status().position < self.position:  # noqa: ASYNC110  # no event says it
                await asyncio.sleep(0.001)

        await asyncio.wait_for(look(), timeout)

    def beat(self) -> None:
        """One signed heartbeat; inside the ``async with`` they come by themselves."""
        e, v = self._state.position
        now = time.time_ns() // 1_000_000
        beat = Beat(
            self.namespace, e, v, self._state.c, now, _TTL, self._every, "memory", self._key.kid
        )
        self._say(beat.signed(self._key).encode())

    def go_away(self) -> None:
        """Break all links and refuse new ones, until :meth:`come_back`."""
        self.away = True
        for listener in tuple(self.listeners):
            listener(None)

    def come_back(self) -> None:
        """Be reachable again."""
        self.away = False

    # -- what the transport asks --------------------------------------------------------------

    def image(self) -> Image:
        """The whole namespace now."""
        return Image(self.records[-1], tuple(self._state.entries.values()), self.ring)

    def trust_document(self) -> bytes:
        """The list of signing keys."""
        return self._trust.encode()

    def take_report(self, instance: str, frame: bytes) -> None:
        """An instance reports; what is no report is dropped."""
        del instance  # it is in the report
        with contextlib.suppress(NotVerified):
            self.reports.append(Report.decode(frame))

    # -- how ----------------------------------------------------------------------------------

    async def __aenter__(self) -> MemoryCenter:
        SOURCES[self.url.partition("://")[2]] = self
        self._beating = asyncio.create_task(self._beat_for_ever(), name="memory center")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.go_away()
        SOURCES.pop(self.url.partition("://")[2], None)
        await ended(self._beating)
        self._home.cleanup()

    async def _beat_for_ever(self) -> None:
        while True:
            self.beat()
            await asyncio.sleep(self._every)

    def _put(self, key: str, value: Any, form: str) -> Op:
        entry = self._state.entries.get(key)
        latest = 1 if entry is None else entry.latest + 1
        return Op(key, "set", latest, _content(value, form, latest))

    def _entry(self, key: str) -> Any:
        entry = self._state.entries.get(key)
        if entry is None:
            raise InvalidValue(f"nothing was published as {key!r} here")
        return entry

    def _end(self, name: str, remains: Callable[[Any], Content | None]) -> Position:
        entries = [
            entry
            for entry in self._state.entries.values()
            if entry.rollout is not None and entry.rollout.id == name
        ]
        if not entries:
            raise InvalidValue(f"no canary called {name!r} runs here")
        return self._commit(
            "put", [Op(each.key, "rollout", each.latest, remains(each)) for each in entries]
        )

    def _commit(self, kind: str, ops: Iterable[Op], epoch: int | None = None) -> Position:
        ops = tuple(ops)
        e, v = self._state.position
        position = Position(e if epoch is None else epoch, v + 1)
        state = self._state.after(ops, position)
        header = Header(
            ns=self.namespace,
            e=position.e,
            v=position.v,
            p=self._state.c,
            type=kind,
            id=secrets.token_hex(16),
            req_hash="",
            ops=ops,
            state=state.digest,
            kid=self._key.kid,
            ts=time.time_ns() // 1_000_000,
            author="test",
        )
        bodies = [content.body for op in ops for content in op.contents if content.body is not None]
        record = Record.issue(header, self._key, bodies)
        self._state = self._state.apply(record)
        self.records.append(record)
        self._say(record.encode())
        return position

    def _say(self, frame: bytes) -> None:
        if not self.away:
            for listener in tuple(self.listeners):
                listener(frame)


def _content(value: Any, form: str, version: int) -> Content:
    body = encode_body(value, form)
    return Content(version, sha256_hex(body), len(body), form, body=body)
