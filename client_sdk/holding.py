"""
Which entries serve: the newest, or older ones that are *held* because the newest failed here.

Laws:

* **A change is served whole or not at all.** One key of it fails, and the older entries of all its
  keys serve on, the same old objects: the new LLM never meets the old prompt.
* **A later change that touches a held key joins the group.** It was written for the content that
  did not come to serve here, so the group is tried as a whole and released only as a whole.
* **A jump is one change.** After a snapshot nobody knows which keys came together, so all keys that
  differ are one group. Rejected: grouping by the position of each entry, which forgets that a key
  changed again since. The first contact with a namespace is no jump: there is nothing older that
  the new could meet, so each key stands for itself.
* **Nothing older is an older entry too**: a blank one. A module that fails with nothing behind it
  takes its own value out of service (or back to its default), no other.
* **What has no older content is weakened** where it cannot be held: first the rollout goes whose
  canary fails, from all its keys; then the key itself.
* **A group sleeps while a module of it is awaited**: one that an earlier process had, and this one
  did not declare yet. Without its module every content would seem to be good, and the older entry
  would be thrown away. So a change of such a key sleeps, too, until the module is declared,
  somebody asks, or it is clear that this process has no such module.

Pure: no I/O, no clock. Groups are disjoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from client_sdk.outcomes import CANARY
from client_sdk.records import START
from client_sdk.state import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from client_sdk.outcomes import Refusal


def blank(key: str) -> Entry:
    """The entry of a key that serves nothing."""
    return Entry(key, START, 0, None)


@dataclass(frozen=True, slots=True)
class Group:
    """
    Keys that wait together: key -> the entry that serves meanwhile, and why they wait.

    ``crashed``: processes died of what is newer (probation.py); only a person has it tried again.
    """

    older: Mapping[str, Entry]
    why: tuple[Refusal, ...] = ()
    asleep: bool = False
    crashed: bool = False

    @property
    def keys(self) -> frozenset[str]:
        """The keys of the group."""
        return frozenset(self.older)

    def refusals(self) -> tuple[Refusal, ...]:
        """Why, with all that is held back by it."""
        return tuple(replace(refusal, keys=self.keys) for refusal in self.why)


@dataclass(frozen=True, slots=True)
class Holding:
    """All groups that are held."""

    groups: tuple[Group, ...] = ()

    @property
    def older(self) -> dict[str, Entry]:
        """Key -> older entry, over all groups."""
        return {key: entry for group in self.groups for key, entry in group.older.items()}


@dataclass(frozen=True, slots=True)
class Trial:
    """One attempt: what stays held meanwhile, and the groups that are let go to be tried."""

    holding: Holding
    tried: tuple[Group, ...] = ()

    def after(self, failures: Iterable[Refusal], serving: Callable[[str], Entry | None]) -> Trial:
        """
        What to try next, these having failed: a smaller trial, so that trying ends.

        ``serving`` gives the entry of a key as it was tried.
        """
        by_group: dict[int, list[Refusal]] = {}
        loose = []
        owner = {key: at for at, group in enumerate(self.tried) for key in group.older}
        for failure in failures:
            if failure.key in owner:
                by_group.setdefault(owner[failure.key], []).append(failure)
            else:
                loose.append(failure)
        held = [Group(self.tried[at].older, tuple(why)) for at, why in by_group.items()]
        rest = tuple(group for at, group in enumerate(self.tried) if at not in by_group)
        trial = Trial(Holding((*self.holding.groups, *held)), rest)
        for failure in loose:
            trial = trial._weakened(failure, serving)
        return trial

    def _weakened(self, failure: Refusal, serving: Callable[[str], Entry | None]) -> Trial:
        weaker = dict(_weaker(failure, serving))
        touched, apart = _split(self.holding.groups, weaker)
        older: dict[str, Entry] = {}
        for group in touched:
            older.update(group.older)
        why = tuple(refusal for group in touched for refusal in group.why)
        merged = Group({**older, **weaker}, (*why, failure))
        return Trial(Holding((*apart, merged)), self.tried)


def begin(
    holding: Holding,
    changed: Iterable[str],
    before: Callable[[str], Entry | None],
    *,
    first: bool = False,
    awaited: frozenset[str] = frozenset(),
) -> Trial:
    """
    The trial of a change of these keys; ``before`` gives the entry a key served until now.

    ``first``: nothing was served before, each key stands for itself. ``awaited``: keys whose module
    is awaited.
    """
    names = frozenset(changed)
    parts = [frozenset({key}) for key in sorted(names)] if first else [names]
    trial = Trial(holding)
    for part in filter(None, parts):
        touched, apart = _split(trial.holding.groups, part)
        older = {key: before(key) or blank(key) for key in part}
        for group in touched:
            older.update(group.older)
        if any(group.asleep for group in touched) or not awaited.isdisjoint(older):
            why = tuple(refusal for group in touched for refusal in group.why)
            trial = Trial(Holding((*apart, Group(older, why, asleep=True))), trial.tried)
        else:
            trial = Trial(Holding(tuple(apart)), (*trial.tried, Group(older)))
    return trial


def wake(holding: Holding, keys: Iterable[str], awaited: frozenset[str] = frozenset()) -> Trial:
    """
    The trial of the sleeping groups that hold one of ``keys``, and await no other module. What
    processes died of wakes up, and is not tried.
    """
    names = frozenset(keys)
    kept, woken = [], []
    for group in holding.groups:
        ready = (
            group.asleep and not names.isdisjoint(group.older) and awaited.isdisjoint(group.older)
        )
        if ready and not group.crashed:
            woken.append(group)
        else:
            kept.append(replace(group, asleep=False) if ready else group)
    return Trial(Holding(tuple(kept)), tuple(woken))


def wake_all(holding: Holding, *, crashed: bool) -> Trial:
    """The trial of every group, or of all but those that processes died of."""
    kept = tuple(group for group in holding.groups if group.crashed and not crashed)
    return Trial(Holding(kept), tuple(group for group in holding.groups if group not in kept))


def _split(
    groups: Iterable[Group], keys: Iterable[str]
) -> tuple[tuple[Group, ...], tuple[Group, ...]]:
    """The groups that hold one of ``keys``, and the others."""
    names = frozenset(keys)
    touched: list[Group] = []
    apart: list[Group] = []
    for group in groups:
        (apart if names.isdisjoint(group.older) else touched).append(group)
    return tuple(touched), tuple(apart)


def _weaker(
    failure: Refusal, serving: Callable[[str], Entry | None]
) -> Iterator[tuple[str, Entry]]:
    entry = serving(failure.key)
    rollout = None if entry is None else entry.rollout
    if failure.arm != CANARY or rollout is None:
        yield failure.key, blank(failure.key)
        return
    for key in {failure.key, *rollout.keys}:
        found = serving(key)
        if found is not None and found.rollout is not None and found.rollout.id == rollout.id:
            yield key, replace(found, rollout=None)
