"""
What aiohttp's server says, for people: bytes that are no request are the sender's fault and one
line each, without a trace that would let anybody who reaches the port fill the log.
"""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError

HTTP_LOG = logging.getLogger("config_center.http")

_SHOWN = 120


class _NoTrace(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            reason = str(error.message).splitlines()[0][:_SHOWN].encode("ascii", "replace")
            record.msg, record.args = "no request: %s", (reason.decode("ascii"),)
            record.exc_info = record.exc_text = None
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True


HTTP_LOG.addFilter(_NoTrace())
