"""May the center's user at the store send what a center sends?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.checks.base import Facts, StoreFacts, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config_center.checks.base import Check

SUBJECT = "rights"

# What a center can live without, and then only does not see.
_SPARE = frozenset({"config|get", "time"})


def judge(facts: Facts) -> Iterator[Check]:
    """What an ACL denies."""
    store = facts.store
    if not isinstance(store, StoreFacts) or store.denied is None:
        return
    needed = [name for name in store.denied if name not in _SPARE]
    spare = [name for name in store.denied if name in _SPARE]
    mend = f"ACL SETUSER USER {' '.join('+' + name for name in store.denied)} ~cc:{{* &cc:{{*"
    if needed:
        sentence = f"the center's user may not {', '.join(needed)}: changes will be refused"
        yield fail(SUBJECT, sentence, f"{mend}; config-center acl prints all of it")
    elif spare:
        yield warn(SUBJECT, f"the center's user may not {', '.join(spare)}", mend)
    else:
        yield ok(SUBJECT, "the center's user may send all that a center sends")
