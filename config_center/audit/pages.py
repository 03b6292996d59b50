"""
How entries leave the center: as lines, each a JSON object, and how such a file is looked through.

The first line names the chain and the end before the first entry; each entry stands beside its
hash, in the very bytes that were chained; the last line is the seal over exactly this part. So a
file proves itself with the trust list alone, and one that was cut has no seal. What was chosen by a
filter is no chain: such an excerpt says so in its first line, and has no seal.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import orjson

from client_sdk.errors import NotVerified
from config_center.audit.chain import End, Finding, Seal, Walk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from client_sdk.signing import Verifier

_FORMAT = 1
_ENTRY, _BETWEEN, _END = b'{"hash":"', b'","entry":', b"}"
_HASH = slice(len(_ENTRY), len(_ENTRY) + 64)
_RAW = slice(_HASH.stop + len(_BETWEEN), -len(_END))


def head_line(chain: str, after: End, *, excerpt: bool = False) -> bytes:
    """The first line."""
    plain: dict[str, Any] = {"audit": _FORMAT, "chain": chain, "after": str(after)}
    return orjson.dumps({**plain, "excerpt": True} if excerpt else plain) + b"\n"


def entry_line(raw: bytes, hash_: bytes) -> bytes:
    """An entry beside its hash."""
    return b"".join((_ENTRY, hash_.hex().encode(), _BETWEEN, raw, _END, b"\n"))


def seal_line(seal: Seal) -> bytes:
    """The last line."""
    sig = base64.b64encode(seal.sig).decode("ascii")
    return orjson.dumps({"seal": seal.raw.decode("utf-8"), "sig": sig}) + b"\n"


def examine(lines: Iterable[bytes], verifier: Verifier, contains: End | None = None) -> Finding:
    """
    Look through the lines of an export. Raises NotVerified for a file that is none, or is an
    excerpt.
    """
    reading = iter(lines)
    chain, after = _read_head(next(reading, b""))
    walk = Walk(chain, after, contains)
    seal: Seal | None = None
    for line in reading:
        if seal is not None:
            walk.refuse("something stands behind its seal")
        elif line.startswith(_ENTRY):
            _take(walk, line)
        else:
            seal = _read_seal(line)
            if seal is None:
                walk.refuse("a line is neither an entry nor a seal")
    return walk.finish(seal, verifier)


def _read_head(line: bytes) -> tuple[str, End]:
    try:
        plain = orjson.loads(line)
        if plain["audit"] != _FORMAT:
            raise NotVerified(f"it is of form {plain['audit']!r}; take a newer config-center")
        if plain.get("excerpt"):
            raise NotVerified(
                "it is an excerpt, which was chosen by a filter: only the whole, or what comes "
                "after an entry, can be proven; export it without a filter"
            )
        return str(plain["chain"]), End.parse(plain["after"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotVerified("this is not an export of `config-center audit export`") from error


def _take(walk: Walk, line: bytes) -> None:
    raw = line.rstrip(b"\r\n")[_RAW]
    try:
        hash_ = bytes.fromhex(line[_HASH].decode("ascii"))
    except ValueError:
        hash_ = b""
    if entry_line(raw, hash_).rstrip() == line.rstrip():
        walk.take(raw, hash_)
    else:  # also what is cut in the middle
        walk.refuse("a line is not what an export has there")


def _read_seal(line: bytes) -> Seal | None:
    try:
        plain = orjson.loads(line)
        sig = base64.b64decode(plain["sig"], validate=True)
        return Seal.decode(plain["seal"].encode("utf-8"), sig)
    except (KeyError, TypeError, ValueError, AttributeError, NotVerified):
        return None
