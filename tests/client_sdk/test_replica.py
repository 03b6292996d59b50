from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_sdk.errors import MissingBodies, NotVerified
from client_sdk.image import Image
from client_sdk.records import START, Beat, Position, Record
from client_sdk.replica import Replica
from client_sdk.signing import RETIRED, Refusal, TrustList, draft
from client_sdk.steps import (
    Advance,
    ChangePath,
    Do,
    Mark,
    Ping,
    ReadBodies,
    ReadImage,
    ReadLog,
    ReadTrust,
    Reconnect,
    TellCenter,
    Timing,
)
from tests.history import KEY, ROOT, STRANGER, History, put, verifier

WALL = 1_700_000_100_000


def image_of(history: History, beat: Beat | None = None) -> Image:
    head = replace(history.head, bodies={})
    return Image(head, tuple(history.state.entries.values()), {}, beat)


def see(replica: Replica, image: Image, now: float, wall: int, *, confirmed: bool) -> list[Do]:
    """An image as a link hands it over."""
    try:
        proven = image.proven("ns", replica.verifier)
    except MissingBodies:
        raise
    except NotVerified as error:
        return replica.on_unreadable(str(error), now)
    return replica.on_image(proven, now, wall, confirmed=confirmed)


def begun(history: History, **how: object) -> Replica:
    """A replica that holds the history's present."""
    replica = Replica("ns", verifier(), **how)  # type: ignore[arg-type]
    replica.on_subscribed(0)
    see(replica, image_of(history), 0, WALL, confirmed=True)
    return replica


def test_a_subscription_without_state_asks_for_the_image() -> None:
    assert Replica("ns", verifier()).on_subscribed(0) == [ReadImage()]


def test_a_record_that_links_is_taken_at_once() -> None:
    history = History()
    replica = begun(history)
    record = history.add(put("k", 1))

    (step,) = replica.on_frame(record.encode(), 1, WALL)

    assert isinstance(step, Advance)
    assert step.state.position == Position(1, 2)
    assert replica.position == Position(1, 2)


def test_old_records_and_duplicates_are_dropped() -> None:
    history = History()
    first = history.add(put("k", 1))
    history.add(put("k", 2, 2))
    replica = begun(history)

    assert replica.on_message(first, 1, WALL) == []
    assert replica.on_message(history.head, 1, WALL) == []


def test_a_gap_is_closed_from_the_log_as_one_step() -> None:
    history = History()
    replica = begun(history)
    records = [history.add(put("k", i, i + 1)) for i in range(3)]

    asked = replica.on_message(records[2], 1, WALL)
    (step,) = replica.on_log(records, 1)

    assert asked == [ReadLog(Position(1, 1))]
    assert isinstance(step, Advance)
    assert step.state.digest == history.state.digest


def test_what_asks_meanwhile_is_merged_into_one_more_catch_up() -> None:
    history = History()
    replica = begun(history)
    first = history.add(put("k", 1))
    second = history.add(put("k", 2, 2))
    replica.on_message(second, 1, WALL)

    assert replica.on_message(first, 1, WALL) == []
    assert replica.on_message(second, 1, WALL) == []
    steps = replica.on_log([first, second], 1)

    assert isinstance(steps[0], Advance)
    assert steps[1] == ReadLog(Position(1, 3))
    assert replica.on_log([], 1) == []


def test_a_trimmed_log_leads_to_the_image() -> None:
    history = History()
    replica = begun(history)
    history.add(put("k", 1))
    replica.on_message(history.add(put("k", 2, 2)), 1, WALL)

    assert replica.on_log(None, 1) == [ReadImage()]


def test_a_log_that_does_not_link_or_is_forged_leads_to_the_image() -> None:
    history, other = History(), History()
    replica = begun(history)
    other.add(put("x", 1))
    foreign = other.add(put("x", 2, 2))
    forged = History(key=STRANGER).add(put("x", 1))

    assert replica.on_log([foreign], 1) == [ReadImage()]
    assert replica.on_log([forged], 1) == [ReadTrust()]  # a newer list might know its key
    assert replica.on_trust(1) == [ReadLog(Position(1, 1))]
    assert replica.on_log([forged], 1) == [ReadImage()]
    assert replica.counters.tampered == 1


def test_noise_foreign_namespaces_and_strangers_are_dropped_and_counted() -> None:
    replica = begun(History())

    assert replica.on_message(History("other").head, 1, WALL) == []
    assert replica.on_message(History(key=STRANGER).head, 1, WALL) == [ReadTrust()]
    assert replica.on_message(History(key=STRANGER).head, 2, WALL) == []
    assert replica.on_frame(b"noise", 1, WALL) == []
    assert replica.counters.dropped == 4


def test_a38_a_message_beyond_its_bound_is_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    history = History()
    replica = begun(history)
    whole = history.add(put("prompt", "x")).encode()
    monkeypatch.setattr("client_sdk.replica.MAX_FRAME", len(whole) - 1)

    assert replica.on_frame(whole, 1, WALL) == []
    assert replica.counters.dropped == 1


def test_another_record_at_our_position_is_a_fork_and_is_told_once_in_a_while() -> None:
    history, other = History(), History()
    history.add(put("k", 1))
    replica = begun(history)
    rival = other.add(put("k", "other"))

    first = replica.on_message(rival, 1, WALL)
    again = replica.on_message(rival, 2, WALL)
    later = replica.on_message(rival, 60, WALL)

    assert [type(step) for step in first] == [TellCenter]
    assert again == []
    assert [type(step) for step in later] == [TellCenter]
    assert replica.fork


def test_an_announced_body_is_fetched_and_then_the_change_is_taken() -> None:
    history = History()
    replica = begun(history)
    record = history.add(put("k", "long"))
    bare = Record.decode(record.encode(bodies=False))

    asked = replica.on_message(bare, 1, WALL)
    (step,) = replica.on_bodies(record.bodies, 1)

    assert asked == [ReadBodies(frozenset(record.bodies))]
    assert isinstance(step, Advance)
    assert replica.on_bodies({}, 1) == []


def test_a_body_that_is_gone_leads_to_the_image() -> None:
    history = History()
    replica = begun(history)
    record = history.add(put("k", "long"))
    replica.on_message(Record.decode(record.encode(bodies=False)), 1, WALL)

    assert replica.on_bodies({}, 1) == [ReadImage()]
    assert replica.catching_up


def test_it_is_stale_when_two_heartbeats_that_were_due_did_not_come() -> None:
    history = History()
    replica = begun(history, timing=Timing(silence=2))
    assert not replica.is_stale(4)  # the image came over a path that proves itself
    assert replica.is_stale(4.1)

    replica.on_message(history.beat(WALL), 10, WALL)

    assert not replica.is_stale(14)
    assert replica.is_stale(14.1)


def test_a_newcomer_waits_for_a_fresh_beat_before_it_believes_an_image() -> None:
    history = History()
    replica = Replica("ns", verifier())
    replica.on_subscribed(0)

    waiting = see(replica, image_of(history), 0, WALL, confirmed=False)
    steps = replica.on_message(history.beat(WALL), 1, WALL)

    assert waiting == []
    assert [type(step) for step in steps] == [Advance]


def test_an_image_that_carries_a_fresh_beat_is_believed_at_once() -> None:
    history = History()
    replica = Replica("ns", verifier())

    steps = see(replica, image_of(history, history.beat(WALL)), 0, WALL, confirmed=False)

    assert [type(step) for step in steps] == [Advance]


def test_a_beat_beyond_the_waiting_image_says_that_this_is_not_the_present() -> None:
    """Else who can write to the store could show a newcomer last year's, beside real beats."""
    history = History()
    replica = Replica("ns", verifier())
    old = image_of(history)
    see(replica, old, 0, WALL, confirmed=False)
    history.add(put("k", 1))

    again = replica.on_message(history.beat(WALL), 1, WALL)
    shown_again = see(replica, old, 2, WALL, confirmed=False)
    (taken,) = see(replica, image_of(history), 3, WALL, confirmed=False)

    assert (again, shown_again) == ([ReadImage()], [])
    assert isinstance(taken, Advance)
    assert taken.state == history.state


def test_an_image_beyond_the_beat_before_it_is_believed_at_once() -> None:
    """In a busy namespace no beat names the very image, and one comes while a large one is read."""
    history = History()
    replica = Replica("ns", verifier())
    see(replica, image_of(history), 0, WALL, confirmed=False)
    history.add(put("k", 1))
    assert replica.on_message(history.beat(WALL), 1, WALL) == [ReadImage()]
    history.add(put("k", 2, 2))
    read = image_of(history)
    history.add(put("k", 3, 3))
    assert replica.on_message(history.beat(WALL + 1), 2, WALL) == []

    first, *more = see(replica, read, 2, WALL, confirmed=False)

    assert isinstance(first, Advance)
    assert [type(step) for step in more] == [ReadLog]


def test_a_beat_of_another_history_drops_the_waiting_image() -> None:
    history, other = History(), History()
    history.add(put("k", 1))
    other.add(put("k", 2))
    replica = Replica("ns", verifier())
    see(replica, image_of(history), 0, WALL, confirmed=False)

    assert replica.on_message(other.beat(WALL), 1, WALL) == [ReadImage()]


@pytest.mark.parametrize("ts", [WALL - 60_000, WALL + 60_000])
def test_a_beat_out_of_its_time_is_no_life(ts: int) -> None:
    history = History()
    replica = begun(history)

    assert replica.on_message(history.beat(ts), 1, WALL) == []
    assert replica.confirmed_at == 0
    assert replica.counters.dropped == 1


def test_an_old_beat_played_again_is_no_life() -> None:
    history = History()
    replica = begun(history)
    beat = history.beat(WALL)
    replica.on_message(beat, 1, WALL)

    replica.on_message(beat, 9, WALL)

    assert replica.confirmed_at == 1
    assert replica.counters.dropped == 1


def test_a_beat_ahead_of_us_asks_for_the_log() -> None:
    history = History()
    replica = begun(history)
    history.add(put("k", 1))

    assert replica.on_message(history.beat(WALL), 1, WALL) == [ReadLog(Position(1, 1))]


def test_a_beat_at_our_position_with_another_chain_is_a_fork() -> None:
    history, other = History(), History()
    history.add(put("k", 1))
    other.add(put("k", 2))
    replica = begun(history)

    (step,) = replica.on_message(other.beat(WALL), 1, WALL)

    assert isinstance(step, TellCenter)


def test_silence_leads_to_a_ping_and_no_answer_to_a_new_connection() -> None:
    replica = begun(History())

    assert replica.on_tick(1) == []
    assert replica.on_tick(2.5) == [Ping()]
    assert replica.on_tick(3) == []
    assert replica.on_tick(3.6) == [Reconnect("no answer to PING")]


def test_an_answered_ping_keeps_the_link_and_shows_a_silent_center() -> None:
    history = History()
    replica = begun(history)
    replica.on_tick(2.5)

    assert replica.on_pong(2.6) == []
    assert replica.center_silent
    replica.on_message(history.beat(WALL), 3, WALL)
    assert not replica.center_silent


def test_a_fresh_beat_after_a_ping_is_an_answer_and_a_late_pong_says_nothing() -> None:
    """A process that stood still for a while asked, was told in beats, and left a good link."""
    history = History()
    replica = begun(history)
    replica.on_tick(2.5)

    replica.on_message(history.beat(WALL), 3, WALL)

    assert replica.on_tick(3.6) == []
    assert replica.on_pong(3.7) == []
    assert not replica.center_silent
    assert replica.on_tick(5.0) == [Ping()]


def test_a_beat_of_a_wrong_clock_answers_a_ping_and_is_not_believed() -> None:
    """Over HTTP nothing else answers while beats are sent; a link that brings them is not dead."""
    history = History()
    replica = begun(history)
    assert replica.on_tick(2.5) == [Ping()]

    replica.on_message(history.beat(WALL - 3_600_000), 3, WALL)

    assert replica.on_tick(3.6) == []
    assert replica.center_silent
    assert replica.newest_beat != WALL - 3_600_000


def test_a_look_for_missed_changes_needs_no_sign_of_one() -> None:
    history = History()
    replica = begun(history)
    for second in range(1, 31):
        replica.on_message(history.beat(WALL + second * 1000), second, WALL + second * 1000)

    assert replica.on_tick(30.5) == [ReadLog(Position(1, 1))]


def test_a_lost_path_forgets_its_reads() -> None:
    history = History()
    replica = begun(history)
    history.add(put("k", 1))
    replica.on_message(history.add(put("k", 2, 2)), 1, WALL)

    replica.on_down()

    assert replica.on_tick(100) == []
    assert replica.on_subscribed(101) == [ReadLog(Position(1, 1))]


def test_an_image_that_is_not_what_was_signed_is_read_again_then_the_path_is_left() -> None:
    history = History()
    history.add(put("k", 1))
    replica = Replica("ns", verifier())
    bad = replace(image_of(history), entries=())

    steps = [see(replica, bad, 0, WALL, confirmed=True) for _ in range(3)]

    assert [[type(step) for step in each] for each in steps] == [
        [ReadImage],
        [ReadImage],
        [TellCenter, ChangePath],
    ]
    assert replica.tampered


def test_bytes_that_are_no_image_count_as_one_that_proves_nothing() -> None:
    replica = Replica("ns", verifier())

    steps = [replica.on_unreadable("a row is torn", 0) for _ in range(3)]

    assert [step[-1] for step in steps] == [
        ReadImage(0.1),
        ReadImage(0.2),
        ChangePath("a row is torn"),
    ]
    assert replica.tampered


def test_a_damaged_store_is_not_read_again_at_every_heartbeat() -> None:
    history = History()
    replica = begun(history, timing=Timing(report=5, check=30))
    history.add(put("k", 1))
    for _ in range(3):
        replica.on_unreadable("a row is torn", 10)
    replica.on_subscribed(10)
    replica.on_down()

    replica.on_subscribed(12)
    asked = [
        replica.on_message(history.beat(WALL + ms), 12 + ms / 1000, WALL + ms)
        for ms in (0, 1000, 1900)
    ]

    assert asked == [[], [], []]
    assert replica.on_tick(15.1) == [ReadLog(Position(1, 1))]


def test_an_image_whose_bodies_are_missing_is_not_judged() -> None:
    history = History()
    history.add(put("k", 1))
    entry = history.state.entries["k"]
    bare = replace(entry, content=replace(entry.content, body=None))

    with pytest.raises(MissingBodies):
        see(Replica("ns", verifier()), Image(history.head, (bare,)), 0, WALL, confirmed=True)


def test_a_store_behind_us_is_told_and_never_applied() -> None:
    history = History()
    old = image_of(history)
    history.add(put("k", 1))
    replica = begun(history)

    steps = see(replica, old, 1, WALL, confirmed=True)

    assert [type(step) for step in steps] == [TellCenter, ChangePath]
    assert replica.state.position == Position(1, 2)
    assert see(replica, image_of(history), 2, WALL, confirmed=True) == []
    assert see(replica, old, 3, WALL, confirmed=True) == [ChangePath(steps[0].reason)]


def test_an_image_of_another_history_at_our_position_is_a_fork() -> None:
    history, other = History(), History()
    history.add(put("k", 1))
    other.add(put("k", 2))
    replica = begun(history)

    (step,) = see(replica, image_of(other), 1, WALL, confirmed=True)

    assert isinstance(step, TellCenter)
    assert replica.fork


def test_below_the_mark_nothing_is_applied_even_without_a_state() -> None:
    history = History()
    old = image_of(history)
    mark = Mark(Position(1, 9), b"\1" * 32)
    replica = Replica("ns", verifier(), mark=mark)

    steps = see(replica, old, 1, WALL, confirmed=True)

    assert [type(step) for step in steps] == [TellCenter, ChangePath]
    assert replica.state is None


def test_at_the_mark_no_other_content_is_taken_even_without_a_state() -> None:
    history, other = History(), History()
    record = history.add(put("k", 1))
    other.add(put("k", 2))
    replica = Replica("ns", verifier(), mark=Mark(record.position, record.c))

    (step,) = see(replica, image_of(other), 1, WALL, confirmed=True)
    assert isinstance(step, TellCenter)
    assert (replica.fork, replica.state) == (True, None)
    (step,) = see(replica, image_of(history), 2, WALL, confirmed=True)

    assert isinstance(step, Advance)


def test_an_older_snapshot_serves_until_the_present_is_read() -> None:
    history = History()
    old = history.state
    record = history.add(put("k", 1))
    mark = Mark(record.position, record.c)
    replica = Replica("ns", verifier(), state=old, mark=mark)

    assert replica.on_subscribed(0) == [ReadImage()]
    (step,) = see(replica, image_of(history), 1, WALL, confirmed=False)

    assert isinstance(step, Advance)


def test_a_beat_at_the_mark_asks_for_what_the_snapshot_lacks() -> None:
    history = History()
    old = history.state
    record = history.add(put("k", 1))
    replica = Replica("ns", verifier(), state=old, mark=Mark(record.position, record.c))

    assert replica.on_message(history.beat(WALL), 1, WALL) == [ReadImage()]


def test_an_adoption_and_its_replays_are_one_step() -> None:
    history = History()
    replica = begun(history)
    adopt = history.add(kind="adopt", epoch=9)
    replayed = history.add(put("k", 1))
    replica.on_message(replayed, 1, WALL)

    (step,) = replica.on_log([adopt, replayed], 1)

    assert isinstance(step, Advance)
    assert step.state.position == Position(9, 3)


@given(st.data())
def test_whatever_happens_to_messages_positions_grow_and_all_converges(
    data: st.DataObject,
) -> None:
    history = History()
    replica = begun(history)
    records = [history.add(put(f"k{i % 3}", i, i // 3 + 1)) for i in range(12)]
    lossy = data.draw(st.lists(st.sampled_from(records), max_size=30))
    positions = [replica.position]
    for message in lossy:
        for step in replica.on_message(message, 1, WALL):
            if isinstance(step, ReadLog):
                seen = data.draw(st.integers(0, len(records)))
                replica.on_log([r for r in records[:seen] if r.position > step.after], 1)
        positions.append(replica.position)
    replica.on_down()
    for step in replica.on_subscribed(2):
        assert isinstance(step, ReadLog)
        replica.on_log([r for r in records if r.position > step.after], 2)

    assert positions == sorted(positions)
    assert replica.position == history.state.position
    assert replica.state.digest == history.state.digest
    assert replica.position > START


def test_a_record_that_comes_while_the_log_is_read_asks_for_one_more_look() -> None:
    history = History()
    replica = begun(history)
    first = history.add(put("k", 1))
    replica.on_message(history.add(put("k", 2, 2)), 1, WALL)

    assert replica.on_message(first, 1, WALL) == []


def test_a_log_that_ends_below_the_mark_is_told_and_not_applied() -> None:
    history = History()
    old = history.state
    records = [history.records[0], history.add(put("k", 1))]
    replica = Replica("ns", verifier(), state=old, mark=Mark(Position(1, 9), b"\1" * 32))

    steps = replica.on_log(records, 1)

    assert [type(step) for step in steps] == [TellCenter, ChangePath]
    assert replica.state is old


def test_a_log_that_reaches_the_mark_by_another_history_is_a_fork() -> None:
    history = History()
    old = history.state
    record = history.add(put("k", 1))
    replica = Replica("ns", verifier(), state=old, mark=Mark(record.position, b"\1" * 32))

    (step,) = replica.on_log([record], 1)

    assert isinstance(step, TellCenter)
    assert replica.fork


def test_an_image_over_a_path_that_proves_nothing_is_taken_and_confirms_nothing() -> None:
    history = History()
    replica = Replica("ns", verifier(), state=history.state, mark=Mark(history.state.position))
    history.add(put("k", 1))

    (step,) = see(replica, image_of(history), 1, WALL, confirmed=False)

    assert isinstance(step, Advance)
    assert replica.is_stale(1)


def test_a_clock_that_was_ahead_and_is_put_right_does_not_make_every_beat_an_old_one() -> None:
    """What was accepted in a future that never came proves nothing about the present."""
    history = History()
    replica, hour = begun(history), 3_600_000
    replica.on_frame(history.beat(WALL + hour).encode(), 1.0, WALL + hour)
    assert replica.newest_beat == WALL + hour

    replica.on_frame(history.beat(WALL + 1000).encode(), 2.0, WALL + 1000)

    assert replica.newest_beat == WALL + 1000
    replica.on_frame(history.beat(WALL + 500).encode(), 3.0, WALL + 2000)
    assert replica.newest_beat == WALL + 1000


def test_it_says_when_time_alone_will_have_something_to_do() -> None:
    """Looked at every half second, a dead link was noticed up to a second later than promised."""
    history = History()
    replica = Replica("ns", verifier(), state=history.state)
    replica.mark = Mark(history.state.position, history.state.c)
    waits = [replica.due_in(100.0)]
    replica.on_subscribed(100.0)
    replica.on_log([], 100.0)
    waits.append(replica.due_in(100.5))
    assert replica.on_tick(101.9) == []
    assert replica.on_tick(102.0) == [Ping()]
    waits.append(replica.due_in(102.25))
    assert replica.on_tick(102.9) == []
    replica.on_pong(103.0)
    replica.tampered = True
    waits += [replica.due_in(104.5), replica.due_in(200.0)]

    assert waits == [2.0, 1.5, 0.75, 0.5, 0.0]


def test_a30_what_a_stranger_signed_is_neither_record_nor_beat_nor_image() -> None:
    history, stranger = History(), History(key=STRANGER)
    stranger.add(put("k", "evil"))
    replica = begun(history)
    before = replica.state

    replica.on_message(stranger.head, 1, WALL)
    replica.on_message(stranger.beat(WALL + 1), 2, WALL)
    see(replica, image_of(stranger), 3, WALL, confirmed=True)

    assert (replica.state, replica.position) == (before, history.state.position)
    assert replica.counters.dropped == 2


def test_a31_an_old_record_log_or_image_played_again_changes_nothing() -> None:
    history = History()
    history.add(put("k", "old"))
    old, rows = image_of(history), list(history.records)
    history.add(put("k", "new", 2))
    replica = begun(history)
    before = replica.state

    for record in rows:
        replica.on_message(record, 1, WALL)
    replica.on_log(rows, 2)
    see(replica, old, 3, WALL, confirmed=True)

    assert (replica.state, replica.position) == (before, history.state.position)


def test_a32_a_frozen_client_is_stale_and_serves_on() -> None:
    """Whoever holds everything back can only play old beats again: they are no life."""
    history = History()
    replica = begun(history)
    kept = [history.beat(WALL + number) for number in range(3)]
    for number, beat in enumerate(kept):
        replica.on_message(beat, 10 + number, WALL)
    held = replica.state
    history.add(put("k", "withheld"))

    for now in range(20, 40):
        replica.on_message(kept[now % 3], now, WALL + now * 1000)
    late = history.beat(WALL)

    assert replica.is_stale(40)
    assert (replica.confirmed_at, replica.state) == (12, held)
    assert replica.on_message(late, 41, WALL + 60_000) == []


def test_a33_a_signed_leap_is_refused_and_told() -> None:
    """One forged record at the last number would hold a client there for ever."""
    history = History()
    replica = begun(history)
    before = replica.state
    for now, at in ((100, Position(2**40, 1)), (200, Position(1, 2**40))):
        far = History()
        far.state = replace(history.state, position=at)
        leap = far.add(kind="adopt")

        for _ in range(2):
            assert isinstance(see(replica, image_of(far), now, WALL, confirmed=True)[0], ReadImage)
        told = see(replica, image_of(far), now, WALL, confirmed=True)
        replica.on_log([leap], now)

        assert [type(step) for step in told] == [TellCenter, ChangePath]
        assert (replica.state, replica.position) == (before, history.state.position)


def test_a34_what_is_of_another_namespace_is_taken_in_no_form() -> None:
    mine, other = History(), History("other")
    other.add(put("k", "theirs"))
    replica = begun(mine)
    before = replica.state

    replica.on_message(other.head, 1, WALL)
    replica.on_message(other.beat(WALL + 1), 2, WALL)
    replica.on_log(other.records, 3)
    see(replica, image_of(other), 4, WALL, confirmed=True)

    assert (replica.state, replica.confirmed_at) == (before, 0)
    assert (replica.counters.dropped, replica.counters.gaps) == (2, 0)


def test_a34_rows_of_two_positions_are_no_image() -> None:
    history = History()
    history.add(put("a", "old"), put("b", "old"))
    old = image_of(history)
    history.add(put("a", "new", 2), put("b", "new", 2))
    new = image_of(history)
    replica = Replica("ns", verifier())
    replica.on_subscribed(0)

    steps = see(replica, replace(new, entries=(new.entries[0], old.entries[1])), 1, WALL,
                confirmed=True)  # fmt: skip

    assert steps == [ReadImage(delay=0.1)]
    assert replica.state is None


def test_a35_a_client_that_was_away_takes_what_stands_under_a_new_key() -> None:
    """It held the old list: the log asks it to read the newer one, and then counts as a whole."""
    history = History()
    replica = begun(history)
    history.add(put("k", 1))
    history.key = STRANGER
    history.add(kind="rekey")
    gone = {KEY.kid: Refusal(KEY.public, 7, RETIRED)}
    after = TrustList.sign(ROOT, draft({STRANGER.kid: STRANGER.public}, 2, refused=gone))

    assert replica.on_log(history.records[1:], 1) == [ReadTrust()]
    replica.verifier.renew(after)
    assert replica.on_trust(2) == [ReadLog(Position(1, 1))]
    (step,) = replica.on_log(history.records[1:], 3)

    assert isinstance(step, Advance)
    assert step.state.c == history.state.c
    assert replica.counters.tampered == 0


def test_a35_nobody_is_a_forger_while_the_list_is_on_its_way() -> None:
    """A beat of the new key comes while the log is read that is signed by it as well."""
    history = History()
    replica = begun(history)
    history.key = STRANGER
    history.add(kind="rekey")

    assert replica.on_subscribed(1) == [ReadLog(Position(1, 1))]
    assert replica.on_message(history.beat(WALL), 1, WALL) == []  # the log comes first
    assert replica.on_log(history.records[1:], 1) == [ReadTrust()]
    assert replica.counters.tampered == 0


def test_a35_an_image_of_an_unknown_key_asks_for_the_list_once_and_a_refused_one_never() -> None:
    replica = Replica("ns", verifier())
    replica.on_subscribed(0)

    assert replica.on_unreadable("unknown", 1, STRANGER.kid) == [ReadTrust()]
    assert replica.on_trust(2) == [ReadImage()]
    assert replica.on_unreadable("unknown", 3, STRANGER.kid) == [ReadImage(delay=0.1)]
    assert replica.on_unreadable("refused", 9, KEY.kid) == [ReadImage(delay=0.2)]


def test_a_beat_that_speaks_of_a_newer_list_has_it_read_once() -> None:
    history = History()
    replica = begun(history)
    beat = replace(history.beat(WALL), trust=2).signed(KEY)
    later = replace(history.beat(WALL + 1), trust=2).signed(KEY)

    assert Beat.decode(beat.encode()).trust == 2
    assert replica.on_message(beat, 1, WALL) == [ReadTrust()]
    assert replica.on_trust(1) == [ReadLog(history.state.position)]
    assert replica.on_log([], 1) == []
    assert replica.on_message(later, 2, WALL) == []
