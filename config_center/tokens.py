"""Tokens: made once and shown once, kept as signed records of ``_system``, revoked for good."""

from __future__ import annotations

import base64
import secrets
from datetime import datetime
from typing import TYPE_CHECKING, Any

from client_sdk.bodies import decode_body, encode_body
from client_sdk.contents import Content, Op
from client_sdk.errors import SettingInvalid
from client_sdk.records import sha256_hex
from client_sdk.reports import report_key
from client_sdk.settings import check_instance
from config_center.access import (
    PERMISSIONS,
    TOKEN_PREFIX,
    Actor,
    expired,
    require_grantable,
    token_hash,
    token_key,
)
from config_center.ledger.words import Draft, Planned
from config_center.problems import Problem, invalid, not_found
from config_center.rollouts.book import timestamp
from config_center.scopes import Reach, asked_reach
from config_center.token_uses import TokenUses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from config_center.ledger.registry import Registry

MOST_OF_ONE = 20  # tokens of one person's logins that open at once
LONGEST = 10 * 365 * 86_400  # seconds that a token may last, when it is to expire at all


class Tokens:
    """
    The part of the service that is about access. Whoever makes, lists or revokes a token does so
    within what his own token may and reaches; a token beyond that is one that is not there.
    """

    def __init__(
        self, registry: Registry, rng: Callable[[int], bytes], clock_ms: Callable[[], int]
    ) -> None:
        self.registry = registry
        self._rng = rng
        self.clock_ms = clock_ms
        self.uses = TokenUses(lambda: {token_id for token_id, _ in self._records()})

    def mint(self) -> str:
        """A new token, which opens nothing yet."""
        return "cc_" + base64.urlsafe_b64encode(self._rng(32)).decode("ascii").rstrip("=")

    async def create(
        self, asked: dict[str, Any], actor: Actor, token: str | None = None
    ) -> dict[str, Any]:
        """
        Make a token, or let ``token`` open; it is in the answer this once. Raises Problem 400, and
        403 for one that could do more than ``actor``.
        """
        now = self.clock_ms()
        about = _checked(asked, now)
        require_grantable(actor, about["role"], Reach.of(about), about.get("expires_at"))
        token = token or self.mint()
        about = {
            **about,
            "created_at": now,
            "created_by": actor.name,
            "hash": token_hash(token),
            "report_key": report_key(token).public.hex(),
        }
        await self._write(token_key(token), about, actor)
        return {"token": token, **self._shown(_id_of(token), about)}

    def listed(self, actor: Actor) -> list[dict[str, Any]]:
        """Every token within the reach of ``actor``, without the token."""
        return [
            self._shown(token_id, about)
            for token_id, about in self._records()
            if actor.reach.covers(Reach.of(about))
        ]

    async def revoke(self, token_id: str, actor: Actor) -> dict[str, Any]:
        """End a token. Raises Problem 404 for one that ``actor`` does not see."""
        about = dict(self._records()).get(token_id)
        if about is None or not actor.reach.covers(Reach.of(about)):
            raise not_found(f"there is no token {token_id[:64]!r}; see the list of tokens")
        if token_id == actor.token_id:
            raise invalid("a token cannot revoke itself; use another admin's")
        await self._write(TOKEN_PREFIX + token_id, None, actor)
        return {"id": token_id, "revoked": True}

    def opens(self, actor: Actor) -> bool:
        """True while this actor's token is neither revoked nor expired. A use, too."""
        now = self.clock_ms()
        entry = self.registry.system.state.entries.get(TOKEN_PREFIX + actor.token_id)
        if entry is None or entry.content is None or expired(actor.expires_at, now):
            return False
        self.uses.note(actor.token_id, now)
        return True

    def knows(self, token: str) -> bool:
        """True when this token is neither revoked nor expired."""
        about = dict(self._records()).get(_id_of(token))
        return about is not None and not expired(about.get("expires_at"), self.clock_ms())

    def ended(self, token: str) -> bool:
        """True when this token opened once, and does no more."""
        return token_key(token) in self.registry.system.state.entries and not self.knows(token)

    def has_admin(self) -> bool:
        """True when there is somebody who may do everything; a token that expired is nobody."""
        now = self.clock_ms()
        return any(
            about["role"] == "admin"
            and Reach.of(about).unlimited
            and not expired(about.get("expires_at"), now)
            for _, about in self._records()
        )

    async def ensure_admin(self, token: str) -> bool:
        """
        Let ``token`` open as the first admin's when there is none at all; else False. It is written
        down before: were it made here, a lost reply would leave an admin whom nobody knows.
        """
        if self.has_admin():
            return False
        about = {"name": "admin", "role": "admin"}
        await self.create(about, Actor("center", "admin"), token)
        return True

    def require_few(self, name: str, maker: str) -> None:
        """
        Raise Problem 429 while ``maker`` has made so many of this name that open: each token is a
        record for good, and whoever logs in asks for as many as he likes.
        """
        now = self.clock_ms()
        ends = sorted(
            about.get("expires_at", now)
            for _, about in self._records()
            if (about["name"], about.get("created_by")) == (name, maker)
            and not expired(about.get("expires_at"), now)
        )
        if len(ends) >= MOST_OF_ONE:
            after = max(1, (ends[0] - now) // 1000)
            raise Problem(
                "too-many-requests",
                f"{name} has {len(ends)} tokens that open; use one of them, or ask an admin to "
                "revoke some",
                headers={"Retry-After": str(after)},
                seconds=after,
            )

    def _records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        entries = self.registry.system.state.entries
        for key, entry in sorted(entries.items()):
            if key.startswith(TOKEN_PREFIX) and entry.content is not None:
                yield key.removeprefix(TOKEN_PREFIX), decode_body(entry.content)[0]

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

    def _shown(self, token_id: str, about: dict[str, Any]) -> dict[str, Any]:
        ends = about.get("expires_at")
        return {
            "id": token_id,
            "name": about["name"],
            "role": about["role"],
            "instance": about.get("instance"),
            "scopes": Reach.of(about).to_json(),
            "created_at": _moment(about.get("created_at")),
            "created_by": about.get("created_by"),
            "expires_at": _moment(ends),
            "expired": expired(ends, self.clock_ms()),
            "last_used_at": _moment(self.uses.last(token_id)),
        }


def _id_of(token: str) -> str:
    return token_key(token).removeprefix(TOKEN_PREFIX)


def _checked(asked: dict[str, Any], now: int) -> dict[str, Any]:
    role, instance, name = asked.get("role"), asked.get("instance"), asked["name"]
    if role not in PERMISSIONS:
        raise invalid(f"a role is one of {', '.join(PERMISSIONS)}", field="role")
    if not name.isprintable():
        raise invalid("a name has printable characters: it is the author of changes", field="name")
    if (role == "instance") is not (instance is not None):
        raise invalid(
            "a token of role instance names the instance it speaks for, no other does",
            field="instance",
        )
    if instance is not None:
        _check_instance(instance)
    reach = asked_reach(asked.get("scopes", ()), asked.get("namespaces", ()))
    if instance is not None and any(scope.prefix for scope in reach.scopes):
        raise invalid(
            "an instance reads a namespace as it was signed, as a whole: leave the prefix away",
            field="scopes",
        )
    about = {"name": name, "role": role, "scopes": reach.to_json(), "instance": instance}
    about["expires_at"] = _ends(asked.get("ttl"), asked.get("expires_at"), now)
    return {field: value for field, value in about.items() if value is not None}


def _check_instance(name: str) -> None:
    """Raise Problem 400 for a name that no client can run under, so no report would come from."""
    try:
        check_instance(name)
    except SettingInvalid as error:
        raise invalid(str(error), field="instance") from error


def _ends(ttl: int | None, expires_at: str | None, now: int) -> int | None:
    """When a token is to end, in milliseconds since 1970. Raises Problem 400."""
    if expires_at is None:
        return None if ttl is None else now + 1000 * ttl
    if ttl is not None:
        raise invalid("send ttl or expires_at, not both", field="ttl")
    try:
        moment: datetime | None = datetime.fromisoformat(expires_at)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise invalid(
            "expires_at is a time with its zone, such as 2030-01-31T12:00:00Z", field="expires_at"
        )
    ends = int(moment.timestamp() * 1000)
    if not now < ends <= now + 1000 * LONGEST:
        raise invalid("expires_at lies ahead, by ten years at most", field="expires_at")
    return ends


def _moment(ms: int | None) -> str | None:
    return None if ms is None else timestamp(ms)
