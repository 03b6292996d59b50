"""What counts under which key, and when the list of keys is read again."""

from __future__ import annotations

import pytest

from client_sdk.errors import NotVerified
from client_sdk.records import START, Position, Record
from client_sdk.signing import REVOKED, Refusal, TrustList, Verifier, draft
from client_sdk.vouching import LEAP, ListWatch, is_fresh, is_leap, require_next, vouched
from tests.history import KEY, ROOT, STRANGER, TRUST, History, put

GONE = {KEY.kid: Refusal(KEY.public, 7, REVOKED)}
AFTER = TrustList.sign(ROOT, draft({STRANGER.kid: STRANGER.public}, 2, refused=GONE))


def history() -> History:
    """Two records of a key that left, and one of its successor over them."""
    made = History()
    made.add(put("k", 1))
    made.key = STRANGER
    made.add(kind="rekey")
    return made


def counted(*records: Record, trust: TrustList = AFTER) -> list[Position]:
    found = vouched(records, Verifier(trust))
    return [record.position for record in records if record.c in found]


def test_a35_old_records_count_through_what_stands_on_them() -> None:
    one, two, over = history().records

    assert counted(one, two, over) == [one.position, two.position, over.position]
    assert counted(over, one, two) == [over.position, one.position, two.position]


def test_a35_a_refused_key_signs_nothing_new_wherever_it_is_put() -> None:
    made = history()
    made.key = KEY
    late = made.add(put("k", "evil", 2))
    beside = History()
    beside.add(put("k", "evil"))

    assert counted(*made.records) == [r.position for r in made.records[:3]]
    assert counted(late) == []
    assert counted(*made.records[:1], beside.head, made.records[2]) == [made.records[2].position]


def test_a35_a_line_without_its_trusted_end_does_not_count() -> None:
    one, two, _ = history().records

    assert counted(one, two) == []
    assert vouched([one, two], Verifier(AFTER), [two.c]) == {one.c, two.c}


def test_a_record_under_a_trusted_one_has_a_good_signature_of_its_own() -> None:
    one, two, over = history().records
    rotten = Record(two.header, two.raw, bytes(64), two.c, two.bodies)

    assert counted(one, rotten, over) == [over.position]


def test_while_both_keys_are_trusted_each_record_counts_by_itself() -> None:
    both = TrustList.issue(ROOT, {KEY.kid: KEY.public, STRANGER.kid: STRANGER.public}, 2)

    assert [len(counted(record, trust=both)) for record in history().records] == [1, 1, 1]


@pytest.mark.parametrize(
    ("theirs", "leap"),
    [
        (Position(5 + LEAP, 7), False),
        (Position(6 + LEAP, 7), True),
        (Position(5, 8 + LEAP), True),
        (Position(5, 7 + LEAP), False),
        (Position(1, 1), False),
    ],
)
def test_a33_a_position_out_of_all_reach_is_a_leap(theirs: Position, leap: bool) -> None:
    assert is_leap(Position(5, 7), theirs) is leap
    assert not is_leap(START, theirs)


def test_a33_only_the_very_next_record_follows() -> None:
    made = History()
    first = made.head
    second = made.add(put("k", 1))
    third = made.add(put("k", 2, 2))
    far = History(key=KEY)
    far.state = made.state
    leap = far.add(epoch=2 + LEAP)

    require_next(first.position, first.c, second)
    for ours, record in ((first, third), (second, second), (third, leap)):
        with pytest.raises(NotVerified, match="does not follow"):
            require_next(ours.position, ours.c, record)


@pytest.mark.parametrize(
    ("ts", "newest", "fresh"),
    [
        (100_000, 0, True),
        (100_000, 100_000, False),
        (100_000, 100_001, False),
        (60_000, 0, True),
        (59_999, 0, False),
        (140_001, 0, False),
        (100_000, 150_000, True),  # it was accepted while this clock was ahead
    ],
)
def test_a32_an_old_beat_played_again_is_not_fresh(ts: int, newest: int, fresh: bool) -> None:
    beat = History().beat(ts, ttl=10.0)

    assert is_fresh(beat, newest, 100_000, 30.0) is fresh


def test_the_list_is_read_again_when_a_beat_speaks_of_a_newer_one() -> None:
    watch, verifier = ListWatch(5.0), Verifier(TRUST)

    assert not watch.on_version(1, verifier, 0.0)
    assert watch.on_version(2, verifier, 0.0)
    assert watch.wanted
    assert not watch.on_version(2, verifier, 4.9)  # it was asked for, and did not come
    assert watch.on_version(2, verifier, 5.0)
    assert watch.on_version(3, verifier, 5.1)  # a newer one still: somebody signed that


def test_a_name_that_nobody_knows_asks_for_the_list_now_and_then() -> None:
    watch, verifier = ListWatch(5.0), Verifier(AFTER)

    assert not watch.on_signer(STRANGER.kid, verifier, 0.0)
    assert not watch.on_signer(KEY.kid, verifier, 0.0)  # refused: no list will say more of it
    assert watch.on_signer("0" * 16, verifier, 0.0)
    assert watch.on_signer("1" * 16, verifier, 0.1)  # it is on its way
    watch.wanted = False  # it was read
    assert not watch.on_signer("1" * 16, verifier, 4.9)
    assert watch.on_signer("0" * 16, verifier, 5.0)
