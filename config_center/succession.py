"""
Who signs after whom: the lists of signing keys that replace a key, and the paper that the root
signs. Pure.

A key is replaced by two lists. The first trusts the new key beside the old; everybody can have it
before anything is signed with the new one. The second, once every namespace's head is signed by
another key, *retires* the old one: what it signed before is vouched for by what stands on it
(client_sdk/vouching.py). A stolen key gets no such grace: one list *revokes* it and brings its
successor.

The root may lie in a drawer. So everything that it has to sign for one occasion is one **request**:
the list that it goes on from, and the exact bytes of the lists to come. Whoever holds the root
reads in words what they would change, signs exactly these bytes, and the root goes back. Nothing of
a request is secret, and nothing in it is believed: `sign` refuses what does not go on from a list
that this very root signed, or would leave nobody to sign.

Rejected: the root signing one new key and the center making lists of such certificates (a stolen
admin's token could then bring back a key that was refused); a list with a date instead of a second
list (a host without a clock would refuse its center, or go on believing a key that left).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import orjson

from client_sdk.errors import NotTrusted
from client_sdk.signing import RETIRED, REVOKED, Refusal, TrustList, Validity, draft, kid_of
from config_center.rollouts.book import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from client_sdk.signing import SigningKey

_DAY_MS = 24 * 3600 * 1000
_FORM = 1


@dataclass(frozen=True, slots=True)
class Request:
    """What the root is asked to sign: ``lists`` go on from ``base``, in this order."""

    base: TrustList
    lists: tuple[bytes, ...]

    def encode(self) -> bytes:
        """The file that is carried to the root."""
        plain = {
            "request": _FORM,
            "base": orjson.loads(self.base.encode()),
            "lists": [raw.decode("utf-8") for raw in self.lists],
        }
        return orjson.dumps(plain, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"

    @classmethod
    def decode(cls, raw: bytes) -> Request:
        """Read such a file. Raises NotTrusted when it is none, or not on a root's signed list."""
        try:
            plain = orjson.loads(raw)
            if plain["request"] != _FORM:
                raise ValueError("it is of another version")
            lists = tuple(text.encode("utf-8") for text in plain["lists"])
            base = orjson.dumps(plain["base"])
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise NotTrusted(
                f"this is not what `config-center trust request` wrote ({error})"
            ) from error
        return cls(TrustList.parse(base), lists)


def rotation(
    base: TrustList, old: str, successor: bytes, now: int, *, days: int | None, keep: bool
) -> Request:
    """
    ``successor`` (a public key) signs after ``old`` (a kid). ``now`` in milliseconds, ``days``: for
    how long the successor counts at most. ``keep``: the old key is not retired, because another
    center signs with it too.
    """
    kid = kid_of(successor)
    validity = dict(base.validity)
    if days is not None:
        validity[kid] = Validity(not_after=now + days * _DAY_MS)
    keys = {**base.keys, kid: successor}
    both = draft(keys, base.version + 1, issued=now, validity=validity, refused=base.refused)
    if keep or old not in base.keys:
        return Request(base, (both,))
    refused = {**base.refused, old: Refusal(base.keys[old], now, RETIRED)}
    return Request(base, (both, _without(refused, keys, base.version + 2, now, validity)))


def refusal(base: TrustList, kid: str, why: str, now: int, successor: bytes | None) -> Request:
    """
    ``kid`` signs nothing new, and ``successor``, if it has one, signs instead. Raises NotTrusted
    for a key that is not trusted anyway.
    """
    if kid not in base.keys:
        raise NotTrusted(f"{kid} is not in list {base.version}; it is trusted by nobody who has it")
    refused = {**base.refused, kid: Refusal(base.keys[kid], now, why)}
    keys = dict(base.keys)
    if successor is not None:
        keys[kid_of(successor)] = successor
    return Request(base, (_without(refused, keys, base.version + 1, now, base.validity),))


def _without(
    refused: Mapping[str, Refusal],
    keys: Mapping[str, bytes],
    version: int,
    now: int,
    validity: Mapping[str, Validity],
) -> bytes:
    left = {kid: public for kid, public in keys.items() if kid not in refused}
    bounds = {kid: bound for kid, bound in validity.items() if kid in left}
    return draft(left, version, issued=now, validity=bounds, refused=refused)


def newcomer(base: TrustList, public: bytes, now: int) -> Request:
    """The key of one more center is trusted beside the others."""
    keys = {**base.keys, kid_of(public): public}
    raw = draft(keys, base.version + 1, issued=now, validity=base.validity, refused=base.refused)
    return Request(base, (raw,))


def sign(request: Request, root: SigningKey) -> tuple[TrustList, ...]:
    """
    The lists of a request, signed. Raises NotTrusted for another root, for lists that do not go on
    from one another, that bring back a refused key, or that trust nobody.
    """
    base = request.base
    if base.root != root.public:
        raise NotTrusted("this is not the root that signed the list which the request goes on from")
    signed = tuple(TrustList.sign(root, raw) for raw in request.lists)
    for before, after in pairwise((base, *signed)):
        if after.version != before.version + 1:
            raise NotTrusted(f"list {after.version} does not go on from list {before.version}")
        back = sorted(before.refused.keys() - after.refused.keys())
        if back:
            raise NotTrusted(f"list {after.version} forgets that {', '.join(back)} is refused")
        if not after.keys:
            raise NotTrusted(f"list {after.version} trusts nobody")
    return signed


def in_words(before: TrustList, after: TrustList) -> Iterator[str]:
    """What a list changes, a sentence a key."""
    for kid in sorted(after.keys.keys() - before.keys.keys()):
        until = after.validity.get(kid, Validity()).not_after
        yield f"{kid} is trusted" + ("" if until is None else f" until {timestamp(until)}")
    for kid in sorted(after.refused.keys() - before.refused.keys()):
        yield f"{kid} is {after.refused[kid].why}"
    for kid in sorted(before.keys.keys() - after.keys.keys() - after.refused.keys()):
        yield f"{kid} is not trusted any more"


def encode_signed(lists: Sequence[TrustList]) -> bytes:
    """The file that is carried back."""
    plain = {"lists": [orjson.loads(one.encode()) for one in lists]}
    return orjson.dumps(plain, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


def decode_signed(documents: Sequence[Mapping[str, Any]], root: bytes) -> list[TrustList]:
    """The lists of such a file, the oldest first. Raises NotTrusted where it is another root's."""
    lists = [TrustList.parse(orjson.dumps(document), root) for document in documents]
    return sorted(lists, key=lambda one: one.version)


def leaving(trust: TrustList, pending: TrustList | None) -> dict[str, str]:
    """Keys under which no namespace's head may stay, and why: what is refused, or soon will be."""
    lists = (trust,) if pending is None else (trust, pending)
    return {kid: gone.why for one in lists for kid, gone in one.refused.items()}


def must_wait(trust: TrustList, after: TrustList) -> bool:
    """
    True for a list that retires a key: it is taken only once nothing stands on that key's word
    alone. One that revokes is taken at once, whatever else it does.
    """
    new = [gone.why for kid, gone in after.refused.items() if kid not in trust.refused]
    return RETIRED in new and REVOKED not in new
