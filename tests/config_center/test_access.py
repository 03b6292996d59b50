"""Who is let in, with what, and for how long: decided on values."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from client_sdk.bodies import encode_body
from client_sdk.contents import Content
from client_sdk.records import Position, sha256_hex
from client_sdk.state import Entry, NamespaceState
from config_center.access import (
    PERMISSIONS,
    TOKEN_PREFIX,
    Actor,
    authenticate,
    authorize,
    expired,
    require_grantable,
    require_keys,
    require_unexpired,
    token_hash,
    token_key,
)
from config_center.problems import Problem
from config_center.scopes import EVERYTHING, Reach, Scope

NOW = 1_700_000_000_000
TOKEN = "cc_" + "A" * 43
PROD = Reach((Scope("prod"),))
LLM = Reach((Scope("prod", "llm."),))


def system(**about: object) -> NamespaceState:
    """``_system`` with one token."""
    plain = {"name": "alice", "role": "reader", "hash": token_hash(TOKEN), **about}
    body = encode_body(plain, "json")
    content = Content(1, sha256_hex(body), len(body), "json", body=body)
    return state(Entry(token_key(TOKEN), Position(1, 1), 1, content))


def state(entry: Entry) -> NamespaceState:
    return NamespaceState.from_entries([entry], Position(1, 1), b"")


@contextlib.contextmanager
def refused(name: str, words: str) -> Iterator[None]:
    """Whatever is done inside is refused by this name, with these words."""
    with pytest.raises(Problem, match=re.escape(words)) as found:
        yield
    assert found.value.name == name


def test_a_record_says_all_about_its_token() -> None:
    about = {"scopes": LLM.to_json(), "instance": "gw", "report_key": "00ff", "expires_at": NOW + 1}
    ident = hashlib.sha256(TOKEN.encode()).hexdigest()[:16]

    actor = authenticate(system(**about), f"bearer  {TOKEN} ", NOW)

    assert actor == Actor("alice", "reader", ident, "gw", LLM, b"\x00\xff", NOW + 1)
    assert token_key(TOKEN) == TOKEN_PREFIX + ident


def test_a_record_of_before_there_were_scopes_still_opens() -> None:
    assert authenticate(system(namespaces=["prod"]), f"Bearer {TOKEN}", NOW).reach == PROD
    assert authenticate(system(), f"Bearer {TOKEN}", NOW).reach == EVERYTHING
    assert authenticate(system(), f"Bearer {TOKEN}", NOW).expires_at is None


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Token {TOKEN}", "Bearer ｃｃ_"],
)
def test_a1_what_is_no_bearer_token_is_401(header: str | None) -> None:
    with pytest.raises(Problem, match="Authorization: Bearer") as found:
        authenticate(system(), header, NOW)
    assert found.value.headers == {"WWW-Authenticate": "Bearer"}


@pytest.mark.parametrize(
    "token", [TOKEN + "x", TOKEN[:-1], TOKEN.lower(), token_hash(TOKEN), token_key(TOKEN), "*"]
)
def test_a1_a_token_that_is_not_known_is_401(token: str) -> None:
    with refused("unauthorized", "not known here"):
        authenticate(system(), f"Bearer {token}", NOW)


def test_a1_a_token_is_compared_as_a_whole_and_not_by_its_id() -> None:
    """Two tokens may share the 64 bits of an id; only the hash of all of it opens."""
    with refused("unauthorized", "not known here"):
        authenticate(system(hash=token_hash("cc_other")), f"Bearer {TOKEN}", NOW)


def test_a3_a_token_is_compared_by_its_hash_and_in_constant_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = []

    def compare(*both: str) -> bool:
        compared.append(both)
        return False

    monkeypatch.setattr("hmac.compare_digest", compare)
    with refused("unauthorized", "not known here"):
        authenticate(system(), f"Bearer {TOKEN}", NOW)
    assert compared == [(token_hash(TOKEN), token_hash(TOKEN))]


def test_a_revoked_token_is_401() -> None:
    ended = state(replace(system().entries[token_key(TOKEN)], content=None))

    with refused("unauthorized", "may have been revoked"):
        authenticate(ended, f"Bearer {TOKEN}", NOW)


def test_a_token_ends_at_the_very_moment_it_was_given() -> None:
    about = system(expires_at=NOW)

    assert authenticate(about, f"Bearer {TOKEN}", NOW - 1).expires_at == NOW
    with refused("unauthorized", "expired at 2023-11-14T22:13:20.000Z"):
        authenticate(about, f"Bearer {TOKEN}", NOW)
    require_unexpired(Actor("a", "reader"), NOW)
    assert [expired(at, NOW) for at in (None, NOW - 1, NOW, NOW + 1)] == [False, True, True, False]


def test_a5_a_role_may_what_its_line_of_the_table_says_and_no_more() -> None:
    everything = set().union(*PERMISSIONS.values())
    for role, may in PERMISSIONS.items():
        for permission in everything:
            actor = Actor("a", role)
            if permission in may:
                authorize(actor, permission, "center")
            else:
                with refused("forbidden", f"needs the permission {permission!r}"):
                    authorize(actor, permission, "center")
    with refused("forbidden", "role 'unheard-of'"):
        authorize(Actor("a", "unheard-of"), "read", "part")


def test_a5_nobody_approves_and_publishes_but_an_admin() -> None:
    both = {role for role, may in PERMISSIONS.items() if {"publish", "approve"} <= may}

    assert both == {"admin"}
    assert "publish" not in PERMISSIONS["operator"]


def test_a4_a_namespace_that_is_not_seen_is_404_whatever_else_is_wrong() -> None:
    for role in PERMISSIONS:
        with refused("not-found", "no namespace 'other' for this token"):
            authorize(Actor("a", role, reach=PROD), "admin", "whole", "other")


def test_what_is_about_more_than_a_token_reaches_is_403() -> None:
    admin, part = Actor("a", "admin", reach=PROD), Actor("b", "admin", reach=LLM)

    authorize(admin, "read", "whole", "prod")
    authorize(part, "read", "part", "prod")
    authorize(part, "read", "key", "prod", "llm.cn")
    authorize(Actor("c", "admin"), "admin", "center")
    with refused("forbidden", "the whole center, and this token is limited to prod"):
        authorize(admin, "admin", "center", "prod")
    for made in ("prod", "other"):
        with refused("forbidden", "making a namespace takes a token that reaches all of them"):
            authorize(admin, "admin", "new", made)
    with refused("forbidden", "about all keys of prod, and this token reaches only the keys"):
        authorize(part, "read", "whole", "prod")


def test_a4_a_key_beyond_the_prefix_is_403_and_the_prefix_is_named() -> None:
    actor = Actor("a", "publisher", reach=Reach((Scope("prod", "llm."), Scope("prod", "asr."))))

    require_keys(actor, "prod", ["llm.cn", "asr.en", "_schema.llm.cn"])
    for key in ("tts", "llm", "_schema.tts", "_policy"):
        with pytest.raises(Problem, match=r"begin with asr\. or llm\.") as found:
            authorize(actor, "publish", "key", "prod", key)
        assert found.value.members == {"key": key, "prefixes": ["asr.", "llm."]}


def test_a5_nobody_gives_what_he_has_not() -> None:
    own = Actor("a", "admin", reach=PROD, expires_at=NOW)

    require_grantable(Actor("root", "admin"), "admin", EVERYTHING, None)
    require_grantable(own, "admin", LLM, NOW)
    require_grantable(own, "instance", PROD, NOW - 1)
    with refused("forbidden", "reaches prod and can make no token that reaches everything"):
        require_grantable(own, "reader", EVERYTHING, NOW)
    with refused("forbidden", "that reaches other"):
        require_grantable(own, "reader", Reach((Scope("other"),)), NOW)
    for ends in (None, NOW + 1):
        with refused("forbidden", "can make none that lasts longer"):
            require_grantable(own, "reader", PROD, ends)
    with refused("forbidden", "role 'publisher' cannot make one of role 'approver'"):
        require_grantable(Actor("p", "publisher"), "approver", EVERYTHING, None)
    require_grantable(Actor("p", "publisher"), "reader", EVERYTHING, None)
