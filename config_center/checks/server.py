"""
Which server the store is: does it lack what the scripts need, has it a hole that is mended by now?

The floors are the releases that mend CVE-2025-49844, 46817 and 46818 (a Lua script takes the server
over), line by line as the projects announced them. Redis 7.0 has no such release of its own;
distributions mend it in their packages, which INFO does not show, so there it is only a warning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.checks.base import Facts, StoreFacts, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from config_center.checks.base import Check

SUBJECT = "server"

OLDEST = (7, 0)
_FLOORS: Mapping[str, Mapping[tuple[int, int], int]] = {
    "Redis": {(7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2},
    "Valkey": {(7, 2): 11, (8, 0): 6, (8, 1): 4},
}
_HOLES = "CVE-2025-49844 (a script takes the server over)"


def judge(facts: Facts) -> Iterator[Check]:
    """The version floor."""
    store = facts.store
    if isinstance(store, str):
        mend = "start it, or give the right address: --redis URL"
        yield fail(SUBJECT, f"the store cannot be looked at: {store}", mend)
    elif isinstance(store, StoreFacts):
        yield _version(store)
        yield from _kind(store)


def _kind(store: StoreFacts) -> Iterator[Check]:
    """Is it what its URL says? Messages are told otherwise in a cluster."""
    if store.clustered is store.as_cluster:
        return
    if store.clustered:
        what, mend = "the store is a node of a cluster", "write redis+cluster://HOST:PORT"
    else:
        what, mend = "it is no node of a cluster", "write redis://HOST:PORT"
    yield fail(SUBJECT, what, mend, fatal=True)


def _version(store: StoreFacts) -> Check:
    if not store.kept:
        return fail(SUBJECT, "the store is this process's memory: nothing is kept", "give --redis")
    name = f"{store.product} {'.'.join(map(str, store.version))}"
    if store.version[:2] < OLDEST:
        mend = "use Redis 7.0 or newer, or Valkey"
        return fail(SUBJECT, f"the store is {name}", mend, fatal=True)
    major, minor, patch = (*store.version, 0, 0, 0)[:3]
    line = (major, minor)
    floors = _FLOORS.get(store.product, {})
    if line in floors and patch < floors[line]:
        mend = f"upgrade to {major}.{minor}.{floors[line]} or newer"
        return fail(SUBJECT, f"the store is {name}, which has {_HOLES}", mend)
    if line not in floors and line < max(floors, default=line):
        mend = f"see that your distribution's package is the newest, or use {_newest(floors)}"
        return warn(SUBJECT, f"{name} has no release of its own that mends {_HOLES}", mend)
    return ok(SUBJECT, f"the store is {name}")


def _newest(floors: Mapping[tuple[int, int], int]) -> str:
    line = max(floors)
    return f"{line[0]}.{line[1]}.{floors[line]} or newer"
