"""
What the door tells the audit: a call and what came of it become an entry.

A call is told when it would change something (every route but those that only read, try or report),
and when whoever asked was not let in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config_center.access import Actor
from config_center.audit.audit import AuditDown
from config_center.audit.entries import (
    ACCEPTED,
    MOST_KEYS,
    MOST_KEYS_REFUSED,
    Entry,
    asked_for,
    comment_of,
    is_judging,
    keys_of,
    outcome_of,
    seen_from,
    unquoted,
)
from config_center.openapi import operation_id
from config_center.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from config_center.api.context import Call
    from config_center.api.route import Route
    from config_center.audit.audit import Audit

# What a role needs for routes that change no configuration, whatever their method.
_CHANGES_NOTHING = frozenset({"public", "read", "review", "report", "peer"})
_NOT_ALLOWED = frozenset({"unauthorized", "forbidden"})
_NOBODY = Actor("", "")  # whoever was not known
_CUT_OFF = "no answer: the call was cut off"


class Witness:
    """One a door. ``clock_ms`` gives milliseconds since 1970."""

    def __init__(self, audit: Audit, *, behind_proxy: bool) -> None:
        self._audit = audit
        self._behind_proxy = behind_proxy

    def require(self, route: Route) -> None:
        """Raise Problem 507 for a change that could not be written down."""
        if is_change(route):
            self._audit.require()

    async def accepted(self, call: Call, response: web.StreamResponse) -> None:
        """
        Write it down before it is answered. Raises Problem 504 when that cannot be: the change took
        effect.
        """
        if not is_change(call.route):
            return
        entry = self._entry(
            call, response.status, getattr(response, "plain", None), response.headers
        )
        try:
            # A change of keys is in the journal, which is synced; what else was done may not be.
            in_journal = bool(entry.change and entry.position)
            await self._audit.record(entry, through=not in_journal)
        except AuditDown as error:
            raise Problem(
                "outcome-unknown",
                f"this took effect, but the center's audit could not be written ({error}): ask "
                "again with the same Idempotency-Key once there is room, or look at what is there",
                change=entry.change,
            ) from error

    async def refused(self, call: Call, problem: Problem, *, let_in: bool) -> None:
        """Write down, or count, what was refused."""
        if let_in and not is_change(call.route) and problem.name not in _NOT_ALLOWED:
            return
        entry = self._entry(call, problem.status, problem.members, {}, problem)
        await self._audit.refused(entry)

    def failed(self, call: Call, error: BaseException) -> None:
        """Write down a change that a bug ended, or that was cut off; nobody waits for it."""
        if is_change(call.route):
            known = isinstance(error, Exception)
            problem = Problem("internal", "the center failed; see its log") if known else None
            self._audit.leave(self._entry(call, 500 if known else 0, None, {}, problem))

    def _entry(
        self,
        call: Call,
        status: int,
        answer: Any,
        headers: Mapping[str, str],
        problem: Problem | None = None,
    ) -> Entry:
        request, route, body = call.request, call.route, call.asked
        who = call.caller or _NOBODY
        name = "" if problem is None else problem.name
        outcome = outcome_of(status, name)
        declared = _declared(route)
        keys = keys_of(request.match_info.get("key"), body, declared, answer)
        most = MOST_KEYS if outcome == ACCEPTED else MOST_KEYS_REFUSED
        judged = is_judging(name)
        return Entry(
            at=self._audit.clock_ms(),
            outcome=outcome,
            actor=who.name,
            token=who.token_id,
            role=who.role,
            instance=who.instance or "",
            request=who.request_id,
            address=seen_from(request.remote, self.forwarded(request)),
            method=route.method,
            route=operation_id(route),
            namespace=request.match_info.get("ns", ""),
            keys=keys[:most],
            more=max(0, len(keys) - most),
            subject=request.match_info.get("id") or _text(answer, "id"),
            asked={} if judged else asked_for(body, request.query, declared),
            comment=comment_of(body, request.query, declared),
            status=status,
            problem=name,
            detail=_detail(status, problem),
            change=_text(answer, "change"),
            position=_position(answer, headers) if outcome == ACCEPTED else "",
        )

    def forwarded(self, request: web.Request) -> str | None:
        """``X-Forwarded-For``, all of its lines, where a proxy in front was promised."""
        if not self._behind_proxy:
            return None
        return ",".join(request.headers.getall("X-Forwarded-For", ())) or None


def is_change(route: Route) -> bool:
    """True for a route that changes something."""
    asks = route.method != "GET" and route.permission not in _CHANGES_NOTHING
    return asks or route.changes


def _declared(route: Route) -> set[str]:
    """The fields and parameters that a route takes."""
    names = {parameter.name for parameter in route.parameters}
    if route.body is not None:
        names |= {each.alias or name for name, each in route.body.model_fields.items()}
    return names


def _detail(status: int, problem: Problem | None) -> str:
    """What whoever asked was told of why not."""
    if problem is None:
        return "" if status else _CUT_OFF
    return unquoted(problem.detail) if is_judging(problem.name) else problem.detail


def _text(answer: Any, name: str) -> str:
    found = answer.get(name) if isinstance(answer, dict) else None
    return found if isinstance(found, str) else ""


def _position(answer: Any, headers: Mapping[str, str]) -> str:
    """Where in the namespace's history it stands."""
    if isinstance(answer, dict) and "epoch" in answer and "revision" in answer:
        return f"{answer['epoch']}-{answer['revision']}"
    return _text(answer, "position") or headers.get("ETag", "").strip('"')
