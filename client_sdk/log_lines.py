"""
Log lines that are one line each, whatever stands in them.

What a program logs holds what others sent: the name of a device, a path, what a provider answered.
With a line break in it one line becomes two, and the second says what its sender likes; with an
escape sequence it moves the cursor of whoever reads it; with ten megabytes it fills the disk. So
every character that is not shown as itself is written out (``\\n``, ``\\x1b``, ``\\u202e``), and
every line has an end.

The formatter does it, not whoever logs: it stands where all lines come by, those of libraries too.
Two forms, by the setting ``log_format``: ``text`` for people, where the lines of a trace are set in
so that none of them can pass for a record, and ``json`` for machines, one object a line.

Rejected: structlog (a dependency for every embedder's program, to write two short formatters), and
to strip what is dangerous (whoever looks into an attack wants to see it).
"""

from __future__ import annotations

import json
import logging
import unicodedata
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST = 8 * 1024  # characters of a message
LONGEST_TRACE = 32 * 1024

_TEXT = "%(asctime)s %(levelname)s %(message)s"
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))  # categories of Unicode
_JOINERS = "\u200c\u200d"  # they belong to the writing of several languages, and to emoji


def shown(text: str, keep: str = "") -> str:
    """
    ``text`` with every character written out that would not be seen as itself: controls, marks of
    direction, halves of surrogate pairs, line and paragraph separators. ``keep`` names exceptions.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(each if _is_seen(each) or each in keep else _written(each) for each in text)


def one_line(text: str, longest: int = LONGEST) -> str:
    """``text`` as one line of at most about so many characters; what is left out is counted."""
    left_out = len(text) - longest
    if left_out > 0:
        return f"{shown(text[:longest])} ... and {left_out} characters more"
    return shown(text)


class TextLines(logging.Formatter):
    """For people. The lines of a trace are set in by four blanks."""

    def __init__(self, pattern: str = _TEXT) -> None:
        super().__init__(pattern)

    def format(self, record: logging.LogRecord) -> str:
        record.message = one_line(record.getMessage())
        record.asctime = self.formatTime(record, self.datefmt)
        return "\n    ".join([self.formatMessage(record), *_trace(self, record)])


class JsonLines(logging.Formatter):
    """For machines: ``time`` (UTC), ``level``, ``logger``, ``message`` and, if any, ``trace``."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, timezone.utc)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": one_line(record.name),
            "message": one_line(record.getMessage()),
        }
        trace = _trace(self, record)
        if trace:
            line["trace"] = trace
        return json.dumps(line, ensure_ascii=False)


LINES: Mapping[str, type[logging.Formatter]] = {"text": TextLines, "json": JsonLines}


def log_to_stderr(level: str, lines: logging.Formatter) -> None:
    """Let this process log so from ``level`` ("info" ...) upwards."""
    handler = logging.StreamHandler()
    handler.setFormatter(lines)
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    text = formatter.formatException(record.exc_info) if record.exc_info else record.exc_text or ""
    if record.stack_info:
        text = f"{text}\n{formatter.formatStack(record.stack_info)}"
    return [one_line(line) for line in text[-LONGEST_TRACE:].split("\n") if line]


def _is_seen(each: str) -> bool:
    return each in _JOINERS or unicodedata.category(each) not in _HIDDEN


def _written(each: str) -> str:
    return each.encode("unicode_escape", "surrogatepass").decode("ascii")
