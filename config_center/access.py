"""
Who is asking, and may he: bearer tokens, roles, and how far each reaches. Pure.

A token is 32 random bytes, shown once as ``cc_BASE64``. What is kept is a signed record of
``_system`` under ``token.<first 16 hex digits of its SHA-256>``: its hash, role, name, scopes and
expiry, for an instance also the name it may speak for and the public half of its report key. So a
look-up is one dictionary access on verified state, a reader of Redis learns nothing that opens a
door, and somebody who plants a token row in Redis plants nothing: an unverified row is never looked
at. A record is never changed: a token that is to do something else is a new token.

Three questions are asked of every request, and all three are answered "no" where nobody said yes:
is the token good (401), does its role have the permission that the route declares (403), and does
it reach what the route is about (404 for a namespace it does not see, else 403). What is about a
whole namespace, or the whole center, needs a token that reaches all of it, unless the route says
that it shows and takes only a part.

Rejected: argon2 (138 ms a request; a random 256-bit token needs no stretching); permissions on the
token itself (six roles can be kept in the head, and in one table).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from client_sdk.bodies import decode_body
from config_center.problems import Problem, not_found
from config_center.rollouts.book import timestamp
from config_center.scopes import EVERYTHING, Reach

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from client_sdk.state import NamespaceState

TOKEN_PREFIX = "token."
LOGIN = "oidc"  # who makes the tokens of those who log in, and how their names begin

# What a role may do. ``publish`` content, ``revert`` to content that was there before (the red
# button), ``operate`` rollouts, ``review`` (look at) what waits for a second person,
# ``approve`` what another wrote, ``define`` what a key may hold, ``report`` for one's own instance;
# ``admin`` is tokens, namespaces and what a person decides. An instance has no ``review``: it need
# not know what may never be published.
PERMISSIONS = {
    "reader": frozenset({"read", "review"}),
    "publisher": frozenset({"read", "review", "publish", "revert", "operate"}),
    "approver": frozenset({"read", "review", "approve"}),
    "operator": frozenset({"read", "review", "revert", "operate"}),
    "admin": frozenset(
        {"read", "review", "publish", "revert", "operate", "approve", "define", "report", "admin"}
    ),
    "instance": frozenset({"read", "report"}),
}

# What a route is about, so how far a token must reach: one key, only the part that it reaches (the
# handler looks to that), the whole namespace, the whole center, a namespace that is yet to be.
REACHES = ("key", "part", "whole", "center", "new")
_OF_ALL = {
    "center": "this is about the whole center",
    "new": "making a namespace takes a token that reaches all of them",
}

_BINDING = "_schema."  # the reserved key beside each key that is bound


@dataclass(frozen=True, slots=True)
class Actor:
    """
    Whoever asks: the token's name and id, its role and reach, the instance it may speak for, and
    when it ends (milliseconds since 1970; None: never).
    """

    name: str
    role: str
    token_id: str = ""
    instance: str | None = None
    reach: Reach = EVERYTHING
    report_key: bytes = b""
    expires_at: int | None = None
    request_id: str = ""

    def may(self, permission: str) -> bool:
        """True when the role includes it."""
        return permission in permissions_of(self.role)

    def sees(self, ns: str) -> bool:
        """True when the token reaches anything of this namespace."""
        return self.reach.sees(ns)


def permissions_of(role: str) -> frozenset[str]:
    """What a role may do: nothing, for one that is not known here."""
    return PERMISSIONS.get(role, frozenset())


def token_key(token: str) -> str:
    """The key under which a token's record lies in ``_system``."""
    return TOKEN_PREFIX + hashlib.sha256(token.encode("utf-8")).hexdigest()[:16]


def token_hash(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8")).hexdigest()


def authenticate(system: NamespaceState, header: str | None, now_ms: int) -> Actor:
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
    actor = _actor_of(entry.key, about)
    require_unexpired(actor, now_ms)
    return actor


def holder(system: NamespaceState, token_id: str) -> tuple[Actor, bool] | None:
    """
    Whoever has this token, expired or not, and whether a login made it; None when it is revoked.
    """
    key = TOKEN_PREFIX + token_id
    entry = system.entries.get(key)
    if entry is None or entry.content is None:
        return None
    about: dict[str, Any] = decode_body(entry.content)[0]
    actor = _actor_of(key, about)
    return actor, about.get("created_by") == LOGIN and actor.name.startswith(f"{LOGIN}:")


def holders(system: NamespaceState, now_ms: int) -> Iterator[Actor]:
    """Everybody whose token is neither revoked nor expired."""
    keys = (key for key in sorted(system.entries) if key.startswith(TOKEN_PREFIX))
    for key in keys:
        found = holder(system, key.removeprefix(TOKEN_PREFIX))
        if found is not None and not expired(found[0].expires_at, now_ms):
            yield found[0]


def expired(expires_at: int | None, now_ms: int) -> bool:
    """True from the very moment on at which a token ends."""
    return expires_at is not None and now_ms >= expires_at


def require_unexpired(actor: Actor, now_ms: int) -> None:
    """Raise Problem 401 for a token that has ended."""
    if actor.expires_at is not None and expired(actor.expires_at, now_ms):
        ended = timestamp(actor.expires_at)
        raise _unauthorized(f"this token expired at {ended}; ask an admin for a new one")


def authorize(
    actor: Actor,
    permission: str,
    reach: str,
    ns: str | None = None,
    key: str | None = None,
) -> None:
    """
    Let an actor pass to a route that needs ``permission`` and is about ``reach`` (one of REACHES).
    Raises Problem 404 for a namespace that he cannot see, 403 for what he may not do in it. Whoever
    makes one sees it as little as anybody: he is answered alike whichever are there.
    """
    if reach != "new" and ns is not None and not actor.sees(ns):
        raise not_found(f"there is no namespace {ns!r} for this token")
    if not actor.may(permission):
        raise _forbidden(
            f"a token of role {actor.role!r} may not do this; it needs the permission "
            f"{permission!r}",
            permission=permission,
        )
    if reach in _OF_ALL and not actor.reach.unlimited:
        raise _forbidden(
            f"{_OF_ALL[reach]}, and this token is limited to {actor.reach}; use one without a scope"
        )
    if ns is not None:
        if reach == "whole":
            require_whole(actor, ns)
        if key is not None:
            require_keys(actor, ns, (key,))


def require_whole(actor: Actor, ns: str) -> None:
    """Raise Problem 403 for an actor who reaches only a part of a namespace that he sees."""
    if not actor.reach.whole(ns):
        raise _forbidden(
            f"this is about all keys of {ns}, and {_limits(actor, ns)}; use a token without a "
            "prefix",
            prefixes=list(actor.reach.prefixes(ns)),
        )


def require_keys(actor: Actor, ns: str, keys: Iterable[str]) -> None:
    """Raise Problem 403 for the first key that the actor does not reach in a namespace he sees."""
    for key in keys:
        if not actor.reach.holds(ns, key.removeprefix(_BINDING)):
            raise _forbidden(
                f"{_limits(actor, ns)}, and {key[:200]!r} is none of these",
                key=key[:200],
                prefixes=list(actor.reach.prefixes(ns)),
            )


def require_grantable(maker: Actor, role: str, reach: Reach, expires_at: int | None) -> None:
    """
    Nobody gives what he has not: raise Problem 403 for a token that may, reaches or lasts more than
    that of whoever makes it.
    """
    if not permissions_of(role) <= permissions_of(maker.role):
        raise _forbidden(f"a token of role {maker.role!r} cannot make one of role {role!r}")
    if not maker.reach.covers(reach):
        raise _forbidden(
            f"this token reaches {maker.reach} and can make no token that reaches {reach}; name "
            "scopes within its own"
        )
    ends = maker.expires_at
    if ends is not None and (expires_at is None or expires_at > ends):
        raise _forbidden(
            f"this token expires at {timestamp(ends)} and can make none that lasts longer; give "
            "expires_at or ttl"
        )


def _actor_of(key: str, about: Mapping[str, Any]) -> Actor:
    return Actor(
        name=about["name"],
        role=about["role"],
        token_id=key.removeprefix(TOKEN_PREFIX),
        instance=about.get("instance"),
        reach=Reach.of(about),
        report_key=bytes.fromhex(about.get("report_key", "")),
        expires_at=about.get("expires_at"),
    )


def _limits(actor: Actor, ns: str) -> str:
    prefixes = " or ".join(actor.reach.prefixes(ns))
    return f"this token reaches only the keys of {ns} that begin with {prefixes}"


def _forbidden(detail: str, **members: Any) -> Problem:
    return Problem("forbidden", detail, **members)


def _unauthorized(detail: str) -> Problem:
    return Problem("unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
