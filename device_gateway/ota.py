"""The answer a device gets at boot. Pure.

Everything in `websocket` is written to the device's NVS under its own name, with an abort on
failure (main/ota.cc, settings.cc): names longer than 15 characters or strings of 4,000 bytes
reboot it, for ever. `websocket_section` is therefore the only place that makes one. There is never
an `mqtt` section: it would win over `websocket`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

MAX_NVS_KEY: Final = 15
MAX_NVS_BYTES: Final = 3_999
ACTIVATION_MILLISECONDS: Final = 30_000

_HOST: Final = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?")
# The firmware splits at each '.' and reads a number from every part with std::stoi.
_VERSION: Final = re.compile(r"\d{1,6}[^.]{0,32}(\.\d{1,6}[^.]{0,32}){0,5}")


def websocket_url(public_url: str | None, host: str | None, fallback: str) -> str:
    """Where the device shall connect: as set, else the host that it asked, else our address."""
    if public_url:
        return public_url
    name = host if host and _HOST.fullmatch(host) else fallback
    return f"ws://{name}/xiaozhi/v1/"


def attributes(body: object) -> dict[str, str]:
    """What targeting may use of the device's report: firmware, board, chip, language."""
    if not isinstance(body, Mapping):
        return {}
    application, board = body.get("application"), body.get("board")
    found = {
        "firmware": application.get("version") if isinstance(application, Mapping) else None,
        "board": board.get("type") if isinstance(board, Mapping) else None,
        "chip": body.get("chip_model_name"),
        "language": body.get("language"),
    }
    return {n: v[:64] for n, v in found.items() if isinstance(v, str) and v}


def answer(firmware: str, now: float, timezone_minutes: int) -> dict[str, Any]:
    """What every device gets: the time, and its own firmware, which means nothing newer."""
    version = firmware if _VERSION.fullmatch(firmware) else ""
    return {
        "server_time": {"timestamp": int(now * 1000), "timezone_offset": timezone_minutes},
        "firmware": {"version": version, "url": ""},
    }


def websocket_section(url: str, token: str) -> dict[str, str]:
    """Where to connect and with which token.

    Raises:
        ValueError: a device could not store it.
    """
    section = {"url": url, "token": token}
    for name, value in section.items():
        if len(name) > MAX_NVS_KEY or len(value.encode()) > MAX_NVS_BYTES:
            raise ValueError(f"websocket.{name} does not fit into a device")
    return section


def activation_section(device: str, code: str) -> dict[str, Any]:
    """What an unlisted device shows and speaks; it then asks `/activate` until it is admitted."""
    return {
        "message": f"config-center devices admit {code}",
        "code": code,
        "challenge": device,
        "timeout_ms": ACTIVATION_MILLISECONDS,
    }
