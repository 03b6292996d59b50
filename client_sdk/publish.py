"""Publishing from a service, over the center's HTTP, with a publisher's token."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import orjson

from client_sdk.errors import ApiError, SettingInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from client_sdk.plan import Plan


async def publish(
    plan: Plan,
    key: str,
    value: Any,
    if_version: int | None,
    comment: str,
    rollout: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The center's answer to one put. Raises ApiError, SettingInvalid without an http URL."""
    import aiohttp

    address = next((a for a in plan.addresses if a.over_http), None)
    if address is None:
        raise SettingInvalid("publishing goes over HTTP; give the client an http URL as well")
    body = {"value": value, "comment": comment, **({"rollout": rollout} if rollout else {})}
    headers = {
        "Authorization": f"Bearer {plan.token}",
        "Idempotency-Key": secrets.token_hex(16),
        "Content-Type": "application/json",
    }
    if if_version is not None:
        headers["If-Match"] = f'"{if_version}"'
    url = f"{address.url.rstrip('/')}/v1/namespaces/{plan.namespace}/keys/{key}"
    timeout = aiohttp.ClientTimeout(total=plan.timeout * 2)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.put(url, data=orjson.dumps(body), headers=headers) as response,
    ):
        plain = orjson.loads(await response.read())
    if response.status >= 400:
        name = str(plain.get("type", "")).rpartition(":")[2]
        raise ApiError(response.status, name, plain.get("detail", "refused"), plain)
    return dict(plain)
