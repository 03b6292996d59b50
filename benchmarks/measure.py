"""Lines of a result, and the arithmetic behind them."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """
    ``ours`` and ``theirs`` in ``unit``; ``ratio`` is what is claimed, ``wanted`` the bound on it,
    ``at_least`` turns the bound around;
    ``None`` is a figure without a bound.
    """

    group: str
    what: str
    ours: float
    theirs: float
    against: str
    unit: str
    ratio: float
    wanted: float | None
    at_least: bool = False

    @property
    def met(self) -> bool:
        """True when the ratio keeps the bound, or there is none."""
        if self.wanted is None:
            return True
        return self.ratio >= self.wanted if self.at_least else self.ratio <= self.wanted

    def to_json(self) -> dict[str, object]:
        """Everything, for ``--json``."""
        return {**asdict(self), "met": self.met}

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        bound = "-" if self.wanted is None else f"{sign} {self.wanted:g}"
        mark = "" if self.met else "   <- over"
        return (
            f"{self.group:7} {self.what:44} {self.ours:10.4g} {self.theirs:10.4g} {self.unit:5} "
            f"{self.ratio:6.2f} {bound:8} {self.against}{mark}"
        )


HEAD = (
    f"{'group':7} {'what':44} {'ours':>10} {'theirs':>10} {'unit':5} {'ratio':>6} "
    f"{'wanted':8} against"
)


def compared(
    group: str,
    what: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    against: str,
    unit: str,
    wanted: float | None,
    *,
    at_least: bool = False,
) -> Line:
    """The medians of two interleaved series, and their ratio."""
    one, other = statistics.median(ours), statistics.median(theirs)
    return Line(group, what, one, other, against, unit, one / other, wanted, at_least)


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def per_call(function: Callable[[int], object], calls: int) -> float:
    """
    Seconds for one turn of the loop inside ``function(calls)``, garbage collection off as timeit
    does it.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        began = time.perf_counter()
        function(calls)
        return (time.perf_counter() - began) / calls
    finally:
        if enabled:
            gc.enable()
