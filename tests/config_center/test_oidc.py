"""Whom an OpenID provider may log in, and as what: decided on values."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey
from pydantic import ValidationError

from config_center.oidc import Grant, Login, Oidc, asked_token, endpoint_of, read_claims
from config_center.problems import Problem
from config_center.scopes import EVERYTHING, Reach, Scope

NOW = 1_700_000_000
ISSUER = "https://id.example"
OIDC = Oidc(
    issuer=ISSUER,
    client_id="center",
    public_url="https://config.example/",
    roles="ops=admin, llm team=publisher@prod/llm., all=reader",
)
KEY = ECKey.generate_key("P-256", {"kid": "one", "use": "sig"})
KEYS = {"keys": [KEY.as_dict(private=False)]}
CLAIMS = {
    "iss": ISSUER,
    "aud": "center",
    "sub": "u-1",
    "exp": NOW + 300,
    "iat": NOW,
    "nonce": "n",
    "groups": ["all", "ops"],
}


def token(key: Any = KEY, header: dict[str, Any] | None = None, **claims: object) -> str:
    about = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    sent = {"alg": "ES256", "kid": "one", **(header or {})}
    algorithms = [sent["alg"]]
    return jwt.encode(sent, about, key, algorithms=algorithms)


def read(text: object, keys: Any = KEYS) -> dict[str, Any]:
    return read_claims(text, keys, OIDC, "n", NOW)


def test_a_token_that_holds_is_read() -> None:
    other = OKPKey.generate_key("Ed25519", {"kid": "two"})
    both = {"keys": [*KEYS["keys"], other.as_dict(private=False)]}

    assert read(token())["sub"] == "u-1"
    assert read(token(aud=["center"]))["aud"] == ["center"]
    assert read(token(aud=["center", "other"], azp="center"))["azp"] == "center"
    assert read(token(exp=NOW - 59))["exp"] == NOW - 59  # the provider's clock may be off
    assert read(token(other, {"alg": "Ed25519", "kid": "two"}), both)["sub"] == "u-1"
    without = jwt.encode({"alg": "ES256"}, CLAIMS, KEY)
    assert read(without)["sub"] == "u-1"
    for_encryption = {**other.as_dict(private=False), "use": "enc"}
    assert read(without, {"keys": [*KEYS["keys"], for_encryption]})["sub"] == "u-1"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"},
        {"iss": ISSUER + "/"},
        {"aud": "other"},
        {"aud": ["other"]},
        {"aud": ["center", "other"]},
        {"aud": ["center", "other"], "azp": "other"},
        {"azp": "other"},
        {"exp": NOW - 61},
        {"iat": NOW + 61},
        {"nbf": NOW + 61},
        {"nonce": "another"},
        *({name: None} for name in ("iss", "aud", "sub", "exp", "iat", "nonce")),
    ],
    ids=str,
)
def test_a1_a_claim_that_is_wrong_or_missing_refuses_the_token(claims: dict[str, object]) -> None:
    with pytest.raises(Problem, match="log in again") as found:
        read(token(**claims))
    assert found.value.status == 401


def part(plain: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(plain)).decode().rstrip("=")


def by_secret(secret: bytes) -> str:
    """Signed with HMAC, by hand: no library that is worth its name does it with a public key."""
    text = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part(CLAIMS)}"
    sig = hmac.digest(secret, text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(sig).decode().rstrip('=')}"


def forged() -> list[tuple[str, object]]:
    """No key, another's, the public one as a secret, other words under a signature that holds."""
    head, body, sig = token().split(".")
    other = token(sub="u-2").split(".")[1]
    return [
        ("no signature", f"{part({'alg': 'none', 'kid': 'one'})}.{part(CLAIMS)}."),
        ("the public key as a secret", by_secret(KEY.as_pem(private=False))),
        ("another key of the same id", token(ECKey.generate_key("P-256"))),
        ("an id that is not known", token(header={"kid": "two"})),
        ("other claims under the signature", f"{head}.{other}.{sig}"),
        ("no signature part", f"{head}.{body}"),
        ("a cut signature", f"{head}.{body}.{sig[:-4]}"),
        ("noise", "noise"),
        ("nothing", None),
        ("a number", 7),
    ]


@pytest.mark.parametrize(("what", "text"), forged(), ids=lambda value: str(value)[:40])
def test_a36_a_signature_that_is_not_the_providers_refuses_the_token(
    what: str, text: object
) -> None:
    with pytest.raises(Problem, match="does not hold"):
        read(text)


def test_a36_only_public_keys_for_signatures_are_believed() -> None:
    secret = OctKey.generate_key(256, {"kid": "one"})
    signed = token(secret, {"alg": "HS256"})
    for keys in (
        {"keys": [secret.as_dict(private=True)]},
        {"keys": [{**KEYS["keys"][0], "use": "enc"}]},
        {"keys": KEYS["keys"] * 2},  # which of them?
        {"keys": []},
        {"keys": [7, {"kty": "EC", "kid": "one"}]},
        {"keys": {"kty": "EC"}},
        {},
        None,
        [],
    ):
        for text in (signed, token()):
            with pytest.raises(Problem, match="does not hold"):
                read(text, keys)


def test_the_first_entry_that_fits_says_what_somebody_may() -> None:
    def asked(**claims: object) -> dict[str, Any]:
        return asked_token(OIDC, {"sub": "u-1", **claims})

    assert asked(groups=["all", "ops"]) == {
        "name": "oidc:u-1",
        "role": "admin",
        "scopes": [],
        "ttl": 8 * 3600,
    }
    narrow = asked(groups=["all", "llm team"])
    assert (narrow["role"], narrow["scopes"]) == (
        "publisher",
        [{"namespace": "prod", "prefix": "llm."}],
    )
    assert asked(groups="all")["role"] == "reader"
    for groups in ([], None, ["Ops"], "op", ["admin"], {"ops": 1}, 7):
        with pytest.raises(Problem, match="none of your 'groups'") as found:
            asked(groups=groups)
        assert found.value.status == 403


def test_a_person_is_called_by_what_the_provider_vouches_for() -> None:
    def name(**claims: object) -> str:
        return str(asked_token(OIDC, {"sub": "u-1", "groups": "all", **claims})["name"])

    assert name(email="a@b.c", email_verified=True) == "oidc:a@b.c"
    for verified in (False, "true", None, 1):
        assert name(email="ceo@b.c", email_verified=verified) == "oidc:u-1"
    assert name(preferred_username="admin", name="admin") == "oidc:u-1"
    for sub in ("a\nb", "x" * 100, "\u202eadmin"):
        with pytest.raises(Problem, match="cannot be written down"):
            name(sub=sub)


def test_a_login_asks_by_the_code_flow_with_pkce_and_fits_into_a_cookie() -> None:
    numbers = itertools.count(1)
    login = Login.new(lambda size: bytes([next(numbers)]) * size)

    assert Login.parse(login.cookie()) == login
    assert re.fullmatch(r"[\w-]{43}\.[\w-]{43}\.[\w-]{43}", login.cookie())
    for junk in (None, "", "a.b.c", login.cookie() + "x", login.cookie() + ".x"):
        assert Login.parse(junk) is None
    where = login.address(OIDC, "https://id.example/auth?x=1")
    asked = {name: value[0] for name, value in parse_qs(urlsplit(where).query).items()}
    digest = hashlib.sha256(login.verifier.encode()).digest()
    assert asked == {
        "x": "1",
        "response_type": "code",
        "client_id": "center",
        "redirect_uri": "https://config.example/v1/login/callback",
        "scope": "openid email profile",
        "state": login.state,
        "nonce": login.nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
    }
    assert login.verifier not in where
    assert login.address(OIDC, "https://id.example/auth").startswith("https://id.example/auth?r")


def test_a23_the_provider_sends_nobody_elsewhere_in_clear() -> None:
    described = {"issuer": ISSUER, "token_endpoint": "https://id.example/t"}

    assert endpoint_of(described, "token_endpoint", ISSUER) == "https://id.example/t"
    here = {"issuer": ISSUER, "x": "http://127.0.0.1:1/t"}
    assert endpoint_of(here, "x", ISSUER) == "http://127.0.0.1:1/t"
    for metadata in (
        {**described, "issuer": "https://other.example"},
        {**described, "token_endpoint": "http://id.example/t"},
        {**described, "token_endpoint": "file:///etc/passwd"},
        {**described, "token_endpoint": "https:"},
        {"issuer": ISSUER},
        [],
        None,
    ):
        with pytest.raises(ValueError, match=r"https://|another name"):
            endpoint_of(metadata, "token_endpoint", ISSUER)


@pytest.mark.parametrize(
    ("text", "grant"),
    [
        ("ops=admin", Grant("ops", "admin", EVERYTHING)),
        ("cn=a=reader@prod", Grant("cn=a", "reader", Reach((Scope("prod"),)))),
        ("g=operator@prod/llm.", Grant("g", "operator", Reach((Scope("prod", "llm."),)))),
    ],
)
def test_a_role_is_given_by_a_value_of_the_claim(text: str, grant: Grant) -> None:
    assert Grant.parse(text) == grant


@pytest.mark.parametrize(
    "text",
    ["ops", "=admin", "ops=owner", "ops=instance", "ops=admin@", "ops=admin@*", "a=reader@a/*"],
)
def test_a_role_that_cannot_be_given_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValidationError, match=r"write VALUE=ROLE|scope"):
        Oidc(roles=text)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"issuer": "http://id.example"}, "issuer is an https:// address"),
        ({"public_url": "http://config.example"}, "public_url is an https:// address"),
        ({"public_url": ""}, "public_url is an https:// address"),
        ({"client_id": ""}, "goes with oidc.client_id"),
        ({"roles": " , "}, "and oidc.roles"),
    ],
)
def test_a2_a_provider_is_configured_as_a_whole(given: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Oidc.model_validate({**OIDC.model_dump(), **given})
    assert Oidc().issuer is None
