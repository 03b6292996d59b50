"""
How many of a crowd are served in one turn of the event loop. Pure; pass ``now`` in seconds.

A thousand that become due in one moment (streams that a change is told to, connections that are
cut) are served a few in a turn, or whoever asks for something meanwhile waits behind all of them. A
number alone is a promise only while turns are short: beside a hundred busy connections a turn lasts
tens of milliseconds, two in each are fewer than come anew, and the queue grows for as long as the
load lasts (measured: streams heard a beat eight seconds late). So what counts is the time a turn
took, whoever used it: of a crowd that is to be through after :data:`WITHIN`, the part of it that
has passed is due. A short turn serves :data:`LEAST`, a long one up to :data:`MOST`, which holds
the loop for some ten milliseconds.

The part is taken of the most that waited at once, not of those who are left: those would go out
ever more slowly. Rejected: to serve until some milliseconds are used, because serving wakes
somebody who does the work in the next turn, so that the clock shows nothing of it here.
"""

from __future__ import annotations

import math

LEAST = 2
MOST = 100
WITHIN = 0.75  # seconds; a beat a second has to be through before the next one


class Turns:
    """The shares of one crowd, which grows while it is served. A share is ``least`` at least."""

    def __init__(self, least: int = LEAST) -> None:
        self.least = least
        self._crowd = 0
        self._before = 0.0

    def share(self, waiting: int, now: float) -> int:
        """How many of ``waiting`` are served in this turn. Ask in every turn while any wait."""
        passed = now - self._before if self._crowd else 0.0
        self._crowd, self._before = max(self._crowd, waiting), now
        due = min(math.ceil(self._crowd * passed / WITHIN), MOST)
        share = min(waiting, max(self.least, due))
        if share == waiting:
            self._crowd = 0
        return share
