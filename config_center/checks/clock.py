"""
Is the clock right? Records carry its time, beats expire by it, peers refuse proofs that are old.

Clients take beats of up to 30 seconds' difference for the present, peers proofs of up to 60: a
clock that is further away than the first makes them stale although everything works.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from config_center.checks.base import Facts, StoreFacts, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config_center.checks.base import Check

SUBJECT = "clock"

_NOTABLE = 2.0  # seconds; an HTTP date is a whole second, and travels
_HARMFUL = 30.0
_MEND = "set it by NTP on every machine: timedatectl set-ntp true"


def judge(facts: Facts) -> Iterator[Check]:
    """Against the program's own age, the store and the peers."""
    if facts.installed is not None and facts.now < facts.installed:
        sentence = f"the clock says {_shown(facts.now)}, before this program was installed"
        yield fail(SUBJECT, f"{sentence} ({_shown(facts.installed)})", _MEND)
    if isinstance(facts.store, StoreFacts) and facts.store.clock_apart is not None:
        yield _apart("the store's clock", facts.store.clock_apart)
    for peer in facts.peers or ():
        if peer.clock_apart is not None:
            yield _apart(f"the clock of the peer {peer.url}", peer.clock_apart)


def _apart(whose: str, seconds: float) -> Check:
    away = f"{abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} this machine's clock"
    if abs(seconds) >= _HARMFUL:
        return fail(SUBJECT, f"{whose} is {away}: clients take what is new for stale", _MEND)
    if abs(seconds) >= _NOTABLE:
        return warn(SUBJECT, f"{whose} is {away}", _MEND)
    return ok(SUBJECT, f"{whose} agrees with this machine's clock")


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
