"""
Which changes a namespace takes, and from whom: its policy, the freeze, and the one function that
judges. Pure.

A policy is a signed record of its namespace, under the reserved key ``_policy``. The writer asks
:func:`may_publish` with the very state that the change would be built on, so there is no moment in
which one center keeps a rule that another has not heard of. Clients pass reserved keys over. The
freeze of the whole center is a record of ``_system``; another center hears of it within a beat.

The law:

* **The way back is free.** Rollback, abort, pause and a smaller share are one person's, frozen or
  not: a bad config at three in the morning is taken back by whoever is awake, and what they bring
  back has been published before.
* **Two persons** (``two_person``) agree on whatever is new: values, removals, schemas, and the end
  of the namespace. What they agreed on is then given to more devices by one person, who watches it:
  step, resume and promote stay free. A rule may be added by one admin, and is taken away by two
  persons, or in the emergency lane; otherwise whoever the rule is for would begin by switching it
  off.
* **Frozen** stops what is new and what grows. The policy itself can still be changed.
* **Staged** publishes begin below 100 %; with ``precondition`` they say what they were made on.
* **urgent** is the emergency lane: one word, which needs a comment, is written into the signed
  record and counted. Past staging it takes whoever may publish; past two persons and past a freeze
  an admin, so that a stolen publisher's token does not open it. It skips no validation.

A plain publish that needs a second person is refused (409), and not quietly made a draft: a script
that hears 200 believes that its value is live.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from client_sdk.bodies import encode_body
from client_sdk.contents import Content, Op
from client_sdk.records import sha256_hex
from config_center.problems import Problem, invalid
from config_center.rollouts.book import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from client_sdk.state import NamespaceState
    from config_center.access import Actor

POLICY = "_policy"
FREEZE = "freeze"  # of the whole center, in ``_system``
RULES = ("two_person", "staged", "precondition")
MAX_REASON = 500

# What a change is, for whoever judges it.
PUBLISH, GROW, REVERT = "publish", "grow", "revert"
DEFINE, GOVERN, BEGIN, END = "define", "govern", "begin", "end"
KINDS: Mapping[str, str] = {
    "put": PUBLISH,
    "delete": PUBLISH,
    "change": PUBLISH,
    "step": GROW,
    "resume": GROW,
    "promote": GROW,
    "rollback": REVERT,
    "abort": REVERT,
    "pause": REVERT,
    # They bring no content that was not there.
    **dict.fromkeys(("seal", "reseal", "shred"), REVERT),
    "schema": DEFINE,
    "policy": GOVERN,
    "template": BEGIN,
    "end": END,
}


@dataclass(frozen=True, slots=True)
class Freeze:
    """Who stopped publishing, why, and since when (milliseconds since 1970, UTC)."""

    by: str
    reason: str
    since: int

    @classmethod
    def from_json(cls, plain: Mapping[str, Any] | None) -> Freeze | None:
        """The inverse of :meth:`to_json`; ``None`` stays so."""
        return None if plain is None else cls(plain["by"], plain["reason"], plain["since"])

    def to_json(self) -> dict[str, Any]:
        """The signed form."""
        return {"by": self.by, "reason": self.reason, "since": self.since}

    def words(self) -> dict[str, Any]:
        """The same for people."""
        return {**self.to_json(), "since": timestamp(self.since)}


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one namespace; without a record none holds."""

    two_person: bool = False
    staged: bool = False
    precondition: bool = False
    frozen: Freeze | None = None

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Policy:
        """The inverse of :meth:`to_json`; what a newer center wrote beside it is passed over."""
        rules = {name: bool(plain.get(name)) for name in RULES}
        return cls(**rules, frozen=Freeze.from_json(plain.get("frozen")))

    def to_json(self) -> dict[str, Any]:
        """The signed form."""
        rules = {name: getattr(self, name) for name in RULES}
        return {**rules, "frozen": None if self.frozen is None else self.frozen.to_json()}

    def words(self) -> dict[str, Any]:
        """The same for people."""
        frozen = None if self.frozen is None else self.frozen.words()
        return {**self.to_json(), "frozen": frozen}

    def is_weaker_than(self, before: Policy) -> bool:
        """True when a rule that held ``before`` would hold no more."""
        return any(getattr(before, name) and not getattr(self, name) for name in RULES)


@dataclass(frozen=True, slots=True)
class Intent:
    """
    What a change is (``kind``, one of the values of :data:`KINDS`) and how it is asked for.

    ``staged``: it goes to a share below 100 % first. ``conditional``: every operation says what it
    was made on. ``approved``: a second person agreed to this very content. ``weakens``: it takes a
    rule away.
    """

    kind: str
    staged: bool = False
    conditional: bool = False
    urgent: bool = False
    approved: bool = False
    weakens: bool = False


def policy_of(state: NamespaceState) -> Policy:
    """The policy of a namespace."""
    entry = state.entries.get(POLICY)
    return policy_in(None if entry is None else entry.content)


def policy_in(content: Content | None) -> Policy:
    """The policy that a content of its record holds."""
    body = None if content is None else content.body
    return Policy() if body is None else _policy(body)


def center_freeze(system: NamespaceState) -> Freeze | None:
    """The freeze of the whole center, from the state of ``_system``."""
    entry = system.entries.get(FREEZE)
    body = None if entry is None or entry.content is None else entry.content.body
    return None if body is None else _freeze(body)


def record_op(state: NamespaceState, key: str, plain: Mapping[str, Any]) -> Op:
    """The operation that makes ``plain`` the next version of a record of the center's own."""
    known = state.entries.get(key)
    version = 1 if known is None else known.latest + 1
    body = encode_body(plain, "json")
    content = Content(version, sha256_hex(body), len(body), "json", body=body)
    return Op(key, "set", version, content)


def rules_again(state: NamespaceState, lost: Content) -> Op:
    """
    The operation that brings rules back which were lost. The freeze stays what it is: it is about
    the hour in which it was set, so no record of another hour sets or lifts it. Raises Problem 409
    ``nothing-lost`` where there is nothing else in the record.
    """
    now = policy_of(state)
    again = replace(policy_in(lost), frozen=now.frozen)
    if again == now:
        raise Problem(
            "nothing-lost",
            "these rules hold already, and a freeze is not brought back by what was lost: freeze "
            "or unfreeze the namespace now if it has to be, and drop this",
        )
    return record_op(state, POLICY, again.to_json())


def changed(policy: Policy, asked: Mapping[str, Any]) -> Policy:
    """The policy with the rules that ``asked`` names set anew. Raises Problem 400."""
    wrong = [
        name for name, value in asked.items() if name not in RULES or value not in (True, False)
    ]
    if wrong or not asked:
        raise invalid(f"a policy has {', '.join(RULES)}, each true or false", field="policy")
    return replace(policy, **asked)


def check_reason(reason: str) -> str:
    """The reason of a freeze. Raises Problem 400: whoever is stopped has to hear why."""
    if not 0 < len(reason.strip()) <= MAX_REASON:
        raise invalid(f"a freeze needs a reason of 1 to {MAX_REASON} characters", field="reason")
    return reason.strip()


def check_urgent(comment: str, *, urgent: bool) -> None:
    """Raise Problem 400 for what is urgent without saying why."""
    if urgent and not comment.strip():
        raise invalid("what is urgent needs a comment that says why", field="comment")


def may_publish(policy: Policy, center: Freeze | None, actor: Actor, intent: Intent) -> None:
    """
    Return when ``actor`` may do what he intends; else raise Problem ``frozen`` (503),
    ``needs-approval`` or ``needs-rollout`` (409), or ``precondition-required`` (428).

    ``center`` is the freeze of the whole center. What publishes by itself asks here too.
    """
    if intent.kind in (REVERT, BEGIN):
        return
    if not (intent.urgent and actor.may("admin")):
        _check_frozen(center, "this center", "/v1", intent)
        _check_frozen(policy.frozen, "this namespace", "...", intent)
        if policy.two_person:
            _check_agreed(intent)
    if intent.kind == PUBLISH:
        _check_manner(policy, intent)


def _check_frozen(freeze: Freeze | None, what: str, path: str, intent: Intent) -> None:
    if freeze is None or intent.kind == GOVERN:
        return
    raise Problem(
        "frozen",
        f"{what} was frozen by {freeze.by} on {timestamp(freeze.since)}: {freeze.reason}. Rollback "
        "and abort still work; an admin may send ?urgent=true with a comment, or lift the freeze "
        f"(POST {path}/unfreeze)",
        **freeze.words(),
    )


def _check_agreed(intent: Intent) -> None:
    """What is new, or weakens the rules, was seen by two."""
    if intent.approved or intent.kind == GROW:
        return
    if intent.kind == GOVERN and not intent.weakens:
        return
    if intent.kind == END:
        raise Problem(
            "needs-approval",
            "this namespace has the two-person rule, so nobody ends it alone: take the rule away "
            "first, which needs two persons",
        )
    raise Problem(
        "needs-approval",
        "this namespace has the two-person rule: make a draft (POST .../drafts), and somebody else "
        "approves it; in an emergency an admin sends ?urgent=true with a comment",
    )


def _check_manner(policy: Policy, intent: Intent) -> None:
    if policy.staged and not (intent.staged or intent.urgent):
        raise Problem(
            "needs-rollout",
            "this namespace wants every publish staged: send a rollout below 100 %, or "
            "?urgent=true with a comment",
        )
    if policy.precondition and not intent.conditional:
        raise Problem(
            "precondition-required",
            "this namespace wants to know what a change was made on: send If-Match or "
            "If-None-Match, in a change of several keys if_version",
        )


@lru_cache(maxsize=256)
def _policy(body: bytes) -> Policy:
    return Policy.from_json(orjson.loads(body))


@lru_cache(maxsize=8)
def _freeze(body: bytes) -> Freeze | None:
    return Freeze.from_json(orjson.loads(body).get("frozen"))
