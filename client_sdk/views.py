"""
How units read: a handle that is always current, and a turn that stays at one position.

A :class:`Unit` costs one comparison over a dict lookup: it keeps what it resolved to together with
the position it was resolved for, in one object, so that two threads that refresh it at once cannot
leave one's values with the other's position.

A :class:`Turn` pins what serves when it is entered. All that its :class:`View` gives is of that one
position, and no module in it is closed before the turn is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from client_sdk.errors import UsageError
from client_sdk.outcomes import MISSING, Measured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Protocol

    from client_sdk.greyscale import Decision
    from client_sdk.outcomes import Resolution
    from client_sdk.records import Position
    from client_sdk.served import Overlay, Served

    class Source(Protocol):
        """What units and turns are of."""

        current: Served
        on_measured: Callable[[Measured], None]

        def enter(self, token: object) -> Served:
            """Pin what serves now under ``token``. Raises ClientClosed."""

        def leave(self, served: Served, token: object) -> None:
            """Take the pin out."""


class Seat:
    """A unit at one position."""

    __slots__ = ("decisions", "overlay", "served", "values")

    def __init__(self, served: Served, unit: str | None, attributes: Mapping[str, object]) -> None:
        self.served = served
        self.decisions = served.decisions(unit, attributes)
        self.overlay: Overlay = served.overlay(self.decisions)
        self.values = self.overlay.values

    def get(self, key: str, default: Any) -> Any:
        if key in self.values:
            return self.values[key]
        return self.served.missing(key, self.values, default)

    def explain(self, key: str) -> Resolution:
        return self.served.resolve(key, self.decisions, self.overlay)

    def measured(self, unit: str, name: str, ok: bool, seconds: float) -> Measured:
        own: Mapping[str, Decision] = self.served.offer.own
        arms = {**own, **self.decisions}
        told = tuple((rollout, made.arm) for rollout, made in arms.items())
        return Measured(unit, name, ok, seconds, told)


class Unit:
    """One device, as the config sees it. Light, always current, for any thread."""

    __slots__ = ("_seat", "_source", "attributes", "id")

    def __init__(self, source: Source, id: str, attributes: Mapping[str, object]) -> None:
        self.id = id
        self.attributes = attributes
        self._source = source
        self._seat = Seat(source.current, id, attributes)

    def get(self, key: str, default: Any = MISSING) -> Any:
        """
        The value this unit gets now, deeply read-only.

        Raises UnknownKey (a KeyError) with the nearest names, or NotReady for a module that was
        refused with nothing older to serve; with a ``default`` neither.
        """
        seat = self._seat
        if seat.served is not self._source.current:
            seat = self.seat(self._source.current)
        try:
            return seat.values[key]
        except KeyError:
            return seat.served.missing(key, seat.values, default)

    def explain(self, key: str) -> Resolution:
        """What this unit gets of ``key`` and why. Raises UnknownKey or NotReady."""
        return self.seat(self._source.current).explain(key)

    def report(self, name: str, *, ok: bool, seconds: float = 0.0) -> None:
        """Tell what this unit did (``name``, as ``turn``): what the judge of a rollout reads."""
        seat = self.seat(self._source.current)
        self._source.on_measured(seat.measured(self.id, name, ok, seconds))

    def seat(self, served: Served) -> Seat:
        """This unit at ``served``; decided once and kept."""
        seat = self._seat
        if seat.served is not served:
            seat = self._seat = Seat(served, self.id, self.attributes)
        return seat

    def __repr__(self) -> str:
        return f"Unit({self.id!r})"


class View:
    """What one unit gets at one position, for the length of a turn."""

    __slots__ = ("_over", "_seat", "_source", "_unit")

    def __init__(self, source: Source, unit: Unit | None) -> None:
        self._source = source
        self._unit = unit
        self._over = False
        served = source.enter(self)
        try:
            self._seat = Seat(served, None, {}) if unit is None else unit.seat(served)
        except BaseException:
            source.leave(served, self)
            raise

    @property
    def position(self) -> Position:
        """The one position all of this is of."""
        return self._seat.served.offer.position

    def get(self, key: str, default: Any = MISSING) -> Any:
        """The value at this view's position. Raises as :meth:`Unit.get`."""
        return self._seat.get(key, default)

    def module(self, key: str) -> Any:
        """
        The live object, not closed before the turn is over.

        Raises UnknownKey when there is no such key, NotReady when there is nothing to serve, and
        UsageError for a module that was not declared, or after the turn.
        """
        if self._over:
            raise UsageError(f"the turn is over; take module {key!r} from the view of a new one")
        instance = self._seat.overlay.modules.get(key)
        if instance is None:
            raise self._seat.served.no_module(key, self._seat.values)
        return instance.live

    def explain(self, key: str) -> Resolution:
        """What the unit gets of ``key`` in this view, and why. Raises as :meth:`Unit.get`."""
        return self._seat.explain(key)

    def report(self, name: str, *, ok: bool, seconds: float = 0.0) -> None:
        """As :meth:`Unit.report`, under the arms of this view. Raises UsageError without a unit."""
        if self._unit is None:
            raise UsageError("this turn is of no unit; report through client.unit(...)")
        self._source.on_measured(self._seat.measured(self._unit.id, name, ok, seconds))

    def end(self) -> None:
        """The turn is over: let go of the modules. Again: nothing."""
        if not self._over:
            self._over = True
            self._source.leave(self._seat.served, self)


class Turn:
    """A turn to be entered: ``with`` or ``async with``, from any thread."""

    __slots__ = ("_source", "_unit", "_view")

    def __init__(self, source: Source, unit: Unit | None) -> None:
        self._source = source
        self._unit = unit
        self._view: View | None = None

    def __enter__(self) -> View:
        if self._view is not None:
            raise UsageError("this turn is open already; make another with client.turn(...)")
        self._view = View(self._source, self._unit)
        return self._view

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        view, self._view = self._view, None
        if view is not None:
            view.end()

    async def __aenter__(self) -> View:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)
