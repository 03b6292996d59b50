"""The client that services embed: connect, read, hold live modules, hear of changes."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client_sdk.connecting import Connecting
from client_sdk.driver import Driver, Pending
from client_sdk.errors import ClientClosed, ForkedClient, TransportDown, Unavailable
from client_sdk.listeners import Change, Listeners, call
from client_sdk.outcomes import MISSING
from client_sdk.plan import Plan, Status
from client_sdk.publish import publish
from client_sdk.replica import Replica
from client_sdk.reporting import Reporter
from client_sdk.serving import ModuleHandle, ModuleSpec, Serving
from client_sdk.settings import ClientSettings
from client_sdk.signing import Verifier
from client_sdk.snapshot import Restored, Snapshots
from client_sdk.steps import Timing
from client_sdk.trust_store import load_trust

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from client_sdk.image import Ring
    from client_sdk.outcomes import KeyChange, Outcome
    from client_sdk.sealing import Kek

log = logging.getLogger(__name__)

_DEK = re.compile(rb'"dek":"([^"]+)"')


class Client:
    """
    One instance's live view of one namespace. Make it with :meth:`connect`.

    ``get``, ``unit`` and ``turn`` may be called from any thread and never wait.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._serving = Serving(
            instance=plan.instance,
            labels=plan.labels,
            defaults=plan.defaults,
            open_sealed=self._open_sealed,
        )
        self.unit = self._serving.unit
        self.turn = self._serving.turn
        self._listeners = Listeners()
        self._serving.on_outcome = self._take
        self._disk = asyncio.Lock()  # snapshots are written one at a time
        self._snapshots = Snapshots(plan.state, plan.namespace)
        self._driver: Driver | None = None
        self._reporter: Reporter | None = None
        self._durable = True
        self._ring: Ring = {}
        self._closed = False
        self._pid = os.getpid()

    @classmethod
    def connect(
        cls,
        url: str | None = None,
        *,
        namespace: str | None = None,
        instance: str | None = None,
        labels: Mapping[str, Any] | None = None,
        token: str | None = None,
        trust: str | None = None,
        secret_key: str | Path | Kek | None = None,
        state: str | Path | None = None,
        timeout: float = 5.0,
        defaults: Mapping[str, Any] | None = None,
        timing: Timing | None = None,
        report_every: float = 5.0,
    ) -> Connecting:
        """
        ``await`` it, or use it with ``async with``. What is ``None`` comes from the environment.

        Never takes longer than ``timeout`` seconds: with the center away the snapshot serves
        (``status().stale``), without one the ``defaults``. Raises Unavailable when there is
        nothing to serve, NotTrusted, StateInUse, SettingInvalid.
        """
        environment = ClientSettings.from_environment()
        name = instance or os.uname().nodename.lower()
        ns = namespace or environment.namespace
        plan = Plan(
            environment=environment,
            url=url,
            namespace=ns,
            instance=name,
            labels=dict(labels or {}),
            token=token or environment.token,
            trust=trust or environment.trust,
            secret_key=secret_key or environment.secret_key_file,
            state=Path(state) if state else environment.state_directory(ns, name),
            timeout=timeout,
            defaults=dict(defaults or {}),
            timing=timing or Timing(),
            report_every=report_every,
        )
        return Connecting(cls(plan))

    def get(self, key: str, default: Any = MISSING) -> Any:
        """The value this instance itself gets, deeply read-only. Raises as Serving.get."""
        try:
            return self._serving.values[key]  # no call between: reading is the hot path
        except KeyError:
            return self._serving.get(key, default)

    # -- modules and listeners ----------------------------------------------------------------

    def module(
        self,
        key: str,
        build: Callable[[Any, Any], Any],
        probe: Callable[[Any], Any] | None = None,
        close: Callable[[Any], Any] | None = None,
        adopt: str = "turn",
    ) -> ModuleHandle:
        """Declare a live module: see :class:`~client_sdk.modules.spec.ModuleSpec`."""
        self._check()
        return self._serving.declare(ModuleSpec(key, build, probe, close, adopt))

    async def ready(self, timeout: float = 30.0) -> None:
        """Wait until every declared module is built and proven. Raises NotReady."""
        self._check()
        await self._serving.ready(timeout)

    def on_change(self, key: str) -> Callable[[Callable[[Change], Any]], Callable[[Change], Any]]:
        """Decorate a function that is called with the value now, and at every change of it."""

        def add(function: Callable[[Change], Any]) -> Callable[[Change], Any]:
            self._check()
            listener = self._listeners.add(key, function)
            call(listener, self._present(key, "start"))
            return function

        return add

    def report_devices(self, rows: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
        """``rows()`` gives the devices that are here now; the center is told what changed."""
        if self._reporter is not None:
            self._reporter.devices = rows

    # -- state --------------------------------------------------------------------------------

    def status(self) -> Status:
        """How the client is now."""
        driver = self._driver
        held = tuple(sorted(self._serving.held()))
        if driver is None:
            return Status(self._serving.position, stale=True, durable=self._durable, held=held)
        replica, confirmed = driver.replica, driver.replica.confirmed_at
        age = None if confirmed is None else time.monotonic() - confirmed
        transport = None if driver.transport is None else driver.transport.name
        fresh = age is not None and age < 4 * self._plan.timing.silence
        return Status(
            position=self._serving.position,
            stale=transport is None or not fresh,
            transport=transport,
            confirmed_seconds_ago=age,
            fork=replica.fork,
            center_silent=replica.center_silent,
            tampered=replica.tampered,
            durable=self._durable,
            held=held,
            failure=driver.failure,
        )

    def metrics(self) -> dict[str, float]:
        """Counters and gauges by name."""
        if self._driver is None:
            return {}
        counters = self._driver.replica.counters
        status = self.status()
        return {
            "config_client_dropped_total": counters.dropped,
            "config_client_gaps_total": counters.gaps,
            "config_client_forks_total": counters.forks,
            "config_client_tampered_total": counters.tampered,
            "config_client_stale": float(status.stale),
            "config_client_durable": float(status.durable),
            "config_client_held_keys": len(status.held),
            "config_client_revision": status.position.v,
        }

    async def put(
        self,
        key: str,
        value: Any,
        *,
        if_version: int | None = None,
        comment: str = "",
        rollout: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Publish over HTTP with a publisher's token. Raises ApiError."""
        self._check()
        return await publish(self._plan, key, value, if_version, comment, rollout)

    async def close(self, deadline: float = 10.0) -> None:
        """Stop following, let open turns end, close the modules."""
        if self._closed:
            return
        self._closed = True
        if self._driver is not None:
            await self._driver.close()
        if self._reporter is not None:
            await self._reporter.close()
        await self._listeners.close()
        await self._serving.close(deadline)
        await asyncio.to_thread(self._snapshots.close)

    # -- how ----------------------------------------------------------------------------------

    async def open(self) -> None:
        """Restore, follow, wait for the first news: what :meth:`connect` awaits."""
        began = time.monotonic()
        plan = self._plan
        await asyncio.to_thread(self._snapshots.open)
        try:
            verifier = await self._verifier()
            restored = Restored()
            if verifier is not None:
                restored = await asyncio.to_thread(self._snapshots.restore, verifier)
                for note in restored.notes:
                    log.error("%s", note)
            if restored.state is not None:
                self._ring = restored.ring
                await self._serving.restore(restored.state, restored.held, restored.groups)
            if verifier is not None:
                self._follow(verifier, restored)
                left = plan.timeout - (time.monotonic() - began)
                await self._first_news(max(0.0, left))
            self._require_something(restored)
        except BaseException:
            await self.close(0.0)
            raise

    def _follow(self, verifier: Verifier, restored: Restored) -> None:
        replica = Replica(
            self._plan.namespace,
            verifier,
            state=restored.state,
            mark=restored.mark,
            timing=self._plan.timing,
        )
        self._driver = Driver(replica, self._plan.transports(), self._serve)
        self._driver.ring = restored.ring
        self._reporter = Reporter(self._plan, self._serving, self._driver)
        self._driver.start()
        self._reporter.start()

    async def _verifier(self) -> Verifier | None:
        plan = self._plan
        address = plan.addresses()[0]
        transport = plan.transports()[0]()

        async def fetch() -> bytes:
            await transport.open()
            return await transport.read_trust()

        first = address.loopback or address.scheme in ("https", "unix")
        try:
            trust = await asyncio.wait_for(
                load_trust(plan.trust, plan.state, fetch, first_contact=first), plan.timeout
            )
        except (TransportDown, asyncio.TimeoutError) as error:
            if plan.defaults:
                log.error("whom to trust is not known yet (%s); the defaults serve", error)
                return None
            raise Unavailable(
                f"the center cannot be reached ({error}), there is no snapshot in {plan.state} and "
                "there are no defaults"
            ) from error
        finally:
            await transport.close()
        return Verifier(trust)

    async def _first_news(self, within: float) -> None:
        if self._driver is None:
            return
        try:
            await asyncio.wait_for(self._driver.first.wait(), within)
            await asyncio.wait_for(self._driver.settled(), within)
        except asyncio.TimeoutError:
            log.warning("the center was not reached in time: %s", self._driver.failure)

    def _require_something(self, restored: Restored) -> None:
        if self._serving.position <= (0, 0) and not restored.state and not self._plan.defaults:
            failure = "" if self._driver is None else self._driver.failure
            raise Unavailable(
                f"the center cannot be reached ({failure}), there is no snapshot in "
                f"{self._plan.state} and there are no defaults"
            )

    async def _serve(self, pending: Pending) -> None:
        driver = self._driver
        if driver is None:
            return
        await self._renew_ring(driver, pending)
        head = pending.records[-1] if pending.records else None
        await self._persist(pending, head)
        await self._take(await self._serving.advance(pending.state, pending.changed))

    async def _take(self, outcome: Outcome) -> None:
        """Tell what a step did, before anything is awaited: so steps are told in their order."""
        self._tell(outcome)
        if self._reporter is not None:
            self._reporter.tell(outcome)
        if outcome.held:
            await self._persist_held()

    async def _renew_ring(self, driver: Driver, pending: Pending) -> None:
        """Fetch the ring when a change is sealed under a data key that is not known here."""
        self._ring = driver.ring
        bodies = (body for record in pending.records for body in record.bodies.values())
        deks = {dek.decode() for body in bodies for dek in _DEK.findall(body)}
        if deks <= self._ring.keys() or driver.transport is None:
            return
        try:
            self._ring = driver.ring = await driver.transport.read_ring()
        except TransportDown as error:
            log.warning("the ring could not be read: %s", error)

    async def _persist(self, pending: Pending, head: Any) -> None:
        driver = self._driver
        if driver is None:
            return
        try:
            head = head or driver.head
            if head is not None:
                async with self._disk:
                    await asyncio.to_thread(
                        self._snapshots.advance, pending.state, pending.records, head, self._ring
                    )
            self._durable = True
        except OSError as error:
            self._durable = False
            log.error("the snapshot cannot be written (%s); serving goes on without it", error)

    async def _persist_held(self) -> None:
        try:
            async with self._disk:
                held, groups = self._serving.held(), self._serving.held_groups()
                await asyncio.to_thread(self._snapshots.write_held, held, groups)
        except OSError as error:
            self._durable = False
            log.error("what is held back cannot be written down: %s", error)

    def _tell(self, outcome: Outcome) -> None:
        changes = {change.key: change for change in outcome.changes}
        for key in sorted(outcome.touched | changes.keys()):
            own = changes.get(key)
            # Touched and the same for this instance: it is some devices that get another value.
            change = self._present(key, "rollout") if own is None else _told(own)
            self._listeners.tell(change)

    def _present(self, key: str, reason: str) -> Change:
        """A key as it is now, nothing having changed for this instance itself."""
        value, served = self.get(key, None), self._serving.current
        previous = None if reason == "start" else value
        return Change(key, value, previous, served.version(key), served.offer.position, reason)

    def _open_sealed(self, key: str, value: Any) -> Any:
        from client_sdk.sealing import RingEntry, open_value

        ring = {dek: RingEntry.parse(text) for dek, text in self._ring.items()}
        return open_value(value, self._plan.namespace, key, ring, self._plan.kek())

    def _check(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedClient("this process was forked after connect; connect anew in the child")
        if self._closed:
            raise ClientClosed("the client was closed")

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _told(change: KeyChange) -> Change:
    value = None if change.value is MISSING else change.value
    previous = None if change.previous is MISSING else change.previous
    return Change(change.key, value, previous, change.version, change.position, change.reason)
