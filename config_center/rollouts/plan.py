"""
What may be done to a rollout: start, step, pause, resume, promote, abort, supersede.

Pure: a state and a request in, operations out. The law:

* One rollout spans a whole change: every move touches all its keys in one revision, so no unit is
  ever given half of it.
* A key is in at most one rollout. What else is done to the key is refused (409), or with
  ``supersede`` aborts the *whole* rollout, all its keys, in the same revision.
* A share only grows unless somebody says ``force``: shrinking takes a version away from units that
  have it. A paused rollout keeps its share and does not grow.
* Promote makes the canary's content the stable one and gives out no number; abort drops it, and
  its number is never given out again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from client_sdk.contents import Op, Rollout
from client_sdk.errors import InvalidValue, RuleInvalid
from client_sdk.greyscale import check_pattern, normal_device, share
from client_sdk.suggestions import did_you_mean
from client_sdk.targeting import compile_rules
from config_center.problems import Problem, invalid, not_found

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from client_sdk.state import Entry, NamespaceState

UNITS = ("device", "instance")
_MAX_LIST = 1_000
_MAX_STEPS = 100
_FIELDS = ("percent", "unit", "salt", "allow", "deny", "rules", "steps", "min_devices")


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of a new rollout, checked."""

    percent: float
    unit: str = "device"
    salt: str | None = None
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    rules: tuple[Mapping[str, Any], ...] = ()
    steps: tuple[float, ...] = ()
    min_devices: int | None = None

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Terms:
        """From a request's JSON. Raises Problem 400 that names the field."""
        _check_fields(plain)
        unit, salt = plain.get("unit", "device"), plain.get("salt")
        if unit not in UNITS:
            raise invalid("unit is device or instance", field="unit")
        if salt is not None and not (isinstance(salt, str) and 0 < len(salt) <= 200):
            raise invalid("salt is a text of 1 to 200 characters", field="salt")
        rules = plain.get("rules") or []
        try:
            compile_rules(rules)
        except RuleInvalid as error:
            raise invalid(f"rules{error}", field="rules") from None
        return cls(
            percent=check_percent(plain["percent"]),
            unit=unit,
            salt=salt,
            allow=_patterns(plain, "allow", unit),
            deny=_patterns(plain, "deny", unit),
            rules=tuple(rules),
            steps=_steps(plain.get("steps") or []),
            min_devices=_min_devices(plain.get("min_devices")),
        )

    def start(self, ident: str, keys: Iterable[str], now_ms: int, by: str) -> Rollout:
        """The rollout on ``keys``; each key puts in its own content."""
        return Rollout(
            id=ident,
            percent=self.percent,
            unit=self.unit,
            salt=self.salt or ident,
            keys=tuple(keys),
            content=None,
            allow=self.allow,
            deny=self.deny,
            rules=self.rules,
            steps=self.steps,
            step=_steps_done(self.steps, self.percent),
            min_devices=self.min_devices,
            started_at=now_ms,
            by=by,
        )


@dataclass(frozen=True, slots=True)
class Move:
    """What is asked of a running rollout; ``percent`` and ``force`` belong to ``step``."""

    verb: str
    percent: float | None = None
    force: bool = False

    def shrinks(self, percent: float) -> bool:
        """True when it takes a version away from units that have it."""
        return self.percent is not None and self.percent < percent


def plan_move(state: NamespaceState, which: str, move: Move) -> tuple[Op, ...]:
    """The operations of a move, on all keys of the rollout. Raises Problem 404, 409, 400."""
    entries = members(state, which)
    return _MOVES[move.verb](entries, move)


def members(state: NamespaceState, which: str) -> list[Entry]:
    """The entries of a running rollout, by its id or by one of its keys. Raises Problem 404."""
    by_key = state.entries.get(which)
    if by_key is not None and by_key.rollout is not None:
        which = by_key.rollout.id
    found = [e for e in state.entries.values() if e.rollout is not None and e.rollout.id == which]
    if not found:
        raise not_found(f"no rollout {which[:128]!r} is running; GET .../rollouts lists them")
    return sorted(found, key=lambda entry: entry.key)


def supersede(state: NamespaceState, keys: Iterable[str], *, allowed: bool) -> dict[str, Op]:
    """
    The operations that abort every rollout on ``keys``, all of its keys.

    Raises Problem 409 ``rollout-running`` unless ``allowed``.
    """
    ops: dict[str, Op] = {}
    for key in keys:
        entry = state.entries.get(key)
        if key in ops or entry is None or entry.rollout is None:
            continue
        rollout = entry.rollout
        if not allowed:
            raise Problem(
                "rollout-running",
                f"a rollout ({rollout.id}) is running on {key}: promote or abort it first, or send "
                "?supersede=true, which aborts it in the same revision",
                key=key,
                rollout=rollout.id,
                keys=list(rollout.keys),
            )
        ops.update({member.key: _ended(member) for member in members(state, rollout.id)})
    return ops


def check_percent(value: Any) -> float:
    """A percentage in steps of 0.001. Raises Problem 400."""
    try:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InvalidValue("percent is a number from 0 to 100")
        rounded = share(value) / 1000
        if rounded in (0, 100) and value != rounded:  # nobody or everybody is not what was meant
            raise InvalidValue(f"percent goes in steps of 0.001; {value} would be {rounded:g}")
        return rounded
    except InvalidValue as error:
        raise invalid(str(error), field="percent") from None


def _step(entries: list[Entry], move: Move) -> tuple[Op, ...]:
    now = _rollout(entries[0])
    percent = _next_percent(now) if move.percent is None else check_percent(move.percent)
    if percent < now.percent and not move.force:
        raise Problem(
            "would-shrink",
            f"{percent:g} % is less than the {now.percent:g} % that have it now; send "
            '{"force": true} to take it away from some',
            percent=now.percent,
        )
    if percent > now.percent and now.state == "paused":
        raise Problem("rollout-paused", "the rollout is paused; resume it first", rollout=now.id)
    return _changed(entries, percent=percent, step=_steps_done(now.steps, percent))


def _next_percent(now: Rollout) -> float:
    later = [float(step) for step in now.steps if step > now.percent]
    if not later:
        raise invalid(
            'there is no further step: promote the rollout, or say how far with {"percent": N}',
            percent=now.percent,
        )
    return later[0]


def _pause(entries: list[Entry], _move: Move) -> tuple[Op, ...]:
    return _changed(entries, state="paused")


def _resume(entries: list[Entry], _move: Move) -> tuple[Op, ...]:
    return _changed(entries, state="running")


def _promote(entries: list[Entry], _move: Move) -> tuple[Op, ...]:
    return tuple(Op(e.key, "rollout", e.latest, _rollout(e).content) for e in entries)


def _abort(entries: list[Entry], _move: Move) -> tuple[Op, ...]:
    return tuple(_ended(entry) for entry in entries)


_MOVES = {
    "step": _step,
    "pause": _pause,
    "resume": _resume,
    "promote": _promote,
    "abort": _abort,
}
VERBS = tuple(_MOVES)


def _ended(entry: Entry) -> Op:
    return Op(entry.key, "rollout", entry.latest, entry.content)


def _changed(entries: list[Entry], **changes: Any) -> tuple[Op, ...]:
    return tuple(
        Op(e.key, "rollout", e.latest, e.content, replace(_rollout(e), **changes)) for e in entries
    )


def _rollout(entry: Entry) -> Rollout:
    return cast("Rollout", entry.rollout)  # the entries here were found by theirs


def _check_fields(plain: Mapping[str, Any]) -> None:
    for name in plain:
        if name not in _FIELDS:
            raise invalid(f"a rollout has no field {name[:64]!r}{did_you_mean(name, _FIELDS)}")
    if "percent" not in plain:
        raise invalid("a rollout needs its percent", field="percent")


def _patterns(plain: Mapping[str, Any], name: str, unit: str) -> tuple[str, ...]:
    entries = plain.get(name) or []
    if not isinstance(entries, list) or len(entries) > _MAX_LIST:
        raise invalid(f"{name} is a list of at most {_MAX_LIST} ids", field=name)
    try:
        checked = [check_pattern(str(entry)) for entry in entries]
    except RuleInvalid as error:
        raise invalid(f"{name}: {error}", field=name) from None
    return tuple(normal_device(e) if unit == "device" else e for e in checked)


def _steps(steps: Any) -> tuple[float, ...]:
    if not isinstance(steps, list) or len(steps) > _MAX_STEPS:
        raise invalid(f"steps is a list of at most {_MAX_STEPS} percentages", field="steps")
    checked = tuple(check_percent(step) for step in steps)
    if list(checked) != sorted(set(checked)):
        raise invalid("steps must grow", field="steps")
    return checked


def _steps_done(steps: Iterable[float], percent: float) -> int:
    return sum(1 for step in steps if step <= percent)


def _min_devices(value: Any) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise invalid("min_devices is a whole number from 1", field="min_devices")
    return value
