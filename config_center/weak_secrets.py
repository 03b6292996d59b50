"""
Secrets that are none: examples, defaults, and what can be guessed. Pure.

Other config centers were opened by the key that their own documentation shows. So a center does not
start on a secret that somebody has published, nor on one that has too little in it, and says which
file or setting it is. What it makes itself (32 random bytes) always passes.

How much is in a secret is estimated by its own letters: Shannon's entropy of one, times their
number. That is at most what is really there, so a passphrase of many words passes and ``aaaa...``
does not; what counts up or repeats itself is found apart, for it has all its letters and no secret.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from client_sdk.errors import SettingInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_BITS = 80

# Known to everybody: what manuals, images and sample files of such systems ship, in lower case.
EXAMPLES = frozenset(
    {
        *("admin", "apollo", "changeit", "changeme", "default", "example", "foobared", "guest"),
        *("letmein", "minioadmin", "mypassword", "mysecret", "nacos", "pass", "passw0rd"),
        *("password", "redis", "root", "secret", "secretkey", "test", "token", "your-secret"),
        # Nacos: token.secret.key as shipped, and as its guide shows it; in clear and in base64.
        "secretkey012345678901234567890123456789012345678901234567890123456789",
        "u2vjcmv0s2v5mdeymzq1njc4otaxmjm0nty3odkwmtizndu2nzg5mdeymzq1njc4otaxmjm0nty3odkwmtizndu2nzg5",
        "thisismycustomsecretkey012345678",
        "vghpc0lztxldxn0b21tzwnyzxrlzxkwmtizndu2nzg=",
    }
)


def is_example(secret: str) -> bool:
    """True for what everybody knows, however it is written."""
    return secret.strip().lower() in EXAMPLES


def why_weak(secret: str | bytes) -> str | None:
    """Why nobody should rely on a secret that only has to be unguessable; None for a good one."""
    if isinstance(secret, str) and is_example(secret):
        return "is an example that everybody knows"
    if _bits(secret) < LEAST_BITS:
        return "is too short or too regular to be a secret"
    if _repeats(secret) or _counts(secret):
        return "follows a pattern"
    return None


def refuse_weak(where: object, secret: str | bytes, mend: str) -> None:
    """Raise SettingInvalid that says where a secret lies that is none, and how to mend that."""
    why = why_weak(secret)
    if why is not None:
        raise SettingInvalid(f"{where} {why}: {mend}")


def _bits(secret: Sequence[object]) -> float:
    size = len(secret)
    return sum(-n * math.log2(n / size) for n in Counter(secret).values())


def _repeats(secret: str | bytes) -> bool:
    """True when it is one piece several times."""
    raw = _bytes(secret)
    return raw in (raw + raw)[1:-1]


def _counts(secret: str | bytes) -> bool:
    """True when each byte is as far from the one before as all are."""
    raw = _bytes(secret)
    return len({(b - a) % 256 for a, b in pairwise(raw)}) == 1


def _bytes(secret: str | bytes) -> bytes:
    return secret.encode("utf-8") if isinstance(secret, str) else secret
