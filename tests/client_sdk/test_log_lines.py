"""One record, one line, whatever stands in it."""

from __future__ import annotations

import io
import json
import logging

import pytest

from client_sdk.log_lines import LINES, LONGEST, TextLines, log_to_stderr, one_line, shown

FORGED = "ok\n2026-01-01 00:00:00,000 INFO admin logged in\r\x1b[2J\x9b31m\u202e\u2028\ud800end"


@pytest.fixture(params=["text", "json"])
def said(request: pytest.FixtureRequest) -> tuple[logging.Logger, io.StringIO]:
    """A logger that writes lines of this form."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(LINES[request.param]())
    logger = logging.Logger("lines")  # in no tree: a report of it could not leave a test's process
    logger.addHandler(handler)
    return logger, out


def test_a21_what_was_sent_to_us_forges_no_line(said: tuple[logging.Logger, io.StringIO]) -> None:
    logger, out = said

    logger.warning("device %s: refused", FORGED)

    line = out.getvalue()
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert line.rstrip("\n").isprintable()
    line.encode("utf-8")


def test_a21_ten_megabytes_are_one_line_of_bounded_length(
    said: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, out = said

    logger.warning("%s", "x" * 10_000_000)

    assert len(out.getvalue()) < LONGEST + 500
    assert f"and {10_000_000 - LONGEST} characters more" in out.getvalue()


def test_a21_no_line_of_a_trace_passes_for_a_record() -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(TextLines("%(levelname)s %(message)s"))
    record = logging.LogRecord("n", logging.ERROR, "p", 1, "failed", (), None)
    try:
        raise ValueError(FORGED)
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    record.stack_info = "Stack (most recent call last):\n  somewhere"

    handler.emit(record)

    first, *more = out.getvalue().rstrip("\n").split("\n")
    assert first == "ERROR failed"
    assert all(line.startswith("    ") and line.isprintable() for line in more)
    assert any("admin logged in" in line for line in more)
    assert more[-1].endswith("somewhere")


def test_json_lines_hold_what_a_machine_asks_for(caplog: pytest.LogCaptureFixture) -> None:
    record = logging.LogRecord("some.module", logging.WARNING, "p", 1, "%s 在", ("你",), None)
    record.created = 1_700_000_000.25

    line = json.loads(LINES["json"]().format(record))

    assert line == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "warning",
        "logger": "some.module",
        "message": "你 在",
    }


def test_a_trace_is_a_list_of_lines_in_json() -> None:
    record = logging.LogRecord("n", logging.ERROR, "p", 1, "failed", (), None)
    record.exc_text = "Traceback:\n  here"

    assert json.loads(LINES["json"]().format(record))["trace"] == ["Traceback:", "  here"]


def test_text_that_is_seen_as_itself_stays_as_it_is() -> None:
    seen = "小智 é 👩\u200d🚀 \\ \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"

    assert shown(seen) == seen
    assert shown("a\tb\nc", keep="\n") == "a\\tb\nc"
    assert one_line("x" * 12, 10) == "x" * 10 + " ... and 2 characters more"


def test_a_process_is_told_once_how_to_log() -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        log_to_stderr("warning", TextLines())
        assert root.level == logging.WARNING
        assert [type(handler.formatter) for handler in root.handlers] == [TextLines]
    finally:
        root.handlers[:] = before
        root.setLevel(level)
