from __future__ import annotations

import orjson
import pytest

from client_sdk import signing
from client_sdk.errors import NotTrusted
from client_sdk.signing import (
    BEAT,
    RECORD,
    REVOKED,
    Refusal,
    SigningKey,
    TrustList,
    Validity,
    Verifier,
    draft,
    parse_public,
    show_public,
)
from client_sdk.signing import TRUST as TRUST_PREFIX
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
    raw = draft({KEY.kid: STRANGER.public}, 1)
    swapped = TrustList(1, ROOT.public, {}, raw, ROOT.sign(TRUST_PREFIX, raw))

    with pytest.raises(NotTrusted, match="own name"):
        TrustList.parse(swapped.encode())


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b'{"version":1}', b'{"keys":{},"version":-1}', b'{"keys":[],"version":1}'],
)
def test_a_signed_list_that_cannot_be_read_is_refused(raw: bytes) -> None:
    document = TrustList(1, ROOT.public, {}, raw, ROOT.sign(TRUST_PREFIX, raw)).encode()

    with pytest.raises(NotTrusted, match="cannot be read"):
        TrustList.parse(document)


def test_a_list_that_uses_nothing_new_has_the_bytes_it_always_had() -> None:
    kid, public = KEY.kid, show_public(KEY.public)

    assert TRUST.raw == b'{"keys":{"%s":"%s"},"version":1}' % (kid.encode(), public.encode())


def test_members_nobody_knows_are_passed_over_unless_they_must_be_understood() -> None:
    plain = {"version": 2, "keys": {KEY.kid: show_public(KEY.public)}, "colour": "red"}
    may = TrustList.sign(ROOT, orjson.dumps(plain))

    assert dict(may.keys) == {KEY.kid: KEY.public}
    with pytest.raises(NotTrusted, match="newer library, for colour"):
        TrustList.sign(ROOT, orjson.dumps({**plain, "crit": ["colour"]}))


def test_bounds_and_refusals_come_back_from_the_document() -> None:
    bounds = {KEY.kid: Validity(not_before=5, not_after=9)}
    gone = {STRANGER.kid: Refusal(STRANGER.public, 7, REVOKED)}
    raw = draft({KEY.kid: KEY.public}, 3, issued=4, validity=bounds, refused=gone)

    parsed = TrustList.parse(TrustList.sign(ROOT, raw).encode(), ROOT.public)

    assert (parsed.version, parsed.issued) == (3, 4)
    assert (parsed.validity, parsed.refused) == (bounds, gone)
    assert [parsed.knows(k) for k in (KEY.kid, STRANGER.kid, "0" * 16)] == [True, True, False]


def test_a_list_that_trusts_and_refuses_one_key_is_refused() -> None:
    gone = {KEY.kid: Refusal(KEY.public, 7, REVOKED)}

    with pytest.raises(NotTrusted, match="one and the same"):
        TrustList.sign(ROOT, draft({KEY.kid: KEY.public}, 3, refused=gone))


@pytest.mark.parametrize(
    ("bounds", "counted"),
    [
        (Validity(), [4, 5, 9, 10]),
        (Validity(not_before=5), [5, 9, 10]),
        (Validity(not_after=9), [4, 5, 9]),
        (Validity(5, 9), [5, 9]),
    ],
)
def test_a35_a_key_counts_within_its_bounds_only(bounds: Validity, counted: list[int]) -> None:
    trust = TrustList.sign(ROOT, draft({KEY.kid: KEY.public}, 1, validity={KEY.kid: bounds}))
    sig = KEY.sign(RECORD, b"m")

    def holds(now: int) -> bool:
        return Verifier(trust, lambda: now).verify(KEY.kid, RECORD, b"m", sig)

    assert [now for now in (4, 5, 9, 10) if holds(now)] == counted
    assert Verifier(trust).verify(KEY.kid, RECORD, b"m", sig)


def test_a35_a_refused_key_counts_for_what_lies_on_ones_own_disk_only() -> None:
    gone = {KEY.kid: Refusal(KEY.public, 7, REVOKED)}
    verifier = Verifier(
        TrustList.sign(ROOT, draft({STRANGER.kid: STRANGER.public}, 2, refused=gone))
    )
    sig = KEY.sign(RECORD, b"m")

    assert not verifier.verify(KEY.kid, RECORD, b"m", sig)
    assert verifier.past.verify(KEY.kid, RECORD, b"m", sig)
    assert not verifier.past.verify("0" * 16, RECORD, b"m", sig)


def test_a36_nothing_but_the_exact_signature_over_the_exact_bytes_counts() -> None:
    """Cut short, drawn out, of another algorithm, over other JSON of the same meaning."""
    sig, message = KEY.sign(RECORD, b'{"a":1}'), b'{"a":1}'
    others = [b"", sig[:-1], sig + b"\0", bytes(64), sig[32:] + sig[:32], b"none"]

    assert Verifier(TRUST).verify(KEY.kid, RECORD, message, sig)
    assert not any(Verifier(TRUST).verify(KEY.kid, RECORD, message, s) for s in others)
    assert not Verifier(TRUST).verify(KEY.kid, RECORD, b'{"a": 1}', sig)
    assert not Verifier(TRUST).verify(KEY.kid, RECORD, b'{"a":1.0}', sig)


def test_a36_a_key_of_another_algorithm_is_no_key() -> None:
    plain = {"version": 2, "keys": {KEY.kid: "hmac:" + show_public(KEY.public)[8:]}}

    with pytest.raises(NotTrusted, match="ed25519"):
        TrustList.sign(ROOT, orjson.dumps(plain))


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
