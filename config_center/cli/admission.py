"""
Verbs that let a device in, or out: an edit of the list in the key `gateway`.

The six digits that a device shows are known only to the gateway that it asked, so for them that
gateway's listener for operators is asked which device they stand for; an address needs no gateway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import aiohttp
import typer

from client_sdk.errors import ApiError, ConfigError
from config_center.cli import show
from config_center.cli.remote import connect, run
from config_center.cli.show import AsJson, Namespace

if TYPE_CHECKING:
    from collections.abc import Callable

    from config_center.cli.remote import Remote

_KEY = "gateway"
_TRIES = 5
_TIMEOUT = aiohttp.ClientTimeout(total=5)

Gateway = Annotated[
    str, typer.Option("--gateway", help="The gateway's listener for operators: asked for a code.")
]
GatewayToken = Annotated[
    str | None, typer.Option("--gateway-token", envvar="DEVICE_GATEWAY_ADMIN_TOKEN")
]


def register(app: typer.Typer) -> None:
    """Add the verbs to `devices`."""
    app.command(epilog="Example: config-center devices admit 123456")(admit)
    app.command(epilog="Example: config-center devices refuse 24:6f:28:a0:00:01")(refuse)


def admit(
    which: Annotated[str, typer.Argument(help="Six digits, an address, or 24:6f:28:*.")],
    gateway: Gateway = "http://127.0.0.1:8001",
    gateway_token: GatewayToken = None,
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """Let a device in: by the code that it shows, or by its address."""
    remote = connect(namespace)
    done, words = run(_admit(remote, which, gateway, gateway_token))
    show.done(done, words, json)


def refuse(
    device: Annotated[str, typer.Argument(help="An address or a pattern of the list.")],
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """Take a device off the list; it is refused at its next connection."""
    remote = connect(namespace)
    done, words = run(_refuse(remote, device.lower()))
    show.done(done, words, json)


async def _admit(remote: Remote, which: str, gateway: str, token: str | None) -> tuple[Any, str]:
    is_code = len(which) == 6 and which.isascii() and which.isdigit()
    device = await _device_of(which, gateway, token) if is_code else which.lower()

    def add(devices: dict[str, Any]) -> str:
        listed = list(devices.get("list", ()))
        if devices.get("admit") == "all":
            raise ConfigError(f"everybody is let in already: {_KEY}.devices.admit is all")
        if device in listed:
            raise ConfigError(f"{device} is on the list already")
        devices["list"] = [*listed, device]
        return f"{device}: admitted"

    return await _edit(remote, add)


async def _refuse(remote: Remote, device: str) -> tuple[Any, str]:
    def remove(devices: dict[str, Any]) -> str:
        listed = list(devices.get("list", ()))
        if device not in listed:
            raise ConfigError(f"{device} is not on the list; config-center get {_KEY} shows it")
        devices["list"] = [each for each in listed if each != device]
        everybody = "; everybody is let in all the same: devices.admit is all"
        return f"{device}: off the list" + (everybody if devices.get("admit") == "all" else "")

    return await _edit(remote, remove)


async def _edit(remote: Remote, change: Callable[[dict[str, Any]], str]) -> tuple[Any, str]:
    """Read, change, publish only over what was read; again when somebody else was faster."""
    for attempt in range(_TRIES):
        value, condition = await _read(remote)
        devices = dict(value.get("devices") or {})
        words = change(devices)
        body = {"value": {**value, "devices": devices}, "format": "json", "comment": words}
        try:
            return await remote.call("PUT", remote.key(_KEY), body, headers=condition), words
        except ApiError as error:
            if error.problem != "version-moved" or attempt == _TRIES - 1:
                raise
    raise AssertionError


async def _read(remote: Remote) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        found = await remote.call("GET", remote.key(_KEY))
    except ApiError as error:
        if error.problem != "not-found":
            raise
        return {}, {"If-None-Match": "*"}
    if found["format"] != "json" or not isinstance(found["value"], dict):
        raise ConfigError(f"{_KEY} is written in {found['format']}: edit its list by hand")
    return found["value"], {"If-Match": f'"{found["latest"]}"'}


async def _device_of(code: str, gateway: str, token: str | None) -> str:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = gateway.rstrip("/") + "/activations"
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as http,
            http.get(url, headers=headers) as response,
        ):
            if response.status != 200:
                raise ConfigError(f"{url} answered {response.status}: is --gateway-token right?")
            items = (await response.json())["items"]
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
        raise ConfigError(
            f"no gateway answers at {gateway} ({type(error).__name__}): give --gateway URL, or "
            "the device's address in place of the code"
        ) from error
    devices = [str(item["device"]) for item in items if item.get("code") == code]
    if not devices:
        raise ConfigError(f"no device at {gateway} waits with the code {code}")
    return devices[0]
