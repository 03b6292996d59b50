"""
Who is in a canary: the bucket of a unit, and the order in which a rollout decides.

``bucket = (murmur3_x86_32(utf8(salt + ":" + unit), seed 0) * 100000) >> 32`` is one of 100,000, and
a unit is in at P % when ``bucket < round(P * 1000)``. Integers only, so C and JavaScript get the
same devices; the hash is the one of Unleash (groupId = salt) and of flagd's ``fractional``, so a
rollout can be handed to either. Each arm owns a fixed slice of the buckets and ramps inside it.
With two arms the canary's slice begins at 0, which makes the test above all of it: nobody changes
arm while the share grows, and shrinking takes out those who came last.

The order is: off, deny, allow, dependency, targeting, percentage, stable. The first that has a say
decides, and its name is the reason. (Rollouts that depend on others do not exist yet; the word
``dependency`` is promised to readers of reasons.)

**Whatever is not known keeps a unit on stable**: a state this library does not know is ``off``, a
missing attribute matches no rule, and a rollout by device that is asked for without a device is
kept out as if a rule had asked for the device. Rejected: putting a missing unit into bucket 0,
which made "nobody knows who" the first guinea pig elsewhere.

Rejected hashes: CRC-32 and FNV-1a pick related devices for two rollouts on consecutive MACs.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol

from mmh3 import mmh3_32_uintdigest

from client_sdk.errors import InvalidValue, RuleInvalid
from client_sdk.targeting import compile_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    Arm = Literal["stable", "canary"]
    Reason = Literal[
        "no-rollout", "percentage", "stable", "allow", "deny", "rule", "off", "dependency"
    ]
    Decider = Callable[["str | None", Mapping[str, object]], "Decision"]

BUCKETS = 100_000  # steps of 0.001 %
SERVED_STATES = ("running", "paused")  # a paused rollout keeps its share; it only stops growing


class Rolling(Protocol):
    """What deciding reads of a rollout; :class:`client_sdk.contents.Rollout` has it."""

    @property
    def percent(self) -> float: ...
    @property
    def unit(self) -> str: ...
    @property
    def salt(self) -> str: ...
    @property
    def allow(self) -> tuple[str, ...]: ...
    @property
    def deny(self) -> tuple[str, ...]: ...
    @property
    def rules(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def state(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Decision:
    """An arm, why, and the unit's bucket (``None`` where there is no rollout or no unit)."""

    arm: Arm
    reason: Reason
    bucket: int | None = None


NO_ROLLOUT = Decision("stable", "no-rollout")
_NO_UNIT = Decision("stable", "rule")


def bucket(salt: str, unit: str) -> int:
    """
    The bucket of ``unit`` under ``salt``: 0..99,999.

    Never raises: a lone surrogate (a header that was not UTF-8) is hashed by its three bytes. The
    encoding is ours, because mmh3 5.3.1 ends the process when it is given such a ``str``.
    """
    text = f"{salt}:{unit}".encode("utf-8", "surrogatepass")
    return (mmh3_32_uintdigest(text) * BUCKETS) >> 32


@lru_cache(maxsize=1024)
def share(percent: float | Decimal | str) -> int:
    """
    How many buckets ``percent`` (0 to 100) is: thousandths of a percent, rounded.

    It is read as decimal text, so that 0.1 is 100 buckets whatever the float says. Raises
    InvalidValue for anything that is not a number from 0 to 100.
    """
    try:
        exact = Decimal(str(percent))
        if not 0 <= exact <= 100:
            raise InvalidValue(f"a percentage lies between 0 and 100, not {percent}")
    except InvalidOperation as error:
        raise InvalidValue(f"{percent!r} is not a percentage") from error
    return round(exact * (BUCKETS // 100))


def normal_device(text: str) -> str:
    """
    A device id, or a pattern of ids, as units and lists hold it: in lower case.

    Call it once where an id comes in; :func:`decide` compares what it is given. Names of instances
    stay as they are.
    """
    return text.lower()


def check_pattern(entry: str) -> str:
    """An entry of ``allow`` or ``deny``, or RuleInvalid: ``*`` may stand at its end only."""
    if not entry or "*" in entry[:-1]:
        raise RuleInvalid(f"{entry!r} is not an id, nor the beginning of ids and a * at the end")
    return entry


def unit_of(rollout: Rolling, *, device: str | None, instance: str) -> str | None:
    """The unit that ``rollout`` looks at; ``None`` when it goes by device and there is none."""
    return instance if rollout.unit == "instance" else device


def decide(rollout: Rolling | None, unit: str | None, attributes: Mapping[str, object]) -> Decision:
    """
    Which arm ``unit`` is in. For many units of one rollout call :func:`decider` once.

    ``unit`` is what :func:`unit_of` says; ``None`` (a rollout by device, asked for by an instance)
    is ``stable`` because of ``rule``: no bucket was compared, so ``stable`` would explain it
    wrongly, and ``no-rollout`` would deny what is running. Raises RuleInvalid and InvalidValue for
    a rollout that the center would not have accepted.
    """
    return NO_ROLLOUT if rollout is None else decider(rollout)(unit, attributes)


def decider(rollout: Rolling) -> Decider:
    """The decision of one rollout as a function, its lists and rules compiled. Raises as decide."""
    if rollout.state not in SERVED_STATES:
        return _off
    salt, size = rollout.salt, share(rollout.percent)
    denied, allowed = _matcher(rollout.deny), _matcher(rollout.allow)
    targeted = compile_rules(rollout.rules)

    def decision(unit: str | None, attributes: Mapping[str, object]) -> Decision:
        if unit is None:
            return _NO_UNIT
        place = bucket(salt, unit)
        if denied(unit):
            return Decision("stable", "deny", place)
        if allowed(unit):
            return Decision("canary", "allow", place)
        if not targeted(attributes):
            return Decision("stable", "rule", place)
        if place < size:
            return Decision("canary", "percentage", place)
        return Decision("stable", "stable", place)

    return decision


def _off(_unit: str | None, _attributes: Mapping[str, object]) -> Decision:
    return Decision("stable", "off")


def _matcher(entries: Iterable[str]) -> Callable[[str], bool]:
    checked = [check_pattern(entry) for entry in entries]
    whole = frozenset(entry for entry in checked if not entry.endswith("*"))
    beginnings = tuple(entry[:-1] for entry in checked if entry.endswith("*"))
    return lambda unit: unit in whole or unit.startswith(beginnings)
