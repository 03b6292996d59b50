"""
Which changes this process has still to outlive: what it dies of twice is not served a third time.

Laws:

* **A change is on probation** from before it is tried until this process lived ``term`` seconds
  with it. What served before is on disk meanwhile, so that a later process can go back to it.
* **The second death decides.** One may have had another cause; after two the next process serves
  the older entries, says so, and tries that content no more. A newer change of one of its keys is
  another case, and so is a person who asks (``Client.retry``).
* **A clean end is no death.** Closing the client is clean, unless an exception led to it.
* **A module's content waits for its module** after a restart: until it is declared, the older
  entry serves, and a death meanwhile is not the content's.
* **Nothing older, no case.** After the first contact there is nothing to go back to.

What is written here outlives the process and not the machine, because a machine that loses its
power did not die of a change: no ``fsync``, so that this costs a publish next to nothing.

Rejected: marking whole snapshots good or bad. A change that is held back for another reason would
go with it, and the older entries of a held key are in no snapshot any more.

Pure: no I/O, no clock. Cases are disjoint.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from client_sdk.holding import Group, Holding
from client_sdk.outcomes import STABLE, Refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from client_sdk.state import Entry, NamespaceState

DEATHS = 2
_CASES = 32
_BYTES = 4 * 1024 * 1024  # of older content; every change writes them all


@dataclass(frozen=True, slots=True)
class Case:
    """
    Keys that changed together: key -> the entry that served before.

    ``module``: it waits for a module after a restart, and is not ``tried`` before. ``until`` is
    when it is outlived, ``None`` while it is being tried.
    """

    older: Mapping[str, Entry]
    deaths: int = 0
    module: bool = False
    tried: bool = True
    until: float | None = None

    def size(self) -> int:
        """Bytes of older content, about."""
        return sum(each.size for entry in self.older.values() for each in entry.contents)


@dataclass(frozen=True, slots=True)
class Probation:
    """All open cases, the oldest first."""

    cases: tuple[Case, ...] = ()

    def begin(self, groups: Iterable[Group], modules: Collection[str], *, fresh: bool) -> Probation:
        """
        These groups are going to be tried. ``modules`` are the keys that have one; ``fresh``: their
        content was not tried before, or a person asks for another try.
        """
        cases = list(self.cases)
        for group in groups:
            same = [case for case in cases if not case.older.keys().isdisjoint(group.older)]
            older = dict(group.older)
            for case in same:
                # What was outlived, and not what is on probation itself, unless there is no other.
                older.update({key: entry for key, entry in case.older.items() if entry.exists})
            deaths = 0 if fresh else max((case.deaths for case in same), default=0)
            module = not older.keys().isdisjoint(modules)
            cases = [case for case in cases if case not in same]
            cases.append(Case(older, deaths, module))
        return Probation(_bounded(cases))

    def renewed(self, keys: Collection[str]) -> Probation:
        """Newer content came for these keys: what waits for its module is another case."""
        return Probation(
            tuple(
                case
                if case.tried or case.older.keys().isdisjoint(keys)
                else replace(case, deaths=0)
                for case in self.cases
            )
        )

    @property
    def nearest(self) -> float | None:
        """When the next case is outlived."""
        return min((case.until for case in self.cases if case.until is not None), default=None)

    def settled(self, holding: Holding, until: float) -> Probation:
        """What was being tried is served until then, or was refused and is held already."""
        refused = {key for group in holding.groups if not group.asleep for key in group.older}
        return Probation(
            tuple(
                replace(case, until=until) if case.tried and case.until is None else case
                for case in self.cases
                if refused.isdisjoint(case.older)
            )
        )

    def outlived(self, now: float) -> Probation:
        """Without the cases whose time has come."""
        return Probation(
            tuple(case for case in self.cases if case.until is None or case.until > now)
        )

    def died(self) -> Probation:
        """The process that tried these ended, and nobody ended it."""
        return Probation(
            tuple(replace(case, deaths=case.deaths + case.tried) for case in self.cases)
        )

    def resumed(self) -> tuple[Probation, tuple[Case, ...]]:
        """What a new process has to outlive, and what it does not try any more."""
        condemned = tuple(case for case in self.cases if case.deaths >= DEATHS)
        open_ = [case for case in self.cases if case.deaths < DEATHS]
        return Probation(
            tuple(replace(case, tried=not case.module, until=None) for case in open_)
        ), condemned


def restored(
    holding: Holding,
    open_: Probation,
    condemned: Iterable[Case],
    state: NamespaceState,
    awaited: frozenset[str],
) -> Holding:
    """
    What a new process holds back of ``state``: what was held before, what waits for its module, and
    what is condemned. What has a key in ``awaited`` sleeps; what was held and awaits nothing is
    there to be tried at once (it has no reason and does not sleep).
    """
    known = state.entries
    left = list(holding.groups)
    groups = []
    for case in (*open_.cases, *(condemned := tuple(condemned))):
        same = [group for group in left if not group.keys.isdisjoint(case.older)]
        left = [group for group in left if group.keys.isdisjoint(case.older)]
        older = {key: entry for group in same for key, entry in group.older.items()}
        older = {key: entry for key, entry in {**older, **case.older}.items() if key in known}
        if not older:  # the change did not come to be on disk
            continue
        if case in condemned:
            groups.append(_crashed(older, state, awaited))
        elif case.module:
            groups.append(Group(older, asleep=True))
    for group in left:
        if group.crashed:
            groups.append(_crashed(group.older, state, awaited))
        else:
            groups.append(Group(group.older, asleep=not awaited.isdisjoint(group.older)))
    return Holding(tuple(groups))


def _crashed(older: Mapping[str, Entry], state: NamespaceState, awaited: frozenset[str]) -> Group:
    """A group that is tried no more."""
    key = min(older)
    newest = state.entries.get(key)
    refusal = Refusal(
        keys=frozenset(older),
        key=key,
        version=None if newest is None else newest.version,
        arm=STABLE,
        step="crash",
        reason=f"the process ended {DEATHS} times soon after it was applied; publish another "
        "version, or ask for another try",
    )
    return Group(older, (refusal,), asleep=not awaited.isdisjoint(older), crashed=True)


def _bounded(cases: list[Case]) -> tuple[Case, ...]:
    """The newest that may be kept: what is older was nearly outlived."""
    kept: list[Case] = []
    size = 0
    for case in reversed(cases[-_CASES:]):
        size += case.size()
        if size > _BYTES:
            break
        kept.append(case)
    return tuple(reversed(kept))
