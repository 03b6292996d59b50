"""The file: what is done to it from outside is found, also by a center that goes on writing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from client_sdk.errors import NotVerified
from config_center.audit.book import (
    Book,
    Choice,
    end_at,
    examine,
    examine_end,
    newest,
    next_page,
    reader,
)
from config_center.audit.chain import Finding
from config_center.audit.entries import Entry
from tests.config_center.audit.test_chain import CHAIN, KEY, STRANGER, VERIFIER


def entry(n: int) -> Entry:
    return Entry(
        at=n * 1_000,
        outcome="refused" if n % 3 == 0 else "accepted",
        actor=f"actor {n % 2}",
        token=f"t{n % 2}",
        namespace="default" if n < 8 else "other",
        keys=("a", "ab") if n % 5 == 0 else ("b",),
        request=f"run-{n}",
        event="started" if n == 1 else "call",
    )


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    opened = Book.open(tmp_path / "audit.sqlite3", CHAIN, VERIFIER)
    opened.append([entry(n) for n in range(1, 11)], 0, KEY)
    yield opened
    opened.close()


def path_of(book: Book) -> Path:
    return Path(str(book.db.execute("PRAGMA database_list").fetchone()[2]))


def edit(book: Book, statement: str) -> None:
    """What somebody does who can write to the file."""
    with closing(sqlite3.connect(path_of(book), isolation_level=None)) as db:
        db.executescript(statement)


def look(book: Book) -> Finding:
    with closing(reader(path_of(book))) as db:
        return examine(db, VERIFIER)


def look_at_end(book: Book) -> int:
    with closing(reader(path_of(book))) as db:
        return examine_end(db, VERIFIER)


def test_it_goes_on_where_it_ended(book: Book) -> None:
    with closing(Book.open(path_of(book), "another", VERIFIER)) as again:
        assert (again.chain, again.end) == (CHAIN, book.end)
        again.append([entry(11)], 0, KEY, through=True)

    assert (look(book).broken, look(book).count, look_at_end(book)) == ("", 11, 11)
    assert path_of(book).stat().st_mode & 0o777 == 0o600


def test_an_empty_one_is_whole(tmp_path: Path) -> None:
    with closing(Book.open(tmp_path / "a", CHAIN, VERIFIER)) as empty:
        empty.append([], 0, KEY)
        assert look_at_end(empty) == 0
        assert look(empty).broken == ""


@pytest.mark.parametrize(
    ("statement", "first"),
    [
        ("DELETE FROM entries WHERE n = 5", 5),
        ("UPDATE entries SET raw = replace(raw, 'actor 1', 'actor 9') WHERE n = 5", 5),
        ("UPDATE entries SET hash = zeroblob(32) WHERE n = 5", 5),
        ("UPDATE entries SET n = -n; UPDATE entries SET n = 11 + n", 1),
        ("DELETE FROM entries WHERE n > 7", 8),
        ("DELETE FROM entries", 1),
        ("INSERT INTO entries SELECT 11, raw, hash, 0, '', '', '', '', '', '', '' FROM entries "
         "WHERE n = 10", 11),
    ],
)  # fmt: skip
def test_what_was_done_to_the_file_is_found(book: Book, statement: str, first: int) -> None:
    edit(book, statement)

    found = look(book)

    assert found.broken
    assert found.entry == first


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM entries WHERE n > 7",
        "DELETE FROM entries",
        "DELETE FROM seal",
        "DELETE FROM entries; DELETE FROM seal; INSERT INTO seal VALUES (1, '{}', '')",
        "DELETE FROM entries WHERE n > 7; DELETE FROM seal",
        "UPDATE seal SET sig = zeroblob(64)",
        "UPDATE entries SET raw = replace(raw, 'actor 0', 'actor 9') WHERE n = 10",
        "UPDATE entries SET hash = zeroblob(32) WHERE n = 10",
    ],
)
def test_an_end_that_is_not_the_sealed_one_is_never_continued(book: Book, statement: str) -> None:
    edit(book, statement)

    with pytest.raises(NotVerified):
        look_at_end(book)
    with pytest.raises(NotVerified):
        Book.open(path_of(book), CHAIN, VERIFIER)


def test_chaining_anew_without_the_key_is_found(book: Book, tmp_path: Path) -> None:
    """The whole file made again, entry by entry and hash by hash, with a key of one's own."""
    with closing(Book.open(tmp_path / "forged", CHAIN, VERIFIER)) as forged:
        forged.append([entry(n) for n in (1, 2, 4, 5, 6, 7, 8, 9, 10)], 0, STRANGER)
        with pytest.raises(NotVerified, match="trusted"):
            look_at_end(forged)
        assert "trusted" in look(forged).broken
        forged.db.execute("DELETE FROM seal")
        assert book.seal is not None
        theirs = (book.seal.raw, book.seal.sig)
        forged.db.execute("INSERT INTO seal VALUES (1, ?, ?)", theirs)
        assert "were cut off its end" in look(forged).broken


def test_what_is_taken_away_under_a_running_center_stays_a_gap(book: Book) -> None:
    edit(book, "DELETE FROM entries WHERE n > 8")

    book.append([entry(11)], 0, KEY)

    assert "entry 9 is missing" in look(book).broken


def test_the_oldest_go_and_the_rest_proves_itself(book: Book) -> None:
    book.trim(4, 0, KEY)

    found = look(book)
    assert (found.broken, found.after, found.count) == ("", 4, 6)
    assert book.oldest(2) == [(5, 5_000), (6, 6_000)]
    with closing(Book.open(path_of(book), CHAIN, VERIFIER)) as again:
        assert again.after == book.after
    book.trim(4, 0, KEY)  # is gone already
    book.trim(10, 0, KEY)
    assert (look_at_end(book), look(book).broken) == (0, "")
    book.append([entry(11)], 0, KEY)
    assert (look_at_end(book), look(book).broken, look(book).last.n) == (1, "", 11)


def test_a_write_that_failed_left_no_trace(book: Book) -> None:
    before = book.end
    book.db.execute("CREATE TRIGGER full BEFORE INSERT ON seal BEGIN SELECT RAISE(FAIL, 'x'); END")

    with pytest.raises(sqlite3.IntegrityError):
        book.append([entry(11)], 0, KEY)

    assert book.end == before
    book.db.execute("DROP TRIGGER full")
    book.append([entry(11)], 0, KEY)
    assert (look(book).broken, look(book).count) == ("", 11)


@pytest.mark.parametrize(
    ("choice", "numbers"),
    [
        (Choice(), [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (Choice(namespace="other"), [10, 9, 8]),
        (Choice(actor="actor 0"), [10, 8, 6, 4, 2]),
        (Choice(actor="t1"), [9, 7, 5, 3, 1]),
        (Choice(key="a"), [10, 5]),
        (Choice(key="b", outcome="refused"), [9, 6, 3]),
        (Choice(since=3_000, until=5_000), [5, 4, 3]),
        (Choice(key="%"), []),
    ],
)
def test_a_choice(book: Book, choice: Choice, numbers: list[int]) -> None:
    with closing(reader(path_of(book))) as db:
        assert [row.n for row in newest(db, choice, None, 100)] == numbers
        assert [row.n for row in next_page(db, choice, 0, 10)] == numbers[::-1]
        assert [row.n for row in newest(db, choice, 6, 1)] == [n for n in numbers if n < 6][:1]
    assert choice.everything is (numbers[0:1] == [10] and len(numbers) == 10)


def test_what_a_start_asks(book: Book) -> None:
    assert (book.has_request("run-7"), book.has_request("run-77"), book.has_request("")) == (
        *(True, False, False),
    )
    assert book.newest_at() == 10_000
    with closing(reader(path_of(book))) as db:
        assert (end_at(db, 10), end_at(db, 11)) == (book.end, None)


def test_a_question_that_takes_too_long_ends(book: Book) -> None:
    with closing(reader(path_of(book), within=0.0)) as db:
        endless = (
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c"
        )
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            db.execute(endless).fetchone()
