"""Does the store keep what was acknowledged: through a crash, a power failure, a full memory?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.checks.base import Facts, StoreFacts, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config_center.checks.base import Check

SUBJECT = "durability"

_EVICTION = "maxmemory-policy"  # with a limit it *will* throw away: no center starts on that
_WANTED = {
    "appendonly": ("yes", "a crash of the store may lose what was acknowledged"),
    "appendfsync": ("always", "a power failure may lose the last second of changes"),
    _EVICTION: ("noeviction", "the store may throw away configuration"),
}
_FULL = 0.9


def judge(facts: Facts) -> Iterator[Check]:
    """Append-only file, fsync, eviction, memory."""
    store = facts.store
    if not isinstance(store, StoreFacts) or not store.kept:
        return
    if store.config is None:
        names = ", ".join(_WANTED)
        mend = f"allow it (config-center acl), or see to {names} yourself"
        yield warn(SUBJECT, "CONFIG GET is not allowed: how the store keeps data is unseen", mend)
        return
    most = int(store.config.get("maxmemory", "0") or 0)
    for name, (value, danger) in _WANTED.items():
        actual = store.config.get(name)
        if actual is None:
            continue
        if actual == value:
            yield ok(SUBJECT, f"{name} is {value}")
        else:
            mend = f"CONFIG SET {name} {value}, then CONFIG REWRITE"
            evicts = name == _EVICTION and most > 0
            yield fail(SUBJECT, f"{name} is {actual}: {danger}", mend, fatal=evicts)
    yield from _memory(store.used_bytes, most)


def _memory(used: int, most: int) -> Iterator[Check]:
    if most and used > most * _FULL:
        sentence = f"the store uses {used / most:.0%} of maxmemory: soon it refuses every change"
        yield fail(SUBJECT, sentence, f"CONFIG SET maxmemory {2 * most}, or remove other data")
