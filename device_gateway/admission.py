"""Who may connect: tokens, the key `gateway`, and the code that an unlisted device speaks. Pure.

Two questions, asked apart. *Is it the device that it says it is?* A token from its OTA answer,
bound to both of its ids, says so for 30 days. *Is it wanted here?* The key `gateway` says so, and
is asked again at every connection, so that taking a device off the list needs no token to expire.

A token is `base64url(HMAC-SHA256(key, client_id|device_id|timestamp)).timestamp`, unpadded, as
xiaozhi-esp32-server makes it (core/auth.py), so that gateways of both kinds may share a key.

The six digits are made from the device id by the same key: they are the same after a restart, on
every gateway that shares the key, and at each of the device's polls, with nothing to remember.
They only name a device to a person; admitting takes an admin's token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

TOKEN_SECONDS: Final = 30 * 24 * 3600
CLOCK_SKEW_SECONDS: Final = 300
"""Another gateway with the same key may have made the token; its clock may be ahead."""
MAX_WAITING: Final = 10_000

_ID: Final = re.compile(r"[A-Za-z0-9:._-]{1,64}")


def device_id(text: str | None) -> str | None:
    """The Device-Id header as a unit's name: lower case; None when it cannot be one."""
    return text.lower() if text and _ID.fullmatch(text) else None


def client_id(text: str | None) -> str | None:
    """The Client-Id header; None when it cannot be one."""
    return text if text and _ID.fullmatch(text) else None


def make_token(key: bytes, client: str, device: str, now: int) -> str:
    """A token for this device; `now` in seconds since 1970."""
    return f"{_signature(key, client, device, str(now))}.{now}"


def token_holds(key: bytes, token: str, client: str, device: str, now: float) -> bool:
    """Whether the token was made with this key for this device, and not too long ago."""
    signature, _, stamp = token.rpartition(".")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12 and signature.isascii()):
        return False
    if not now - TOKEN_SECONDS <= int(stamp) <= now + CLOCK_SKEW_SECONDS:
        return False
    return hmac.compare_digest(signature, _signature(key, client, device, stamp))


def _signature(key: bytes, client: str, device: str, stamp: str) -> str:
    digest = hmac.new(key, f"{client}|{device}|{stamp}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def admitted(value: object, device: str, *, on_loopback: bool) -> bool:
    """
    Whether the value of the key `gateway` lets this device in: `{"devices": {"admit":
    "all"|"listed", "list": ["24:6f:28:*"]}}`. Without it, all on loopback and none elsewhere.
    A value of another shape lets in only whom it lists: a mistake must not open the door.
    """
    devices = value.get("devices") if isinstance(value, Mapping) else None
    if not isinstance(devices, Mapping):
        return on_loopback and devices is None
    admit = devices.get("admit", "all" if on_loopback else "listed")
    if admit == "all":
        return True
    patterns = devices.get("list", ())
    if isinstance(patterns, str) or not hasattr(patterns, "__iter__"):
        return False
    return any(isinstance(p, str) and fnmatchcase(device, p.lower()) for p in patterns)


@dataclass(slots=True)
class WaitingRoom:
    """Devices that asked and are not admitted: code by device, the oldest leaves first."""

    key: bytes
    codes: OrderedDict[str, tuple[str, float]] = field(default_factory=OrderedDict)

    def code(self, device: str, now: float) -> str:
        """The six digits of this device; no two devices that wait have the same."""
        code = self.codes[device][0] if device in self.codes else self._free_code(device)
        self.codes[device] = (code, now)
        self.codes.move_to_end(device)
        while len(self.codes) > MAX_WAITING:
            self.codes.popitem(last=False)
        return code

    def _free_code(self, device: str) -> str:
        taken = {code for code, _ in self.codes.values()}
        attempt = 0
        while True:
            text = f"{device}|{attempt}".encode()
            digest = hmac.new(self.key, text, hashlib.sha256).digest()
            code = f"{int.from_bytes(digest[:8], 'big') % 1_000_000:06d}"
            if code not in taken:
                return code
            attempt += 1

    def leave(self, device: str) -> None:
        """The device was admitted."""
        self.codes.pop(device, None)

    def rows(self) -> list[dict[str, Any]]:
        """Who waits, for the person who admits."""
        return [{"device": d, "code": c, "asked": asked} for d, (c, asked) in self.codes.items()]
