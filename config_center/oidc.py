"""
Logging in at an OpenID provider: what is configured, and what is decided of what it says. Pure.

The authorization code flow with PKCE. It is the center that turns the code into tokens, so none of
the provider's ever reaches the page; what the page gets is a short-lived token of ours, in the
fragment of an address, as from the link that a center prints. So there is one kind of token at the
door, which can be listed and revoked, and no session cookie that another site's form could ride on.

Between the two halves of a login nothing is remembered here: ``state``, ``nonce`` and the verifier
lie in a cookie for this path alone, so any center can finish what another began, and nobody can be
logged in by an answer to a question that his browser did not ask.

Of an ID token everything is checked that can be wrong: that a key of the provider signed it, with
one of a few algorithms of public keys (``none`` and HMAC are not among them), issuer, audience,
times, nonce. The first entry of ``oidc.roles`` that fits says what its bearer may; no entry, no
token. A person is told apart by the provider's ``sub`` or a verified address, never by a name that
he chose himself.

Rejected: the implicit flow (tokens in addresses that proxies log); the provider's token at our door
(its audience is somebody else, and it cannot be revoked here).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from config_center.access import LOGIN, PERMISSIONS
from config_center.problems import Problem
from config_center.scopes import Reach, asked_reach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CALLBACK = "/v1/login/callback"
ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "Ed25519", "EdDSA")
_LEEWAY = 60  # seconds that the provider's clock may be off
_MOST_NAME = 90
_HERE = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Grant:
    """Who has ``value`` in the claim gets a token of this role and reach."""

    value: str
    role: str
    reach: Reach

    @classmethod
    def parse(cls, text: str) -> Grant:
        """``VALUE=ROLE``, ``VALUE=ROLE@NAMESPACE`` or ``VALUE=ROLE@NAMESPACE/PREFIX``."""
        value, _, may = text.rpartition("=")
        role, at, scope = may.partition("@")
        if not value or role not in PERMISSIONS or role == "instance":
            raise ValueError(f"write VALUE=ROLE or VALUE=ROLE@NAMESPACE/PREFIX, not {text!r}")
        ns, _, prefix = scope.partition("/")
        try:
            scopes = [{"namespace": ns, "prefix": prefix}] if at else []
            return cls(value, role, asked_reach(scopes))
        except Problem as problem:
            raise ValueError(f"{text!r}: {problem.detail}") from None


class Oidc(BaseModel):
    """The provider, and what its users may."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    issuer: str | None = Field(None, description="URL of an OpenID provider; none: no login")
    client_id: str = Field("", description="what this center is called there")
    client_secret_file: Path | None = Field(None, description="file with its secret; none: PKCE")
    public_url: str = Field("", description="this center as browsers see it, https://HOST")
    scope: str = Field("openid email profile", description="what is asked for")
    claim: str = Field("groups", description="claim of the ID token that roles are given by")
    roles: str = Field("", description="VALUE=ROLE[@NAMESPACE[/PREFIX]], ...; the first that fits")
    hours: int = Field(8, ge=1, le=24, description="how long a token of a login lasts")

    @model_validator(mode="after")
    def _is_whole(self) -> Oidc:
        grants = list(self.grants())
        if self.issuer is None:
            return self
        for name in ("issuer", "public_url"):
            _require_private(name, getattr(self, name))
        if not self.client_id or not grants:
            raise ValueError("oidc.issuer goes with oidc.client_id and oidc.roles")
        return self

    def grants(self) -> Iterator[Grant]:
        """Who gets what, the first that fits. Raises ValueError."""
        return (Grant.parse(part.strip()) for part in self.roles.split(",") if part.strip())

    @property
    def callback(self) -> str:
        """Where the provider sends the browser back to; it has to know this address."""
        return self.public_url.rstrip("/") + CALLBACK


@dataclass(frozen=True, slots=True)
class Login:
    """One login on its way; the three are random, and lie in the browser's cookie."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls, rng: Callable[[int], bytes]) -> Login:
        """Three times 32 bytes."""
        return cls(_text(rng(32)), _text(rng(32)), _text(rng(32)))

    @classmethod
    def parse(cls, cookie: str | None) -> Login | None:
        """Read :meth:`cookie`; None for anything else."""
        parts = (cookie or "").split(".")
        return cls(*parts) if len(parts) == 3 and all(len(part) == 43 for part in parts) else None

    def cookie(self) -> str:
        """As the browser keeps it."""
        return f"{self.state}.{self.nonce}.{self.verifier}"

    def address(self, oidc: Oidc, endpoint: str) -> str:
        """Where the browser is sent to log in."""
        challenge = _text(hashlib.sha256(self.verifier.encode("ascii")).digest())
        asked = {
            "response_type": "code",
            "client_id": oidc.client_id,
            "redirect_uri": oidc.callback,
            "scope": oidc.scope,
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"


def endpoint_of(metadata: Any, name: str, issuer: str) -> str:
    """An address from the provider's description of itself. Raises ValueError."""
    if not isinstance(metadata, dict) or metadata.get("issuer") != issuer:
        raise ValueError("it calls itself by another name than oidc.issuer")
    found = metadata.get(name)
    _require_private(name, found)
    return str(found)


def read_claims(id_token: object, keys: Any, oidc: Oidc, nonce: str, now: int) -> dict[str, Any]:
    """
    The claims of an ID token that holds, ``now`` in seconds since 1970; ``keys`` is the provider's
    JSON Web Key Set. Raises Problem 401.
    """
    from joserfc import jws, jwt
    from joserfc.errors import JoseError

    try:
        headers = jws.extract_compact(str(id_token).encode("utf-8")).headers()
        key = _key(keys, headers.get("kid"))
        claims = jwt.decode(str(id_token), key, algorithms=list(ALGORITHMS)).claims
        jwt.JWTClaimsRegistry(
            now=now,
            leeway=_LEEWAY,
            iss={"essential": True, "value": str(oidc.issuer)},
            aud={"essential": True, "value": oidc.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        ).validate(claims)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise _refused(f"the provider's ID token does not hold ({type(error).__name__})") from None
    others = claims["aud"] if isinstance(claims["aud"], list) else []
    if (len(others) > 1 or "azp" in claims) and claims.get("azp") != oidc.client_id:
        raise _refused("the provider's ID token was made for somebody else")
    return dict(claims)


def asked_token(oidc: Oidc, claims: Mapping[str, Any]) -> dict[str, Any]:
    """The token that somebody with these claims gets. Raises Problem 403."""
    found = claims.get(oidc.claim)
    values = found if isinstance(found, list) else [found]
    grant = next((grant for grant in oidc.grants() if grant.value in values), None)
    if grant is None:
        raise Problem(
            "forbidden",
            f"none of your {oidc.claim!r} is given a role here; an admin can add it to oidc.roles",
        )
    mail = claims.get("email") if claims.get("email_verified") is True else None
    name = f"{LOGIN}:{mail or claims['sub']}"
    if not name.isprintable() or len(name) > _MOST_NAME:
        raise _refused("the provider calls you by a name that cannot be written down")
    scopes = grant.reach.to_json()
    return {"name": name, "role": grant.role, "scopes": scopes, "ttl": oidc.hours * 3600}


def _key(keys: Any, kid: object) -> Any:
    """The one public key of this id; without an id, the only one there is. Raises ValueError."""
    from joserfc.jwk import import_key

    listed = keys.get("keys") if isinstance(keys, dict) else None
    usable = [
        key
        for key in (listed if isinstance(listed, list) else ())
        if isinstance(key, dict)
        and key.get("use", "sig") == "sig"
        and kid in (None, key.get("kid"))
    ]
    if len(usable) != 1:
        raise ValueError("no key of this id")
    return import_key(usable[0])


def _require_private(name: str, url: object) -> None:
    """Raise ValueError for an address on the way to which others could listen."""
    address = urlsplit(str(url))
    here = address.scheme == "http" and address.hostname in _HERE
    if not address.hostname or not (here or address.scheme == "https"):
        raise ValueError(f"{name} is an https:// address")


def _refused(detail: str) -> Problem:
    return Problem("unauthorized", f"{detail}; log in again at /v1/login")


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")
