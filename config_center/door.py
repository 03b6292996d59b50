"""
The door before every handler.

In this order: who asks (401), may he (404 for a namespace he cannot see, 403 inside one he can), is
there room for what he asks (429 and 503, with the time to come again), are path and query of a form
that exists (400), then the handler.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from aiohttp import web

from client_sdk.allowance import Allowance
from client_sdk.errors import ConfigError, NotVerified
from config_center import peers
from config_center.access import authenticate, authorize, require_unexpired
from config_center.admission import Gate, Rules, address_of
from config_center.api.context import Call, await_position, check_names, check_query
from config_center.audit.witness import Witness
from config_center.journal import JournalDown
from config_center.problems import Problem
from config_center.store.base import OutcomeUnknown, StoreDown, StoreRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from client_sdk.state import NamespaceState
    from config_center.access import Actor
    from config_center.admission import Refusal
    from config_center.api.route import Route
    from config_center.bounds import Admission
    from config_center.metrics import Metrics
    from config_center.service import Service
    from config_center.settings import Settings

log = logging.getLogger(__name__)

_MOST_KNOWN = 1000


class Door:
    """One for all routes of a center."""

    def __init__(self, service: Service, settings: Settings, metrics: Metrics) -> None:
        self._service = service
        self._settings = settings
        self._metrics = metrics
        self._gate = Gate(_rules(settings.admission))
        self._witness = Witness(service.audit, behind_proxy=settings.behind_proxy)
        self._requests = count(1)
        self._known: dict[str, Actor] = {}
        self._known_by: NamespaceState | None = None

    def handler(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """What answers a route."""
        told = self._metrics.counter_of(route)

        async def handle(request: web.Request) -> web.StreamResponse:
            began = time.perf_counter()
            status = 500
            try:
                response = await self._told(route, request)
                status = response.status
                return response
            except (Problem, ConfigError) as error:
                problem = _problem_of(request, error)
                status = problem.status
                self._metrics.refused(problem.name)
                raise problem from error
            finally:
                told(status, time.perf_counter() - began)

        return handle

    async def metrics(self, request: web.Request) -> web.Response:
        """The text that Prometheus reads."""
        body = self._metrics.render(self._service)
        return web.Response(body=body, headers={"Content-Type": self._metrics.content_type})

    async def _told(self, route: Route, request: web.Request) -> web.StreamResponse:
        """The answer to a call; the audit has it first (config_center/audit)."""
        call = Call(request, route, self._service, self._settings, None)
        let_in = False
        try:
            self._let_in(call)
            let_in = True
            self._witness.require(route)
            response = await self._answer(call)
        except (Problem, ConfigError) as error:
            problem = _problem_of(request, error)
            await self._witness.refused(call, problem, let_in=let_in)
            raise problem from error
        except BaseException as error:
            self._witness.failed(call, error)
            raise
        await self._witness.accepted(call, response)
        return response

    async def _answer(self, call: Call) -> web.StreamResponse:
        cost = call.route.cost
        if not cost:
            return await _served(call)
        self._enter(call)
        try:
            return await _served(call)
        finally:
            self._gate.leave(cost)

    def _enter(self, call: Call) -> None:
        refusal = self._gate.enter(call.route.cost, call.actor.token_id, time.monotonic())
        if refusal is not None:
            raise _again(refusal)

    def _let_in(self, call: Call) -> None:
        request, permission = call.request, call.route.permission
        if permission == "public":
            return
        if permission == "peer":
            verifier = self._service.registry.verifier
            header = request.headers.get("Authorization")
            call.caller = peers.authenticate(verifier, header, request.path_qs, time.time())
            return
        ident = f"{self._service.audit.run}-{next(self._requests):x}"
        call.caller = actor = replace(self._actor(request), request_id=ident)
        check_names(call)
        names = request.match_info
        authorize(actor, permission, call.route.reach, names.get("ns"), names.get("key"))

    def _actor(self, request: web.Request) -> Actor:
        """Who asks. Known ones are remembered as long as the tokens are the very same state."""
        header = request.headers.get("Authorization")
        system = self._service.registry.system.state
        if system is not self._known_by:
            self._known_by, self._known = system, {}
        actor, now = self._known.get(header or ""), self._service.tokens.clock_ms()
        try:
            if actor is None:
                actor = authenticate(system, header, now)
                if len(self._known) < _MOST_KNOWN:
                    self._known[header or ""] = actor
            require_unexpired(actor, now)
        except Problem as problem:
            raise self._stranger(request, problem) from None
        self._service.tokens.uses.note(actor.token_id, now)
        return actor

    def _stranger(self, request: web.Request, problem: Problem) -> Problem:
        """What somebody without a token that opens hears: the 401, or that he asks too often."""
        address = address_of(request.remote, self._witness.forwarded(request))
        refusal = self._gate.wrong_token(address, time.monotonic())
        return problem if refusal is None else _again(refusal, " with tokens that are not known")


# What the store or the journal met while something was asked for that is no change.
_TROUBLE: dict[type[Exception], str] = {
    StoreDown: "store-unavailable",
    StoreRefused: "store-unavailable",
    OutcomeUnknown: "outcome-unknown",
    JournalDown: "store-full",
    NotVerified: "tampered",
}


def _problem_of(request: web.Request, error: Problem | ConfigError) -> Problem:
    if isinstance(error, Problem):
        return error
    for kind, name in _TROUBLE.items():
        if isinstance(error, kind):
            return Problem(name, str(error), headers={"Retry-After": "1"})
    log.warning("%s %s: %s", request.method, request.path, error)
    return Problem("invalid", str(error))


async def _served(call: Call) -> web.StreamResponse:
    if call.request.query_string:
        check_query(call)
        await await_position(call)
    return await call.route.handler(call)


def _rules(admission: Admission) -> Rules:
    return Rules(
        client=Allowance(admission.client_rate, admission.client_burst),
        everybody=Allowance(admission.rate, admission.burst),
        watches=admission.watches,
        wrong_tokens=Allowance(admission.wrong_token_rate, admission.wrong_token_burst),
    )


def _again(refusal: Refusal, what: str = "") -> Problem:
    after = refusal.retry_after
    headers = {"Retry-After": after}
    if refusal.full:
        detail = f"this center has as many event streams as it may; try again in {after} s"
        return Problem("busy", detail, headers=headers, seconds=int(after))
    detail = f"too many requests{what}; try again in {after} s"
    return Problem("too-many-requests", detail, headers=headers, seconds=int(after))
