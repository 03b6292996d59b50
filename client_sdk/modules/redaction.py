"""
What may be told of an exception: its type, and its words without the secrets of the settings.

A provider that refuses a key likes to quote it, and a reason travels into reports, logs and pages.
Masked are the fields that were sealed and those whose name says that they are secret, as they are,
escaped and percent-encoded. A secret so short that masking it would riddle the text takes the whole
text with it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from client_sdk.sealing import MARK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MASK = "***"
LONGEST_REASON = 300
_SHORTEST = 4

_SECRET_NAME = re.compile(
    r"(api|access|private|auth)[-_]?key|token|secret|passw|credential|authorization|\bkey\b", re.I
)
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")


def secrets_of(stored: Any, opened: Any) -> frozenset[str]:
    """The secret texts in ``opened``, which is ``stored`` with its sealed fields opened."""
    return frozenset(_secrets(stored, opened, secret=False))


def reason_of(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """One line that says what went wrong: ``TypeError: ...``, at most 300 characters."""
    name = type(error).__name__
    text = masked(str(error), secrets)
    return f"{name}: {text}"[:LONGEST_REASON] if text else name


def masked(text: str, secrets: Iterable[str]) -> str:
    """``text`` on one line and without ``secrets``; empty when it cannot be told at all."""
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
    for form in forms:
        if form in text:
            if len(form) < _SHORTEST:
                return ""
            text = text.replace(form, MASK)
    text = _USERINFO.sub(f"{MASK}@", text)
    return " ".join(text.split())


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield repr(secret)[1:-1]
    yield quote(secret, safe="")


def _secrets(stored: Any, opened: Any, *, secret: bool) -> Iterator[str]:
    if isinstance(opened, dict):
        sealed = isinstance(stored, dict) and MARK in stored
        for name, member in opened.items():
            below = stored.get(name) if isinstance(stored, dict) and not sealed else None
            hidden = secret or sealed or _SECRET_NAME.search(name) is not None
            yield from _secrets(below, member, secret=hidden)
    elif isinstance(opened, (list, tuple)):
        sealed = isinstance(stored, dict)
        below = stored if isinstance(stored, (list, tuple)) else (None,) * len(opened)
        for at, member in enumerate(opened):
            yield from _secrets(below[at], member, secret=secret or sealed)
    elif isinstance(opened, (str, int, float)) and not isinstance(opened, bool):
        hidden = secret or (isinstance(stored, dict) and MARK in stored)
        if hidden and str(opened):
            yield str(opened)
