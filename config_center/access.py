"""
Who is asking: bearer tokens, and what each may do.

A token is 32 random bytes, shown once as ``cc_BASE64``. What is kept is a signed record of
``_system`` under ``token.<first 16 hex digits of its SHA-256>``: its hash, role and name, for an
instance also the name it may speak for and the public half of its report key. So a look-up is one
dictionary access on verified state, a reader of Redis learns nothing that opens a door, and
somebody who plants a token row in Redis plants nothing: an unverified row is never looked at.
Rejected: argon2 (138 ms a request; a random 256-bit token needs no stretching).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from client_sdk.bodies import decode_body
from config_center.problems import Problem

if TYPE_CHECKING:
    from client_sdk.state import NamespaceState

TOKEN_PREFIX = "token."

# What a role may do. ``publish`` content, ``revert`` to content that was there before (the red
# button), ``operate`` rollouts, ``approve`` what another wrote, ``define`` what a key may hold,
# ``report`` for one's own instance; ``admin`` is tokens, namespaces and what a person decides.
PERMISSIONS = {
    "reader": frozenset({"read"}),
    "publisher": frozenset({"read", "publish", "revert", "operate"}),
    "approver": frozenset({"read", "approve"}),
    "operator": frozenset({"read", "revert", "operate"}),
    "admin": frozenset(
        {"read", "publish", "revert", "operate", "approve", "define", "report", "admin"}
    ),
    "instance": frozenset({"read", "report"}),
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever asks: the token's name and id, its role, and the instance it may speak for."""

    name: str
    role: str
    token_id: str = ""
    instance: str | None = None
    namespaces: tuple[str, ...] = ()
    report_key: bytes = b""
    request_id: str = ""

    def may(self, permission: str) -> bool:
        """True when the role includes it."""
        return permission in PERMISSIONS.get(self.role, frozenset())

    def sees(self, ns: str) -> bool:
        """True when the token is for this namespace; an empty list means all but ``_system``."""
        if ns.startswith("_"):
            return False
        return not self.namespaces or ns in self.namespaces


def token_key(token: str) -> str:
    """The key under which a token's record lies in ``_system``."""
    return TOKEN_PREFIX + hashlib.sha256(token.encode("utf-8")).hexdigest()[:16]


def token_hash(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8")).hexdigest()


def authenticate(system: NamespaceState, header: str | None, request_id: str = "") -> Actor:
    """The actor behind an ``Authorization`` header. Raises Problem 401."""
    scheme, _, token = (header or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or not token.isascii():
        raise _unauthorized("send the header `Authorization: Bearer TOKEN`")
    entry = system.entries.get(token_key(token))
    if entry is None or entry.content is None:
        raise _unauthorized("this token is not known here; it may have been revoked")
    about: dict[str, Any] = decode_body(entry.content)[0]
    if not hmac.compare_digest(about["hash"], token_hash(token)):
        raise _unauthorized("this token is not known here; it may have been revoked")
    return Actor(
        name=about["name"],
        role=about["role"],
        token_id=entry.key.removeprefix(TOKEN_PREFIX),
        instance=about.get("instance"),
        namespaces=tuple(about.get("namespaces", ())),
        report_key=bytes.fromhex(about.get("report_key", "")),
        request_id=request_id,
    )


def authorize(actor: Actor, permission: str, ns: str | None) -> None:
    """Raise Problem 404 for a namespace that the actor cannot see, 403 for what he may not do."""
    if ns is not None and not actor.sees(ns):
        raise Problem("not-found", f"there is no namespace {ns!r} for this token")
    if not actor.may(permission):
        raise Problem(
            "forbidden",
            f"a token of role {actor.role!r} may not do this; it needs the permission "
            f"{permission!r}",
            permission=permission,
        )


def _unauthorized(detail: str) -> Problem:
    return Problem("unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
