"""
One entry: what is told of a call, and what never is.

An entry is made of names, numbers and the words of refusals. Bodies are looked at for the few
fields that are named here (``_ASKED``) and for the keys of operations; a value is never copied, not
even the value of a field that nobody knows. A refusal's sentence may quote what was typed: in an
entry the quotation is left out, because what was typed into the wrong place may be a secret.

Every text is made printable and cut when the entry is encoded, so no comment, token name or header
can begin a line, move a cursor or turn the reading direction, in an export or in a log of it.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

CALL = "call"  # somebody asked for something
REPEATED = "repeated"  # the same, or the like, so many times more
FOUND = "found"  # the journal has a change of ours that had no entry
NOTED = "noted"  # the center did something by itself
STARTED, STOPPED, TRIMMED, BEGUN = "started", "stopped", "trimmed", "begun"  # of the audit itself

ACCEPTED, REFUSED, UNKNOWN = "accepted", "refused", "unknown"
OUTCOMES = (ACCEPTED, REFUSED, UNKNOWN)

MOST_KEYS = 1_000  # as many as a change may have
MOST_KEYS_REFUSED = 20
_LONGEST = {"comment": 1_000, "detail": 500}
_LONG = 200
_CUT = "…"
_RULES = ("two_person", "staged", "precondition")
# Fields of a body, and of a query, that say what was asked for without being a value.
_ASKED = (
    *("name", "role", "instance", "namespaces", "template", "kind", "decision", "from"),
    *("percent", "to", "force", "accept_loss", "supersede", "urgent", "version", "reason"),
    *("scopes", "ttl", "expires_at", "what", "kid", "days", "keep"),
    *_RULES,
)
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
# Refusals that judge what was typed.
_JUDGING = frozenset({"invalid", "schema", "unsupported-media-type"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    ``at`` and ``since`` are milliseconds since 1970; ``since``: when what was repeated was first
    told. ``token`` is the token's id, ``subject`` the id in the path or of what was made, ``more``
    how many keys are not listed. What is empty is not in the encoded entry.
    """

    at: int
    event: str = CALL
    outcome: str = ""
    actor: str = ""
    token: str = ""
    role: str = ""
    instance: str = ""
    address: str = ""
    method: str = ""
    route: str = ""
    namespace: str = ""
    keys: tuple[str, ...] = ()
    more: int = 0
    subject: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    comment: str = ""
    status: int = 0
    problem: str = ""
    detail: str = ""
    change: str = ""
    position: str = ""
    request: str = ""
    times: int = 0
    since: int = 0

    def to_json(self) -> dict[str, Any]:
        """Without what is empty; every text printable and cut."""
        named = ((name, getattr(self, name)) for name in _NAMES)
        return {name: _plain(name, value) for name, value in named if value}

    def encode(self, n: int) -> bytes:
        """The bytes that are chained, as entry number ``n``."""
        return encoded(self.to_json(), n)


_NAMES = tuple(each.name for each in fields(Entry))


def encoded(plain: Mapping[str, Any], n: int) -> bytes:
    """The same of what :meth:`Entry.to_json` gave."""
    return orjson.dumps({**plain, "n": n}, option=orjson.OPT_SORT_KEYS)


def printable(text: str, longest: int = _LONG) -> str:
    """
    ``text`` without anything that a terminal, a log reader or a browser would act upon: control
    characters, line ends of every script, marks of direction and half characters are written as
    escapes. Cut at ``longest`` characters.
    """
    text = text[: longest + 1]  # before, too: 10 MB are not walked through
    if not text.isprintable():
        text = "".join(_escaped(character) for character in text)
    return text if len(text) <= longest else text[: longest - 1] + _CUT


def is_judging(problem: str) -> bool:
    """True for a refusal that judges what was typed, which may be anything."""
    return problem in _JUDGING


def unquoted(detail: str) -> str:
    """The sentence of a refusal without what it quotes."""
    return _QUOTED.sub(f"'{_CUT}'", detail)


def asked_for(body: Any, query: Mapping[str, str], declared: Collection[str]) -> dict[str, Any]:
    """
    What was asked for, of the fields that are told. ``declared`` are those that the route takes: a
    configuration that is sent in the wrong place may have a field of any name.
    """
    given = {**query, **(body if isinstance(body, dict) else {})}
    rollout = given.get("rollout")
    if isinstance(rollout, dict):
        given["percent"] = rollout.get("percent")
    rules = given.get("policy")
    if "policy" in declared and isinstance(rules, dict):  # of a draft
        given, declared = {**rules, **given}, {*declared, *_RULES}
    if "scopes" in given:
        given["scopes"] = [_scope(each) for each in _listed(given["scopes"])]
    told = [name for name in _ASKED if name in declared or name == "percent"]
    return {name: given[name] for name in told if _is_told(given.get(name))}


def comment_of(body: Any, query: Mapping[str, str], declared: Collection[str] = ()) -> str:
    """Why, as whoever asked says; a freeze calls it its ``reason``."""
    name = "reason" if "reason" in declared else "comment"
    found = body.get(name) if isinstance(body, dict) else query.get(name)
    return found if isinstance(found, str) else ""


def keys_of(path: str | None, body: Any, declared: Collection[str], answer: Any) -> tuple[str, ...]:
    """The key of the path, those of the operations that were asked for, and those answered."""
    found = [] if path is None else [path]
    if "operations" in declared and isinstance(body, dict):
        found += _keys_among(body.get("operations"))
    if isinstance(answer, dict):
        found += _keys_among([answer, *_listed(answer.get("keys"))])
    return tuple(dict.fromkeys(found))


def outcome_of(status: int, problem: str) -> str:
    """``accepted``, ``refused`` or ``unknown``; status 0: nobody was answered."""
    if problem in ("outcome-unknown", "internal") or not status:
        return UNKNOWN
    return ACCEPTED if status < 400 else REFUSED


def seen_from(remote: str | None, forwarded: str | None) -> str:
    """
    The address that asked. ``forwarded`` is the ``X-Forwarded-For`` of a proxy that we were told
    of: its last entry is what that proxy saw, everything before it is what somebody wrote.
    """
    text = (forwarded or "").rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return remote or ""


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return printable(value, _LONGEST.get(name, _LONG))
    if isinstance(value, tuple | list):
        return [_plain("", each) for each in value]
    if isinstance(value, dict):
        return {_plain("", each): _plain("", value[each]) for each in value}
    return value


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _scope(each: Any) -> str:
    ns, prefix = (each.get("namespace"), each.get("prefix")) if isinstance(each, dict) else ("", "")
    return f"{ns}/{prefix}" if prefix else str(ns)


def _is_told(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= MOST_KEYS and all(isinstance(each, str) for each in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 2**53
    return isinstance(value, str | bool | float)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _keys_among(listed: Any) -> Iterable[str]:
    keys = (each.get("key") for each in _listed(listed) if isinstance(each, dict))
    return [key for key in keys if isinstance(key, str)]
