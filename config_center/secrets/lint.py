"""
Values that look like secrets in fields that nobody marked: a warning, never a refusal. Pure.

What is secret is said by a kind or a schema, not by a guess. But the first thing that is put into a
new key is an API key, and a key that was never bound to anything is stored, sent and shown as it
is. So a publish is told, by name and by shape:

* a member called like a secret (``api_key``, ``AccessToken``, ``Authorization`` ...) with a text
  that could be one. Only where no kind says what the fields are: there names mean what they mean,
  and a lexicon may well explain the word "password";
* a text that has the shape of one, whatever it is called: the prefixes of well-known providers,
  JSON web tokens, private keys in PEM, and long texts without any order in them.

A warning names the place and never the value, not even a part of it: the answer to a publish lands
in logs. A member's *name* may be the secret, so one that looks like it is not shown either.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from client_sdk.sealing import MARK, clear_secrets, pointer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from client_sdk.sealing import FieldPath

MOST = 5  # warnings for one value
_LOOKED_AT = 16_384  # characters of a text; every repetition below is bounded as well
_HIDDEN = "(a name that looks like a secret)"

_NAMED = re.compile(r"key|token|secret|passw|authorization|credential|cookie", re.IGNORECASE)
_NO_NAME = re.compile(
    r"keyb|keyw|monkey|tokeni[sz]er|max_?tokens|public_?key|key_?(id|name|path|file)|primary_?key",
    re.IGNORECASE,
)
# What it is, how it looks, and the literal parts of which one must be in it: looking for those is
# a hundred times faster than the expression, and a prompt is long.
_SHAPES = tuple(
    (what, re.compile(shape), tuple(literals.split()))
    for what, shape, literals in (
        ("an API key", r"\b(sk|pk|rk)[-_][A-Za-z0-9_-]{16,}", "sk- pk- rk- sk_ pk_ rk_"),
        (
            "an access key of a cloud",
            r"\b(LTAI[A-Za-z0-9]{12,}|(AKIA|ASIA)[A-Z0-9]{16})\b",
            "LTAI AKIA ASIA",
        ),
        ("a Google API key", r"\bAIza[A-Za-z0-9_-]{35}", "AIza"),
        (
            "a GitHub token",
            r"\b(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})",
            "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        ),
        ("a Slack token", r"\bxox[abprs]-[A-Za-z0-9-]{10,}", "xox"),
        ("a token of a center", r"\bcc_[A-Za-z0-9_-]{43}\b", "cc_"),
        ("a JSON web token", r"\beyJ[A-Za-z0-9_-]{8,200}\.eyJ[A-Za-z0-9_-]{8}", ".eyJ"),
        ("a private key", r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY", "-----BEGIN"),
        ("a password in an address", r"://[^\s/:@]{0,64}:[^\s/@]{1,256}@", "://"),
    )
)
_RANDOM = re.compile(r"[A-Za-z0-9+/_=-]{32,512}")
_NO_SECRET = re.compile(
    r"sha|hash|digest|checksum|etag|fingerprint|commit|uuid|guid", re.IGNORECASE
)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f]+", re.IGNORECASE)


def suspicions(
    key: str, value: Any, secret: Iterable[FieldPath], *, closed: bool = False
) -> list[str]:
    """
    A warning for each place of ``value`` that looks like a secret and is none of ``secret``.
    ``closed``: a kind says what the fields are, so their names tell nothing.
    """
    marked = clear_secrets(value, secret)
    told = []
    for path, text in _texts(value, ()):
        if any(path[: len(place)] == place for place in marked):
            continue
        what = shape_of(path[-1] if path else key, text)
        if what is None and not closed and _is_named_so(path[-1] if path else key, text):
            what = "a secret, by its name"
        if what is not None:
            told.append(_warning(key, path, what))
    return told if len(told) <= MOST else [*told[:MOST], f"{key}: and {len(told) - MOST} more"]


def shape_of(name: str, text: str) -> str | None:
    """What a text looks like by its shape alone; None: like no secret."""
    text = text[:_LOOKED_AT]
    for what, shape, literals in _SHAPES:
        if any(literal in text for literal in literals) and shape.search(text):
            return what
    if _RANDOM.fullmatch(text) and not _NO_SECRET.search(name) and not _UUID.fullmatch(text):
        return "a secret, being random" if _is_random(text) else None
    return None


def _is_random(text: str) -> bool:
    """No order in it: nearly all the variety that its alphabet has room for, and mixed."""
    if _HEX.fullmatch(text):
        return _entropy(text) > 3.0 and any(c.isdigit() for c in text) and not text.isdigit()
    mixed = all(any(test(c) for c in text) for test in (str.isdigit, str.islower, str.isupper))
    return mixed and _entropy(text) > 4.0


def _entropy(text: str) -> float:
    """Bits for each character, by how often each one stands there."""
    shares = (count / len(text) for count in Counter(text).values())
    return -sum(share * math.log2(share) for share in shares)


def _is_named_so(name: str, text: str) -> bool:
    could_be = 8 <= len(text) <= 4096 and len(text.split()) <= 2
    return could_be and bool(_NAMED.search(name)) and not _NO_NAME.search(name)


def _warning(key: str, path: FieldPath, what: str) -> str:
    shown = tuple(_HIDDEN if shape_of("", part) else part for part in path)
    place = pointer(shown) or "the value"
    return (
        f"{key}: {place} looks like {what} and is readable for everybody who reads this key: bind "
        "the key to a kind, or to a schema that marks the field writeOnly, then `config-center "
        "secrets seal`, and exchange the secret"
    )


def _texts(value: Any, path: FieldPath) -> Iterator[tuple[FieldPath, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        if MARK not in value:
            for name, member in value.items():
                if shape_of("", name):
                    yield (*path, name), name
                yield from _texts(member, (*path, name))
    elif isinstance(value, (list, tuple)):
        for at, member in enumerate(value):
            yield from _texts(member, (*path, str(at)))
