"""
The read side: what any thread may do, and the pins that keep modules open.

There is one reference, ``current``. Reading takes it once and never awaits, never locks. Changing
it (:meth:`Readers.show`) is for the loop, one at a time; what was current before is *retired*: it
takes no new readers, and when the last one has left it is *drained* and ``on_drained`` is called on
the loop. How a pin works without a lock is told in served.py.

``values`` repeats ``current.values``. It saves the read of a single key one step, and a single key
has no position that could be torn; whatever reads more than one goes through ``current``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from client_sdk.errors import ClientClosed, UsageError
from client_sdk.outcomes import MISSING
from client_sdk.views import Turn, Unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from client_sdk.modules.instance import Instance
    from client_sdk.outcomes import Measured
    from client_sdk.records import Position
    from client_sdk.served import Served


class Readers:
    """What serves now, and who reads it. Slots, because ``current`` and ``values`` are hot."""

    __slots__ = (
        "_closed",
        "_drained_all",
        "_loop",
        "_on_drained",
        "_retired",
        "current",
        "on_measured",
        "values",
    )

    def __init__(self, served: Served, on_drained: Callable[[], None]) -> None:
        self.on_measured: Callable[[Measured], None] = lambda _: None
        self.current = served
        self.values = served.values
        self._on_drained = on_drained
        self._loop: asyncio.AbstractEventLoop | None = None
        self._retired: set[Served] = set()
        self._drained_all = asyncio.Event()
        self._closed = False

    @property
    def position(self) -> Position:
        """The position of what serves."""
        return self.current.offer.position

    def get(self, key: str, default: Any = MISSING) -> Any:
        """
        The value this instance itself gets, deeply read-only.

        Raises UnknownKey (a KeyError) with the nearest names, or NotReady for a module that was
        refused with nothing older to serve; with a ``default`` neither.
        """
        try:
            return self.values[key]
        except KeyError:
            served = self.current
            return served.missing(key, served.values, default)

    def unit(self, id: str, /, **attributes: Any) -> Unit:
        """
        A light handle of one device, always current. Attributes are what rules look at. Raises
        UsageError for an id that is no text.
        """
        if not (id and isinstance(id, str)):  # said here: in a read it would be a riddle
            raise UsageError(f"a unit is named by a text, as 24:6f:28:a0:00:01, not by {id!r}")
        return Unit(self, id, attributes)

    def turn(self, unit: Unit | None = None) -> Turn:
        """
        A turn of ``unit``, or of this instance itself: enter it for a consistent view. Raises
        UsageError for what is no unit.
        """
        if unit is not None and not isinstance(unit, Unit):
            raise UsageError(f"a turn is of a unit: client.turn(client.unit({unit!r}))")
        return Turn(self, unit)

    def enter(self, token: object) -> Served:
        """Pin what serves now under ``token``: see served.py. Raises ClientClosed."""
        while True:
            served = self.current
            served.open.add(token)
            if not served.sealed:
                return served
            self.leave(served, token)
            self.check_open()

    def leave(self, served: Served, token: object) -> None:
        """Take a pin out; the last one out of what was retired says so to the loop."""
        served.open.discard(token)
        if served.sealed and not served.open and self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._drained, served)
            except RuntimeError:
                pass  # the loop is closed, and with it all that could be let go

    # --- the loop's side -------------------------------------------------------------------------

    def show(self, after: Served) -> None:
        """Serve ``after`` from now on, and retire what served before."""
        before = self.current
        self.current = after
        self.values = after.values
        self._retire(before)

    def in_use(self) -> set[Instance]:
        """The instances that are served, or may be in the hands of a reader."""
        used: set[Instance] = set() if self._closed else self.current.instances()
        for served in self._retired:
            used |= served.instances()
        return used

    async def dismiss(self, deadline: float) -> int:
        """Take no more readers and wait for those inside; how many were left at the deadline."""
        self._loop = asyncio.get_running_loop()
        if not self._closed:
            self._closed = True
            self._retire(self.current)
        if self._retired:
            self._drained_all.clear()  # set by whatever drained earlier
            drained = self._loop.create_task(self._drained_all.wait())
            try:
                await asyncio.wait({drained}, timeout=deadline)
            finally:
                drained.cancel()
        left = sum(len(served.open) for served in self._retired)
        self._retired.clear()
        return left

    def refuse(self, error: Callable[[], Exception]) -> None:
        """Answer every read from now on with an error: for the child of a fork."""
        self.current, self.values = cast("Any", _Nothing(error)), cast("Any", _Nothing(error))

    def check_open(self) -> None:
        """Raises ClientClosed after :meth:`dismiss`."""
        if self._closed:
            raise ClientClosed("the client was closed; connect anew")

    def _retire(self, served: Served) -> None:
        self._retired.add(served)
        served.sealed = True  # before the look at its readers: see served.py
        if not served.open:
            self._drained(served)

    def _drained(self, served: Served) -> None:
        self._retired.discard(served)
        if not self._retired:
            self._drained_all.set()
        self._on_drained()


class _Nothing:
    """Stands where values were; whoever looks gets the error. Reading stays free of checks."""

    __slots__ = ("_error",)

    def __init__(self, error: Callable[[], Exception]) -> None:
        object.__setattr__(self, "_error", error)

    def __getattr__(self, name: str) -> Any:
        raise object.__getattribute__(self, "_error")()

    def __getitem__(self, key: str) -> Any:
        raise object.__getattribute__(self, "_error")()
