"""
Publishing from a service, over the center's HTTP, with a publisher's token.

A request whose answer did not arrive is asked again under the same ``Idempotency-Key``, within the
time of one publish: the center does it once, however often it is asked. What it refuses is not
asked again.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from client_sdk.errors import ApiError, MissingExtra, SettingInvalid, TransportDown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from client_sdk.plan import Plan

_WITHIN = 15.0
_PAUSE = 0.2
_AGAIN = (429, 502, 503, 504)


async def publish(
    plan: Plan,
    key: str,
    value: Any,
    if_version: int | None,
    comment: str,
    rollout: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """
    The center's answer to one put.

    Raises ApiError for what the center refuses, TransportDown when it did not answer (the change
    may have been made), SettingInvalid without an http URL.
    """
    try:
        import aiohttp
    except ImportError as error:
        raise MissingExtra("publishing", "http") from error

    address = next((a for a in plan.addresses if a.over_http), None)
    if address is None:
        raise SettingInvalid("publishing goes over HTTP; give the client an http URL as well")
    url = f"{address.url.rstrip('/')}/v1/namespaces/{plan.namespace}/keys/{quote(key, safe='')}"
    body = {"value": value, "comment": comment, **({"rollout": rollout} if rollout else {})}
    headers = {
        "Authorization": f"Bearer {plan.token}",
        "Idempotency-Key": secrets.token_hex(16),
        "Content-Type": "application/json",
    }
    if if_version is not None:
        headers["If-Match"] = f'"{if_version}"'
    timeout = aiohttp.ClientTimeout(total=plan.timing.answer)
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        return await _until_answered(session, url, orjson.dumps(body), aiohttp.ClientError)


async def _until_answered(
    session: Any, url: str, data: bytes, client_error: type[Exception]
) -> dict[str, Any]:
    end = time.monotonic() + _WITHIN
    while True:
        failure: ApiError | TransportDown
        try:
            async with session.put(url, data=data) as response:
                return _answer(response.status, await response.read())
        except ApiError as error:
            failure = error
        except (OSError, asyncio.TimeoutError, client_error) as error:
            reason = str(error) or type(error).__name__
            failure = TransportDown(f"the center did not answer: {reason}")
        again = isinstance(failure, TransportDown) or (
            failure.status in _AGAIN and failure.problem != "frozen"  # until a person lifts it
        )
        if not again or time.monotonic() + _PAUSE > end:
            raise failure
        await asyncio.sleep(_PAUSE)


def _answer(status: int, raw: bytes) -> dict[str, Any]:
    try:
        plain = orjson.loads(raw)
    except orjson.JSONDecodeError:
        plain = {}
    if status < 400 and isinstance(plain, dict):
        return plain
    problem = plain if isinstance(plain, dict) else {}
    name = str(problem.get("type", "")).rpartition(":")[2]
    detail = problem.get("detail", f"the center answered {status}")
    raise ApiError(status, name, detail, problem)
