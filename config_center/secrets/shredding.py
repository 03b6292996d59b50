"""
Destroying a secret that history still holds, by destroying the one key that opens it. Pure.

A version cannot be taken out of a signed chain, but it need not be readable: without its data key
the ciphertext is noise, in the store, the log, every journal, snapshot and export. That the key is
gone is said by a signed record, ``_shredded.<data key>``, of the same namespace: so every center
and every client takes it out of what it keeps, one that was away when it hears of it, and what an
old copy of a ring brings back is taken out again.

An unchanged secret keeps its sealed bytes from version to version, so one data key may be that of
several versions: they go together, and the answer names them. What is served is never shredded;
there is no force, because publishing another secret first is always possible, and a key that is
gone cannot be brought back.

What shredding cannot reach is a *copy of the ring* outside: a backup of the store or of a data
directory. Those open only with the key-encryption key of their time, so exchanging it and dropping
the old one ends them too (docs/operating.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from client_sdk.bodies import decode_body, encode_body
from client_sdk.contents import Content, Op
from client_sdk.data_keys import SHREDDED
from client_sdk.records import sha256_hex
from client_sdk.sealing import data_keys
from config_center.ledger.words import Planned
from config_center.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from client_sdk.state import NamespaceState


class Shredded:
    """The data keys that a namespace's keys say are gone: asked one by one, never listed."""

    def __init__(self, keys: Collection[str]) -> None:
        self._keys = keys

    def __contains__(self, dek: object) -> bool:
        return f"{SHREDDED}{dek}" in self._keys


def gone_in(value: Any, keys: Collection[str]) -> frozenset[str]:
    """The data keys of ``value`` that were shredded."""
    gone = Shredded(keys)
    return frozenset(dek for dek in data_keys(value) if dek in gone)


def tells_of(key: str, state: NamespaceState) -> bool:
    """
    True when something that was destroyed may have been a secret of ``key``: its own, or one that
    went with a key-encryption key, which says of no key.
    """
    told = (entry for name, entry in state.entries.items() if name.startswith(SHREDDED))
    about = (decode_body(entry.content)[0] for entry in told if entry.content is not None)
    return any(each.get("key") in (key, None) for each in about)


def plan_shred(state: NamespaceState, key: str, version: int, deks: Iterable[str]) -> Planned:
    """
    Say of each data key of a version that it is gone. Raises Problem 409 while one of them is that
    of something served.
    """
    wanted = frozenset(deks)
    _require_unserved(state, key, wanted)
    return _gone(state, wanted, {"key": key, "version": version})


def check_again(state: NamespaceState, op: Op) -> None:
    """
    Raise Problem 409 where a shredding that was lost would take a secret that is served by now.
    One that went with its key-encryption key opens nowhere, served or not.
    """
    about = {} if op.content is None else decode_body(op.content)[0]
    if "key" in about:
        _require_unserved(state, about["key"], frozenset({op.key.removeprefix(SHREDDED)}))


def plan_lost(state: NamespaceState, kek: str, deks: Iterable[str]) -> Planned:
    """Say of data keys that they are gone with the key-encryption key that wrapped them."""
    return _gone(state, deks, {"lost": kek})


def _require_unserved(state: NamespaceState, key: str, deks: frozenset[str]) -> None:
    entry = state.entries.get(key)
    for content in () if entry is None else entry.contents:
        if content.body is not None and deks & data_keys(decode_body(content)[0]):
            raise Problem(
                "in-use",
                f"version {content.version} of {key} is served and has this secret: publish "
                "another secret first (or seal this one anew: `config-center secrets reseal`), "
                "then shred the old version",
                key=key,
                version=content.version,
            )


def _gone(state: NamespaceState, deks: Iterable[str], why: dict[str, Any]) -> Planned:
    body = encode_body(why, "json")
    content = Content(1, sha256_hex(body), len(body), "json", body=body)
    fresh = sorted(dek for dek in deks if SHREDDED + dek not in state.entries)
    return Planned(tuple(Op(SHREDDED + dek, "set", 1, content) for dek in fresh))
