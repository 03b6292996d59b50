from __future__ import annotations

import orjson
import pytest

from client_sdk import signing
from client_sdk.errors import NotTrusted
from client_sdk.signing import (
    BEAT,
    RECORD,
    SigningKey,
    TrustList,
    Verifier,
    parse_public,
    show_public,
)
from tests.history import KEY, ROOT, STRANGER, TRUST


def test_a_signature_counts_only_for_its_key_its_prefix_and_its_bytes() -> None:
    verifier = Verifier(TRUST)
    sig = KEY.sign(RECORD, b"message")

    assert verifier.verify(KEY.kid, RECORD, b"message", sig)
    assert not verifier.verify(KEY.kid, BEAT, b"message", sig)
    assert not verifier.verify(KEY.kid, RECORD, b"massage", sig)
    assert not verifier.verify(STRANGER.kid, RECORD, b"message", sig)
    assert not verifier.verify(KEY.kid, RECORD, b"message", sig[:-1])


def test_a_trust_list_comes_back_from_its_document() -> None:
    assert TrustList.parse(TRUST.encode(), ROOT.public) == TRUST
    assert TrustList.parse(TRUST.encode()) == TRUST


def test_a_list_of_another_root_is_refused_by_who_pinned_one() -> None:
    other = TrustList.issue(STRANGER, {KEY.kid: KEY.public}, 2)

    with pytest.raises(NotTrusted, match="pinned"):
        TrustList.parse(other.encode(), ROOT.public)


def test_a_list_that_its_root_did_not_sign_is_refused() -> None:
    document = orjson.loads(TRUST.encode())
    document["list"] = document["list"].replace('"version":1', '"version":9')

    with pytest.raises(NotTrusted, match="not signed"):
        TrustList.parse(orjson.dumps(document))


def test_a_key_under_another_keys_name_is_refused() -> None:
    swapped = TrustList.issue(ROOT, {KEY.kid: STRANGER.public}, 1)

    with pytest.raises(NotTrusted, match="own name"):
        TrustList.parse(swapped.encode())


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"root":1}', b"\xff"])
def test_what_is_no_trust_document_is_refused(document: bytes) -> None:
    with pytest.raises(NotTrusted):
        TrustList.parse(document)


@pytest.mark.parametrize("text", ["", "ed25519:", "ed25519:AAAA", "rsa:" + "A" * 44, "ed25519:!"])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(NotTrusted):
        parse_public(text)


def test_a_public_key_comes_back_from_its_text() -> None:
    assert parse_public(show_public(KEY.public)) == KEY.public


def test_a_newer_list_of_the_same_root_replaces_an_older_and_never_the_other_way() -> None:
    verifier = Verifier(TRUST)
    newer = TrustList.issue(ROOT, {STRANGER.kid: STRANGER.public}, 2)
    foreign = TrustList.issue(STRANGER, {STRANGER.kid: STRANGER.public}, 3)

    assert not verifier.renew(foreign)
    assert verifier.renew(newer)
    assert not verifier.renew(TRUST)
    assert not verifier.verify(KEY.kid, RECORD, b"m", KEY.sign(RECORD, b"m"))


def test_what_verified_once_is_not_checked_again_and_nothing_else_passes_for_it() -> None:
    sig = KEY.sign(RECORD, b"once")
    assert Verifier(TRUST).verify(KEY.kid, RECORD, b"once", sig)
    again = Verifier(TRUST)

    assert again.verify(KEY.kid, RECORD, b"once", sig)
    assert again._parsed == {}  # the signature itself was not looked at
    assert not again.verify(KEY.kid, RECORD, b"twice", sig)
    assert not again.verify(KEY.kid, BEAT, b"once", sig)
    assert not Verifier(TrustList.issue(ROOT, {STRANGER.kid: STRANGER.public}, 2)).verify(
        KEY.kid, RECORD, b"once", sig
    )


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "_REMEMBERED", 2)
    signing._verified.clear()

    for number in range(5):
        message = b"%d" % number
        assert Verifier(TRUST).verify(KEY.kid, RECORD, message, KEY.sign(RECORD, message))

    assert len(signing._verified) == 1


def test_a_key_never_shows_its_seed() -> None:
    key = SigningKey.generate(lambda size: b"\7" * size)

    assert repr(key) == f"SigningKey(kid={key.kid})"
    assert SigningKey(key.seed).public == key.public
