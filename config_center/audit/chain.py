"""
The chain: what proves that no entry was taken away, changed, put in or moved.

The hash of an entry is ``SHA256(prefix + hash of the one before + its exact bytes)``, and numbers
have no gaps. That alone proves little: whoever edits the file can chain it anew. So each write ends
with a **seal**, signed with the center's key, over both ends of what is kept: the entry before the
first and the last one. There is **one seal, the newest**; it is replaced and never kept. Were old
ones kept, the file could be cut back to any of them and look whole; so the end can only be cut off
together with the one thing that signs it.

The seal also is the anchor of retention: when the oldest entries go, its beginning moves. What was
before is not provable any more, what is left is.

What it cannot tell: that the whole file was replaced by an older copy of itself. That takes a
witness elsewhere: the journal (a center compares at its start), the count in the metrics, or an end
that somebody wrote down (``audit verify --contains N:HASH``). And whoever has the signing key can
write any audit; but he can also publish what he wants.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from client_sdk import fields
from client_sdk.errors import NotVerified
from client_sdk.signing import AUDIT, REVOKED

if TYPE_CHECKING:
    from client_sdk.signing import SigningKey, Verifier

_BEGINNING = b"config-center/audit-chain/1\n"
_ENTRY = b"config-center/audit-entry/1\n"


@dataclass(frozen=True, slots=True)
class End:
    """The number of an entry and its hash: everything up to it. Number 0: before the first."""

    n: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.n}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> End:
        """Read ``"17:9f3c..."``. Raises ValueError with a sentence."""
        n, _, hash_ = text.partition(":")
        try:
            if n.isascii() and n.isdigit() and len(n) < 17:
                return cls(int(n), fields.hash32(hash_))
        except (TypeError, ValueError):
            pass
        raise ValueError("an end reads NUMBER:HASH, as `config-center audit verify` prints it")


def beginning(chain: str) -> End:
    """Before the first entry of the chain of this name: two chains cannot be spliced."""
    return End(0, hashlib.sha256(_BEGINNING + chain.encode("utf-8")).digest())


def follow(end: End, raw: bytes) -> End:
    """The end after an entry of these bytes."""
    return End(end.n + 1, hashlib.sha256(_ENTRY + end.hash + raw).digest())


@dataclass(frozen=True, slots=True)
class Seal:
    """
    A center's signature under ``chain`` from behind ``after`` to ``last``; ``at`` in milliseconds
    since 1970. ``raw`` and ``sig`` are the exact signed bytes.
    """

    chain: str
    after: End
    last: End
    at: int
    kid: str
    raw: bytes
    sig: bytes

    @classmethod
    def issue(cls, chain: str, after: End, last: End, at: int, key: SigningKey) -> Seal:
        """Sign."""
        plain = {"chain": chain, "after": str(after), "last": str(last), "at": at, "kid": key.kid}
        raw = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
        return cls(chain, after, last, at, key.kid, raw, key.sign(AUDIT, raw))

    @classmethod
    def decode(cls, raw: bytes, sig: bytes) -> Seal:
        """Read, without judging the signature. Raises NotVerified for what is no seal."""
        try:
            plain: dict[str, Any] = orjson.loads(raw)
            return cls(
                fields.text(plain["chain"]),
                End.parse(fields.text(plain["after"])),
                End.parse(fields.text(plain["last"])),
                fields.count(plain["at"]),
                fields.text(plain["kid"]),
                raw,
                sig,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise NotVerified(f"the seal cannot be read: {error}") from error

    def verify(self, verifier: Verifier) -> bool:
        """
        True when a key that is trusted, or was replaced in time, signed exactly these bytes. What a
        revoked one signed may be the thief's, who writes any date that he likes.
        """
        gone = verifier.trust.refused.get(self.kid)
        if gone is not None and gone.why == REVOKED:
            return False
        return verifier.past.verify(self.kid, AUDIT, self.raw, self.sig)


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What a walk along a chain found. ``broken`` says what is wrong ("": nothing), ``entry`` is the
    first entry that is not intact, where it can be told.
    """

    chain: str
    after: int
    last: End
    broken: str = ""
    entry: int | None = None

    @property
    def count(self) -> int:
        """How many entries are intact."""
        return self.last.n - self.after


class Walk:
    """
    Goes along a chain, entry by entry, up to the first that does not belong to it. ``contains`` is
    an end that somebody noted down elsewhere: it has to be met on the way.
    """

    def __init__(self, chain: str, after: End, contains: End | None = None) -> None:
        self.end = after
        self._contains = contains
        self._met = contains in (None, after)
        self._chain = chain
        self._after = after
        self._broken = ""
        if after.n == 0 and after != beginning(chain):
            self._broken = f"it does not begin as the chain {chain} does"

    def take(self, raw: bytes, hash_: bytes) -> None:
        """The next entry and the hash that is written beside it."""
        if self._broken:
            return
        expected = follow(self.end, raw)
        n = _number_of(raw)
        if n != expected.n:
            self._broken = (
                f"entry {expected.n} is missing: behind {self.end.n} comes "
                f"{'what is no entry' if n is None else n}"
            )
        elif hash_ != expected.hash:
            self._broken = f"entry {n} is not what was written, or it does not follow {self.end.n}"
        else:
            self.end = expected
            self._met = self._met or expected == self._contains

    def refuse(self, sentence: str) -> None:
        """Something else is wrong behind what was taken."""
        self._broken = self._broken or sentence

    def finish(self, seal: Seal | None, verifier: Verifier) -> Finding:
        """What was found, and whether the seal signs this end."""
        entry = self.end.n + 1 if self._broken else None
        broken = self._broken
        if not broken and seal is None:
            broken = "nothing signs its end: the end was cut off, or an export was not finished"
        elif not broken and seal is not None:
            broken, entry = self._judge(seal, verifier)
        return Finding(self._chain, self._after.n, self.end, broken, entry)

    def _judge(self, seal: Seal, verifier: Verifier) -> tuple[str, int | None]:
        end = self.end
        if not seal.verify(verifier):
            return f"its seal is not signed by a key that is trusted ({seal.kid})", None
        if (seal.chain, seal.after) != (self._chain, self._after):
            return "its seal is that of another chain, or of another part of it", None
        if seal.last.n > end.n:
            missing = f"entries {end.n + 1} to {seal.last.n} were cut off its end"
            return missing, end.n + 1
        if seal.last.n < end.n:
            return f"entry {seal.last.n + 1} was put behind its sealed end", seal.last.n + 1
        if seal.last != end:
            return "entries were changed and chained anew: its end is not the signed one", None
        if not self._met:
            return f"{self._contains}, which was noted elsewhere, is not in it", None
        return "", None


def _number_of(raw: bytes) -> int | None:
    try:
        n = orjson.loads(raw)["n"]
    except (ValueError, KeyError, TypeError):
        return None
    return n if isinstance(n, int) else None
