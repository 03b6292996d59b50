from __future__ import annotations

from dataclasses import replace

from client_sdk.contents import Op, Rollout
from client_sdk.records import Position
from client_sdk.state import Entry
from config_center.rollouts.book import Book
from tests.history import History, content


def rollout(**more: object) -> Rollout:
    plain = Rollout("ro", 10, "device", "ro", ("a",), content(2, 2), started_at=5, by="alice")
    return replace(plain, **more)


def read(history: History) -> Book:
    book = Book()
    for record in history.records:
        book.observe(record.header)
    return book


def started() -> History:
    history = History()
    history.add(Op("a", "set", 1, content(1)))
    history.add(Op("a", "set", 2, content(1), rollout()))
    return history


def test_a_story_tells_every_decision() -> None:
    history = started()
    history.add(Op("a", "rollout", 2, content(1), rollout(percent=20)))
    history.add(Op("a", "rollout", 2, content(1), rollout(percent=20, state="paused")))
    history.add(Op("a", "rollout", 2, content(1), rollout(percent=20)))
    history.add(Op("a", "rollout", 2, content(2, 2)))
    story = read(history).find("a")

    assert (story.state, story.running) == ("promoted", False)
    assert story.keys == {"a": {"key": "a", "from": 1, "to": 2}}
    assert [(d["what"], d["percent"]) for d in story.decisions] == [
        ("start", 10),
        ("step", 20),
        ("pause", 20),
        ("resume", 20),
        ("promote", 20),
    ]


def test_what_is_not_promoted_is_aborted() -> None:
    aborted, superseded = started(), started()
    aborted.add(Op("a", "rollout", 2, content(1)))
    superseded.add(Op("a", "set", 3, content(3, 3)))

    assert read(aborted).find("ro").state == "aborted"
    assert read(superseded).find("ro").state == "aborted"


def test_a_removal_that_supersedes_a_canary_removal_did_not_promote_it() -> None:
    history = History()
    history.add(Op("a", "set", 1, content(1)))
    history.add(Op("a", "del", 1, content(1), rollout(content=None)))
    removed = read(history).find("a")
    assert (removed.state, removed.keys["a"]["to"]) == ("running", None)
    history.add(Op("a", "del", 1, None))

    assert read(history).find("ro").state == "aborted"


def test_running_rollouts_come_first_and_of_a_key_the_last_one() -> None:
    history = started()
    history.add(Op("a", "rollout", 2, content(1)))
    history.add(Op("a", "set", 3, content(1), rollout(id="ro-2", content=content(3, 3))))
    book = read(history)

    assert [story.rollout.id for story in book.stories()] == ["ro-2", "ro"]
    assert book.find("a").rollout.id == "ro-2"
    assert book.find("other") is None


def test_a_book_that_begins_at_a_state_knows_what_runs_and_forgets_what_ended_unseen() -> None:
    """Where the journal was pruned the changes that ended a rollout may be gone."""
    history = started()
    book = read(history)
    running = replace(rollout(), id="later", percent=30.0, content=content(4, 4), keys=("b",))
    entry = Entry("b", Position(1, 9), 4, content(3, 3), running)
    book.begin([entry, Entry("a", Position(1, 8), 2, content(2, 2))])

    assert book.find("ro") is None
    story = book.find("b")
    assert (story.state, story.rollout.percent, story.decisions) == ("running", 30.0, [])
    assert story.keys == {"b": {"key": "b", "from": 3, "to": 4}}

    history.add(Op("b", "rollout", 4, content(4, 4)))
    book.observe(history.head.header)
    assert (story.state, [d["what"] for d in story.decisions]) == ("promoted", ["promote"])
