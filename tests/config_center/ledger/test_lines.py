"""Where two lines of history part, and what becomes of what one of them lacks."""

from __future__ import annotations

from dataclasses import replace

from client_sdk.records import Record
from config_center.ledger.lines import judge, part, path_from
from tests.history import History, put


def line(count: int, *, ns: str = "ns") -> History:
    history = History(ns)
    for number in range(1, count + 1):
        history.add(put("k", number, number), change=f"c{number}")
    return history


def branch(history: History, at: int) -> History:
    """Another line that goes on after ``at`` records of the first."""
    other = History(history.ns)
    other.records = history.records[:at]
    other.state = replay(history.records[1:at])
    return other


def replay(records: list[Record]) -> object:
    state = History("ns").state
    for record in records:
        state = state.apply(record)
    return state


def test_lines_part_at_the_newest_record_that_both_have() -> None:
    ours = line(3)
    theirs = branch(ours, 2)
    news = [theirs.add(kind="adopt", epoch=7), theirs.add(put("k", 9, 2))]
    known = {record.c for record in ours.records}

    assert part(theirs.records, known) == part(theirs.records[1:], known)
    assert part(theirs.records, known).base == ours.records[1].c
    assert part(theirs.records, known).news == tuple(news)


def test_a_log_that_begins_right_after_what_we_have_parts_there() -> None:
    ours = line(2)
    theirs = branch(ours, 3)
    news = [theirs.add(kind="adopt", epoch=7)]

    parting = part(news, {ours.head.c})

    assert (parting.base, parting.news) == (ours.head.c, tuple(news))


def test_where_history_between_was_never_seen_the_place_is_unknown() -> None:
    ours, theirs = line(2), line(9)

    parting = part(theirs.records[5:], {ours.head.c + b"another"})

    assert parting.base is None
    assert parting.news == tuple(theirs.records[5:])
    assert part((), set()).base is None


def test_what_nobody_published_over_comes_back_in_order_and_adoptions_do_not() -> None:
    ours = line(4)
    theirs = branch(ours, 2)
    adopted = theirs.add(kind="adopt", epoch=7)
    ours.add(kind="adopt", epoch=3)

    judged = judge(ours.records[2:], [adopted])

    assert judged.again == tuple(ours.records[2:5])
    assert judged.waiting == ()
    assert judged.void == (ours.records[5],)


def test_what_somebody_published_over_waits_for_people() -> None:
    ours = line(4)
    theirs = branch(ours, 2)
    news = [theirs.add(kind="adopt", epoch=7), theirs.add(put("other", 1), change="new")]

    judged = judge(ours.records[2:], news)

    assert judged.waiting == tuple(ours.records[2:])
    assert judged.again == ()


def test_an_id_that_is_on_the_line_is_there_whatever_its_position() -> None:
    ours = line(3)
    theirs = branch(ours, 2)
    news = [theirs.add(kind="adopt", epoch=7), theirs.add(put("k", 2, 2), change="c2")]

    judged = judge(ours.records[2:], news)

    assert judged.void == (ours.records[2],)
    assert judged.again == (ours.records[3],)


def test_a_final_no_may_come_back_at_any_time() -> None:
    ours = line(1)
    no = ours.add(kind="cancel", change="never")
    theirs = branch(ours, 2)
    news = [theirs.add(kind="adopt", epoch=7), theirs.add(put("other", 1), change="new")]

    assert judge([no], news).again == (no,)


def test_the_path_leads_to_the_highest_row_that_can_be_reached() -> None:
    ours = line(4)
    above = ours.records[2:]
    beside = branch(ours, 2).add(put("k", 8, 2), epoch=1)
    stray = replace(ours.records[4], c=b"elsewhere", header=replace(ours.records[4].header, p=b"?"))

    assert path_from(ours.records[1].c, [*above, beside]) == (above, [beside])
    assert path_from(ours.records[1].c, [stray]) == ([], [stray])
    assert path_from(ours.records[1].c, []) == ([], [])
