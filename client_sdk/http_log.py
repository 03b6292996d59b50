"""
What aiohttp's server says, for people: bytes that are no request are the sender's fault and one
line each, without a trace that would let anybody who reaches the port fill the log.
"""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError

_SHOWN = 120


def http_log(program: str) -> logging.Logger:
    """The logger for the server of a program."""
    log = logging.getLogger(f"{program}.http")
    log.addFilter(_NO_TRACE)  # once, however often it is asked for
    return log


class _NoTrace(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            reason = str(error.message).splitlines()[0][:_SHOWN].encode("ascii", "replace")
            record.msg, record.args = "no request: %s", (reason.decode("ascii"),)
            record.exc_info = record.exc_text = None
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True


_NO_TRACE = _NoTrace()
