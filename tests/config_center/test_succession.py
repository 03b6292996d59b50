"""Which list comes after which, and what the root refuses to sign."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest

from client_sdk.errors import NotTrusted
from client_sdk.signing import RETIRED, REVOKED, Refusal, TrustList, Validity, Verifier, draft
from config_center import succession
from config_center.succession import Request
from tests.history import KEY, ROOT, STRANGER, TRUST

NEW = STRANGER
NOW = 1_700_000_000_000
DAY = 24 * 3600 * 1000


def rotation(base: TrustList = TRUST, days: int | None = None, keep: bool = False) -> Request:
    return succession.rotation(base, KEY.kid, NEW.public, NOW, days=days, keep=keep)


def test_a_key_is_replaced_by_a_list_with_both_and_a_list_with_the_new_one() -> None:
    both, after = succession.sign(rotation(), ROOT)

    assert (both.version, set(both.keys), dict(both.refused)) == (2, {KEY.kid, NEW.kid}, {})
    assert (after.version, set(after.keys)) == (3, {NEW.kid})
    assert after.refused == {KEY.kid: Refusal(KEY.public, NOW, RETIRED)}
    assert (both.issued, both.root) == (NOW, ROOT.public)


def test_a_key_that_another_center_uses_is_kept() -> None:
    (both,) = succession.sign(rotation(keep=True), ROOT)

    assert set(both.keys) == {KEY.kid, NEW.kid}


def test_a_center_whose_key_is_refused_already_gets_a_new_one_by_one_list() -> None:
    (_, base) = succession.sign(rotation(), ROOT)
    third = replace(base, keys={**base.keys})

    made = succession.rotation(third, KEY.kid, KEY.public[::-1], NOW, days=None, keep=False)

    assert [TrustList.sign(ROOT, raw).version for raw in made.lists] == [4]


def test_the_new_keys_validity_is_bounded_where_that_is_asked_for() -> None:
    both, after = succession.sign(rotation(days=30), ROOT)

    bound = {NEW.kid: Validity(not_after=NOW + 30 * DAY)}
    assert (both.validity, after.validity) == (bound, bound)


def test_a_bound_goes_with_its_key() -> None:
    raw = draft({KEY.kid: KEY.public}, 1, validity={KEY.kid: Validity(1, 2)})
    _, after = succession.sign(rotation(TrustList.sign(ROOT, raw)), ROOT)

    assert dict(after.validity) == {}


def test_a_stolen_key_is_revoked_and_its_successor_trusted_by_one_list() -> None:
    (after,) = succession.sign(succession.refusal(TRUST, KEY.kid, REVOKED, NOW, NEW.public), ROOT)

    assert set(after.keys) == {NEW.kid}
    assert after.refused == {KEY.kid: Refusal(KEY.public, NOW, REVOKED)}
    assert not Verifier(after).verify(KEY.kid, b"", b"m", KEY.sign(b"", b"m"))


def test_the_key_of_another_center_is_refused_without_a_successor() -> None:
    both, _ = succession.sign(rotation(), ROOT)
    (after,) = succession.sign(succession.refusal(both, NEW.kid, RETIRED, NOW, None), ROOT)

    assert set(after.keys) == {KEY.kid}


def test_a_key_that_is_not_trusted_cannot_be_refused() -> None:
    with pytest.raises(NotTrusted, match="is not in list 1"):
        succession.refusal(TRUST, NEW.kid, REVOKED, NOW, None)


def test_one_more_center_is_trusted_beside_the_others() -> None:
    (after,) = succession.sign(succession.newcomer(TRUST, NEW.public, NOW), ROOT)

    assert (after.version, set(after.keys)) == (2, {KEY.kid, NEW.kid})


def test_a_request_comes_back_from_its_file_byte_for_byte() -> None:
    made = rotation()

    assert Request.decode(made.encode()) == made


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b'{"request":2,"lists":[],"base":{}}', b'{"request":1,"lists":[1]}']
)
def test_what_is_no_request_is_said_so(raw: bytes) -> None:
    with pytest.raises(NotTrusted, match="config-center trust request"):
        Request.decode(raw)


def test_a_request_on_a_list_that_its_root_never_signed_is_refused() -> None:
    plain = orjson.loads(rotation().encode())
    plain["base"]["list"] = plain["base"]["list"].replace('"version":1', '"version":7')

    with pytest.raises(NotTrusted, match="not signed by its root"):
        Request.decode(orjson.dumps(plain))


def test_another_root_signs_nothing() -> None:
    with pytest.raises(NotTrusted, match="not the root"):
        succession.sign(rotation(), STRANGER)


@pytest.mark.parametrize(
    ("lists", "why"),
    [
        ((draft({KEY.kid: KEY.public}, 3),), "list 3 does not go on from list 1"),
        ((draft({KEY.kid: KEY.public}, 2), draft({}, 4)), "list 4 does not go on from list 2"),
        ((draft({}, 2),), "trusts nobody"),
    ],
)
def test_a_root_does_not_sign_what_harms(lists: tuple[bytes, ...], why: str) -> None:
    with pytest.raises(NotTrusted, match=why):
        succession.sign(Request(TRUST, lists), ROOT)


def test_a35_a_refused_key_is_never_brought_back() -> None:
    _, after = succession.sign(rotation(), ROOT)
    back = draft({NEW.kid: NEW.public, KEY.kid: KEY.public}, 4)

    with pytest.raises(NotTrusted, match=f"forgets that {KEY.kid} is refused"):
        succession.sign(Request(after, (back,)), ROOT)


def test_what_a_list_changes_is_said_in_words() -> None:
    both, after = succession.sign(rotation(days=1), ROOT)
    dropped = TrustList.issue(ROOT, {NEW.kid: NEW.public}, 2)

    until = datetime.fromtimestamp((NOW + DAY) / 1000, UTC).isoformat(timespec="milliseconds")
    assert list(succession.in_words(TRUST, both)) == [
        f"{NEW.kid} is trusted until {until.replace('+00:00', 'Z')}"
    ]
    assert list(succession.in_words(both, after)) == [f"{KEY.kid} is retired"]
    assert list(succession.in_words(TRUST, dropped)) == [
        f"{NEW.kid} is trusted",
        f"{KEY.kid} is not trusted any more",
    ]


def test_signed_lists_come_back_in_their_order_and_of_their_root_only() -> None:
    lists = succession.sign(rotation(), ROOT)
    documents = orjson.loads(succession.encode_signed(lists))["lists"]

    assert succession.decode_signed(documents[::-1], ROOT.public) == list(lists)
    with pytest.raises(NotTrusted, match="is pinned"):
        succession.decode_signed(documents, STRANGER.public)


def test_a_list_that_retires_waits_and_one_that_revokes_does_not() -> None:
    both, after = succession.sign(rotation(), ROOT)
    (revoked,) = succession.sign(succession.refusal(both, KEY.kid, REVOKED, NOW, None), ROOT)

    assert [succession.must_wait(TRUST, both), succession.must_wait(both, after)] == [False, True]
    assert not succession.must_wait(both, revoked)
    assert not succession.must_wait(after, after)
    assert succession.leaving(both, None) == {}
    assert succession.leaving(both, after) == {KEY.kid: RETIRED}
