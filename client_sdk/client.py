"""The client that services embed: connect, read, hold live modules, hear of changes."""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import time
import weakref
from typing import TYPE_CHECKING, Any

from client_sdk.connecting import Connecting
from client_sdk.errors import ClientClosed, ForkedClient
from client_sdk.following import Following
from client_sdk.listeners import Change, Listeners, call
from client_sdk.outcomes import MISSING
from client_sdk.plan import Plan, Status
from client_sdk.publish import publish
from client_sdk.route import Pace
from client_sdk.serving import ModuleHandle, ModuleSpec, Serving
from client_sdk.steps import Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from client_sdk.keks import Kek, Keks
    from client_sdk.outcomes import KeyChange, Outcome

CLOSE_SECONDS = 10.0


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
        self._following = Following(plan, self._serving, self._tell)
        self._closed = False
        self._ending: asyncio.Task[None] | None = None
        self._forked = False
        _clients.add(self)

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
        secret_key: str | Path | Kek | Keks | None = None,
        state: str | Path | None = None,
        timeout: float = 5.0,
        defaults: Mapping[str, Any] | None = None,
        timing: Timing | None = None,
        pace: Pace | None = None,
        report_every: float = 5.0,
    ) -> Connecting:
        """
        ``await`` it, or use it with ``async with``. What is ``None`` comes from the environment.

        Never takes longer than ``timeout`` seconds: with the center away the snapshot serves
        (``status().stale``), without one the ``defaults``. Raises Unavailable when there is
        nothing to serve, NotTrusted, StateInUse, SettingInvalid.
        """
        plan = Plan.complete(
            url=url,
            namespace=namespace,
            instance=instance,
            labels=labels,
            token=token,
            trust=trust,
            secret_key=secret_key,
            state=state,
            timeout=timeout,
            defaults=defaults,
            timing=timing or Timing(),
            pace=pace or Pace(),
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

    async def retry(self) -> None:
        """
        Try again, now, what is held back here (``status().held``), also what earlier processes
        died of; what becomes of it is in ``status()`` and in the report.
        """
        self._check()
        await self._following.retry(crashed=True)

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
        self._following.reporter.devices = rows

    # -- state --------------------------------------------------------------------------------

    def status(self) -> Status:
        """How the client is now."""
        following = self._following
        position, durable = self._serving.position, following.durable
        held = tuple(sorted(self._serving.holding.older))
        driver = following.driver
        if driver is None:
            return Status(position, stale=True, durable=durable, held=held)
        replica, now = driver.replica, time.monotonic()
        confirmed = replica.confirmed_at
        transport = None if driver.transport is None else driver.transport.name
        return Status(
            position=position,
            stale=transport is None or replica.is_stale(now),
            transport=transport,
            confirmed_seconds_ago=None if confirmed is None else now - confirmed,
            fork=replica.fork,
            center_silent=replica.center_silent,
            tampered=replica.tampered,
            durable=durable,
            held=held,
            failure=driver.failure if transport is None else "",
        )

    def metrics(self) -> dict[str, float]:
        """Counters and gauges by name."""
        status = self.status()
        gauges = {
            "config_client_stale": float(status.stale),
            "config_client_durable": float(status.durable),
            "config_client_held_keys": len(status.held),
            "config_client_revision": status.position.v,
            "config_client_epoch": status.position.e,
        }
        driver = self._following.driver
        if driver is None:
            return gauges
        counters, confirmed = driver.replica.counters, status.confirmed_seconds_ago
        if confirmed is not None:
            gauges["config_client_confirmation_age_seconds"] = confirmed
        return gauges | {
            "config_client_reconnects_total": driver.losses,
            "config_client_reports_lost_total": self._following.reporter.lost,
            "config_client_dropped_total": counters.dropped,
            "config_client_gaps_total": counters.gaps,
            "config_client_forks_total": counters.forks,
            "config_client_tampered_total": counters.tampered,
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

    async def close(self, deadline: float = CLOSE_SECONDS) -> None:
        """Stop following, let open turns end, close the modules. In a forked child: nothing."""
        await self._end(deadline, clean=True)

    # -- how ----------------------------------------------------------------------------------

    async def _end(self, deadline: float, *, clean: bool) -> None:
        """Whoever waits may be cancelled, and others may wait too: it is done once, and whole."""
        if self._forked:
            return
        if self._ending is None:
            self._closed = True
            self._ending = asyncio.create_task(self._let_go(deadline, clean), name="config end")
        await asyncio.shield(self._ending)

    async def _let_go(self, deadline: float, clean: bool) -> None:
        await self._following.close(clean=clean)
        await self._listeners.close()
        await self._serving.close(deadline)

    async def open(self) -> None:
        """Restore, follow, wait for the first news: what :meth:`connect` awaits."""
        try:
            await self._following.begin()
        except BaseException:
            await self.close(0.0)
            raise

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

        ring = {dek: RingEntry.parse(text) for dek, text in self._following.data_keys.ring.items()}
        return open_value(value, self._plan.namespace, key, ring, self._following.keks())

    def _check(self) -> None:
        if self._forked:
            raise forked()
        if self._closed:
            raise closed()

    def _leave_to_parent(self) -> None:
        """In a forked child: nothing of this client works, and its directory is the parent's."""
        self._forked = True
        self._serving.refuse(forked)
        self._following.snapshots.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, _type: object, error: BaseException | None, _at: object) -> None:
        # What an exception ends may have been ended by a change: that is no clean end.
        await self._end(CLOSE_SECONDS, clean=not isinstance(error, Exception))


def _told(change: KeyChange) -> Change:
    value = None if change.value is MISSING else change.value
    previous = None if change.previous is MISSING else change.previous
    return Change(change.key, value, previous, change.version, change.position, change.reason)


def forked() -> ForkedClient:
    """What every use of a client says in a forked child."""
    return ForkedClient("this process was forked after connect; connect anew in the child")


def closed() -> ClientClosed:
    """What every use of a client says after :meth:`Client.close`."""
    return ClientClosed("the client was closed; connect anew")


def _after_fork() -> None:
    for client in list(_clients):
        client._leave_to_parent()


def _at_exit() -> None:
    """A program that ends by itself ends well, also without closing its clients."""
    if getattr(sys, "last_value", None) is None:  # no exception that nobody caught
        for client in list(_clients):
            if not client._forked:  # in a child the file is the parent's, which goes on
                client._following.end_well()


_clients: weakref.WeakSet[Client] = weakref.WeakSet()
atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
