"""What `doctor` asks a center that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.api.context import Call, answer
from config_center.api.route import Route
from config_center.checks import Level, judge, worst
from config_center.looking import look_at_center

if TYPE_CHECKING:
    from aiohttp import web


async def get_checks(call: Call) -> web.Response:
    """Is everything fit to keep configuration? Each check with what to do about it."""
    facts = await look_at_center(call.service, call.settings)
    checks = judge(facts)
    fit = worst(checks) is not Level.FAIL
    return answer({"fit": fit, "checks": [check.to_json() for check in checks]})


ROUTES = (
    Route("GET", "/v1/health/checks", "admin", "Is everything fit", get_checks, cost="whole"),
)
