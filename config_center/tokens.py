"""Tokens: made once and shown once, kept as signed records of ``_system``, revoked for good."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Any

from client_sdk.bodies import decode_body, encode_body
from client_sdk.contents import Content, Op
from client_sdk.records import NAMESPACE, sha256_hex
from client_sdk.reports import report_key
from config_center.access import PERMISSIONS, TOKEN_PREFIX, Actor, token_hash, token_key
from config_center.ledger.words import Draft, Planned
from config_center.problems import invalid, not_found

if TYPE_CHECKING:
    from collections.abc import Callable

    from config_center.ledger.registry import Registry

_HIDDEN = ("hash", "report_key")


class Tokens:
    """The part of the service that is about access."""

    def __init__(self, registry: Registry, rng: Callable[[int], bytes]) -> None:
        self.registry = registry
        self._rng = rng

    def mint(self) -> str:
        """A new token, which opens nothing yet."""
        return "cc_" + base64.urlsafe_b64encode(self._rng(32)).decode("ascii").rstrip("=")

    async def create(
        self, asked: dict[str, Any], actor: Actor, token: str | None = None
    ) -> dict[str, Any]:
        """Make a token, or let ``token`` open; it is in the answer this once."""
        about = _checked(asked)
        token = token or self.mint()
        about = {
            **about,
            "hash": token_hash(token),
            "report_key": report_key(token).public.hex(),
        }
        await self._write(token_key(token), about, actor)
        return {"token": token, **_shown(token_key(token), about)}

    def listed(self) -> list[dict[str, Any]]:
        """Every token, without the token."""
        entries = self.registry.system.state.entries
        return [
            _shown(key, decode_body(entry.content)[0])
            for key, entry in sorted(entries.items())
            if key.startswith(TOKEN_PREFIX) and entry.content is not None
        ]

    async def revoke(self, token_id: str, actor: Actor) -> dict[str, Any]:
        """End a token."""
        key = TOKEN_PREFIX + token_id
        entry = self.registry.system.state.entries.get(key)
        if entry is None or entry.content is None:
            raise not_found(f"there is no token {token_id[:64]!r}; see the list of tokens")
        if token_id == actor.token_id:
            raise invalid("a token cannot revoke itself; use another admin's")
        await self._write(key, None, actor)
        return {"id": token_id, "revoked": True}

    def knows(self, token: str) -> bool:
        """True when this token opens the door."""
        entry = self.registry.system.state.entries.get(token_key(token))
        return entry is not None and entry.content is not None

    async def ensure_admin(self, token: str) -> bool:
        """
        Let ``token`` open as the first admin's when there is none at all; else False. It is written
        down before: were it made here, a lost reply would leave an admin whom nobody knows.
        """
        if any(item["role"] == "admin" for item in self.listed()):
            return False
        about = {"name": "admin", "role": "admin"}
        await self.create(about, Actor("center", "admin"), token)
        return True

    async def _write(self, key: str, about: dict[str, Any] | None, actor: Actor) -> None:
        op = Op(key, "del", 1, None)
        if about is not None:
            body = encode_body(about, "json")
            op = Op(key, "set", 1, Content(1, sha256_hex(body), len(body), "json", body=body))
        draft = Draft(
            secrets.token_hex(16),
            key,
            actor.name,
            lambda _: Planned((op,)),
            request=actor.request_id,
        )
        await self.registry.system.submit(draft)


def _checked(asked: dict[str, Any]) -> dict[str, Any]:
    role, instance = asked.get("role"), asked.get("instance")
    if role not in PERMISSIONS:
        raise invalid(f"a role is one of {', '.join(PERMISSIONS)}", field="role")
    if (role == "instance") is not (instance is not None):
        raise invalid(
            "a token of role instance names the instance it speaks for, no other does",
            field="instance",
        )
    namespaces = asked.get("namespaces", [])
    if not all(NAMESPACE.match(ns) and not ns.startswith("_") for ns in namespaces):
        raise invalid(
            "namespaces is a list of names; those with a leading _ are the center's own",
            field="namespaces",
        )
    about = {"name": asked["name"], "role": role, "namespaces": list(namespaces)}
    return about if instance is None else {**about, "instance": instance}


def _shown(key: str, about: dict[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in about.items() if name not in _HIDDEN}
    return {"id": key.removeprefix(TOKEN_PREFIX), "instance": None, **plain}
