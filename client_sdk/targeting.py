"""
Targeting rules: a JSON tree compiled once to closures, asked for every unit.

A rule is one of::

    {"attribute": "firmware", "op": "version_gte", "value": "2.0.5"}
    {"all": [RULE, ...]}      {"any": [RULE, ...]}      {"not": RULE}

and a list of rules means all of them. Attributes are texts, numbers or booleans; as they often come
from a query string, numeric text counts as a number where a number is asked for.

**The law of the missing attribute: it never matches, not even under** ``not``. A test answers yes,
no or *unknown*; unknown is the answer for an attribute that is absent (or null), and for one that
cannot be compared (``gt`` of ``"abc"``, a version comparison of ``"nightly"``). ``not`` of unknown
is unknown, ``all`` is no if one is no, else unknown if one is; ``any`` is yes if one is yes, else
unknown if one is (Kleene's logic). Only a yes matches. So a device that tells nothing about itself
is in no canary by accident. ``exists`` is the one operator that is never unknown: it is how to ask
for absence. Rejected: two values, where ``not region = cn`` takes in every device without a region.

**Versions** are compared as firmware is named, not as SemVer: a leading ``v`` is dropped, numbers
are compared one by one (missing ones are 0), and of the rest only a pre-release word counts
(``dev`` < ``alpha`` < ``beta`` < ``rc`` < release). Other suffixes name the board or the build, so
``2.0.5-esp32`` *is* 2.0.5; SemVer would put it before 2.0.5 and keep it out of ``version_gte
2.0.5``.

Rules come from people and are run for every device, so size, depth and pattern length are bounded.
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from client_sdk.errors import RuleInvalid
from client_sdk.paths import Path, dotted
from client_sdk.suggestions import did_you_mean

Test = Callable[[Any], bool | None]  # of one attribute that is there; None: unknown
Rule = Callable[[Mapping[str, object]], bool | None]

MAX_DEPTH: Final = 8
MAX_TESTS: Final = 256
MAX_MEMBERS: Final = 1_000  # of the list of ``in`` and ``not_in``
MAX_TEXT: Final = 256
MAX_STARS: Final = 8  # each star of a glob may cost a scan of the text

_STAGES: Final = {"dev": -4, "alpha": -3, "a": -3, "beta": -2, "b": -2, "pre": -1, "rc": -1}
_RELEASE: Final = (0, 0)
_VERSION: Final = re.compile(
    r"\s*[vV]?([0-9]{1,9}(?:\.[0-9]{1,9}){0,9})(?![0-9])(.{0,200})\Z", re.S
)
_STAGE: Final = re.compile(r"[-._+]?(dev|alpha|beta|pre|rc|a|b)[-.]?([0-9]{0,9})(?![a-z0-9])", re.I)


def compile_rules(rules: Sequence[Mapping[str, Any]]) -> Callable[[Mapping[str, object]], bool]:
    """
    One function of the attributes that is true when every rule matches (always, without rules).

    Raises RuleInvalid with the path of what is wrong, such as ``[0].all[2].op``.
    """
    if not _is_list(rules):
        raise RuleInvalid("rules are a list")
    budget = [MAX_TESTS]
    compiled = [_compile(rule, (at,), budget) for at, rule in enumerate(rules)]
    return lambda attributes: all(rule(attributes) for rule in compiled)


def firmware_version(text: object) -> tuple[tuple[int, ...], tuple[int, int]] | None:
    """What versions are ordered by: (numbers without trailing zeros, stage); ``None``: not one."""
    match = _VERSION.match(text) if isinstance(text, str) else None
    if match is None:
        return None
    numbers = [int(part) for part in match[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    stage = _STAGE.match(match[2])
    if stage is None:
        return tuple(numbers), _RELEASE
    return tuple(numbers), (_STAGES[stage[1].lower()], int(stage[2] or 0))


def _compile(rule: Any, path: Path, budget: list[int]) -> Rule:
    if not isinstance(rule, Mapping):
        raise RuleInvalid("a rule is an object", dotted(path))
    if len(path) > 2 * MAX_DEPTH:
        raise RuleInvalid(f"rules are at most {MAX_DEPTH} deep", dotted(path))
    budget[0] -= 1
    if budget[0] < 0:
        raise RuleInvalid(f"rules have at most {MAX_TESTS} parts", dotted(path))
    for name, combine in _COMBINERS.items():
        if name in rule:
            _only(rule, (name,), path)
            return combine(rule[name], (*path, name), budget)
    return _attribute_test(rule, path)


def _all(rules: Any, path: Path, budget: list[int]) -> Rule:
    parts = _parts(rules, path, budget)

    def every(attributes: Mapping[str, object]) -> bool | None:
        answers = [part(attributes) for part in parts]
        return False if False in answers else None if None in answers else True

    return every


def _any(rules: Any, path: Path, budget: list[int]) -> Rule:
    parts = _parts(rules, path, budget)

    def some(attributes: Mapping[str, object]) -> bool | None:
        answers = [part(attributes) for part in parts]
        return True if True in answers else None if None in answers else False

    return some


def _not(rule: Any, path: Path, budget: list[int]) -> Rule:
    part = _compile(rule, (*path, "not"), budget)

    def opposite(attributes: Mapping[str, object]) -> bool | None:
        answer = part(attributes)
        return None if answer is None else not answer

    return opposite


_COMBINERS: Final = {"all": _all, "any": _any, "not": _not}


def _parts(rules: Any, path: Path, budget: list[int]) -> list[Rule]:
    if not _is_list(rules) or not rules:
        raise RuleInvalid("here stands a list of rules that is not empty", dotted(path))
    return [_compile(rule, (*path, at), budget) for at, rule in enumerate(rules)]


def _attribute_test(rule: Mapping[str, Any], path: Path) -> Rule:
    _only(rule, ("attribute", "op", "value"), path)
    for name in ("attribute", "op"):
        if not isinstance(rule.get(name), str) or not rule[name]:
            raise RuleInvalid(
                "a rule is all, any, not, or attribute, op and value", dotted((*path, name))
            )
    name, op = rule["attribute"], rule["op"]
    make = OPERATORS.get(op)
    if make is None:
        hint = did_you_mean(op, OPERATORS) or f"; there are {', '.join(OPERATORS)}"
        raise RuleInvalid(f"there is no operator {op[:64]!r}{hint}", dotted((*path, "op")))
    if "value" not in rule:
        raise RuleInvalid(f"{op} needs a value", dotted((*path, "value")))
    try:
        test = make(rule["value"])
    except ValueError as error:
        raise RuleInvalid(f"{op} {error}", dotted((*path, "value"))) from error
    return _of_attribute(name, test, sees_absence=op == "exists")


def _of_attribute(name: str, test: Test, *, sees_absence: bool) -> Rule:
    def ask(attributes: Mapping[str, object]) -> bool | None:
        found = attributes.get(name)
        return None if found is None and not sees_absence else test(found)

    return ask


def _only(rule: Mapping[str, Any], allowed: tuple[str, ...], path: Path) -> None:
    for name in rule:
        if name not in allowed:
            hint = did_you_mean(str(name), (*allowed, *_COMBINERS))
            raise RuleInvalid(f"this does not belong here{hint}", dotted((*path, str(name))))


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value[:64] if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _eq(expected: Any) -> Test:
    if isinstance(expected, bool):
        return lambda found: found is expected or found == str(expected).lower()
    if isinstance(expected, (int, float)):
        return lambda found: _number(found) == expected
    text = _text(expected)
    return lambda found: isinstance(found, str) and found == text


def _in(expected: Any) -> Test:
    if not _is_list(expected) or not 0 < len(expected) <= MAX_MEMBERS:
        raise ValueError(f"takes a list of 1 to {MAX_MEMBERS} values")
    texts = frozenset(value for value in expected if isinstance(value, str))
    others = [_eq(value) for value in expected if not isinstance(value, str)]
    for text in texts:
        _text(text)
    return lambda found: (
        (isinstance(found, str) and found in texts) or any(equal(found) for equal in others)
    )


def _negated(make: Callable[[Any], Test]) -> Callable[[Any], Test]:
    def negation(expected: Any) -> Test:
        test = make(expected)
        return lambda found: not test(found)

    return negation


def _of_text(compare: Callable[[str, str], bool]) -> Callable[[Any], Test]:
    def make(expected: Any) -> Test:
        text = _text(expected)
        return lambda found: compare(found, text) if isinstance(found, str) else None

    return make


def _glob(expected: Any) -> Test:
    text = _text(expected)
    if text.count("*") > MAX_STARS:
        raise ValueError(f"takes at most {MAX_STARS} stars")
    match = re.compile(fnmatch.translate(text)).match
    return lambda found: match(found) is not None if isinstance(found, str) else None


def _ordered(
    read: Callable[[object], Any], what: str, accept: Callable[[Any, Any], bool]
) -> Callable[[Any], Test]:
    def make(expected: Any) -> Test:
        bound = None if isinstance(expected, str) and what == "a number" else read(expected)
        if bound is None:
            raise ValueError(f"takes {what}")

        def test(found: object) -> bool | None:
            value = read(found)
            return None if value is None else accept(value, bound)

        return test

    return make


def _exists(expected: Any) -> Test:
    if not isinstance(expected, bool):
        raise ValueError("takes true or false")
    return lambda found: (found is not None) is expected


def _text(expected: Any) -> str:
    if not isinstance(expected, str) or len(expected) > MAX_TEXT:
        raise ValueError(f"takes a text of at most {MAX_TEXT} characters, or its like")
    return expected


_NUMBER: Final = (_number, "a number")
_FIRMWARE: Final = (firmware_version, "a version such as 2.0.5")

OPERATORS: Final[Mapping[str, Callable[[Any], Test]]] = {
    "eq": _eq,
    "ne": _negated(_eq),
    "in": _in,
    "not_in": _negated(_in),
    "starts_with": _of_text(str.startswith),
    "ends_with": _of_text(str.endswith),
    "contains": _of_text(str.__contains__),
    "glob": _glob,
    "gt": _ordered(*_NUMBER, lambda found, bound: found > bound),
    "gte": _ordered(*_NUMBER, lambda found, bound: found >= bound),
    "lt": _ordered(*_NUMBER, lambda found, bound: found < bound),
    "lte": _ordered(*_NUMBER, lambda found, bound: found <= bound),
    "version_eq": _ordered(*_FIRMWARE, lambda found, bound: found == bound),
    "version_gt": _ordered(*_FIRMWARE, lambda found, bound: found > bound),
    "version_gte": _ordered(*_FIRMWARE, lambda found, bound: found >= bound),
    "version_lt": _ordered(*_FIRMWARE, lambda found, bound: found < bound),
    "version_lte": _ordered(*_FIRMWARE, lambda found, bound: found <= bound),
    "exists": _exists,
}
