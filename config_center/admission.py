"""
Who is let in, and how fast: pure; pass ``now`` in seconds of a clock that nobody sets.

After an outage everybody comes at once. A center that takes whoever comes does a little for each of
them, nobody is done before his deadline, and all come again: that is how a short outage becomes a
long one. So what is expensive (an event stream, a whole namespace) is taken at a rate that a center
can serve, and who comes above it is told at once, for almost nothing, when to come again.

* **A token bucket** each: ``burst`` at once, then ``rate`` a second. Nothing queues.
* **Per client, then together.** A client is a token; without one, an address. What its own bucket
  refuses takes nothing from the common one, so a single client that runs wild is told so while the
  others are served.
* **Wrong tokens per address**, strictly. A right one is never refused for its neighbours' wrong
  ones: many machines may share an address.
* **Nobody who is in is thrown out.** Reports pass always, and what a stream carries is not counted.
* **Bounded.** At most ``MOST`` buckets; the one unused for longest goes. It is as good as full by
  then, unless somebody invents names faster than that, which takes tokens or addresses.

``Retry-After`` says when a bucket has room for one more, rounded up. The SDK waits that long and
then up to as long again, at random, so that those who were refused together do not come together.
Rejected: a queue (it holds memory and a socket for work whose asker has left by the time), and a
limit on requests that only read a key (they cost less than refusing them saves).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from client_sdk.addresses import network_of
from client_sdk.allowance import Allowance, Bucket

if TYPE_CHECKING:
    from collections.abc import Hashable

MOST = 10_000


class Buckets:
    """One bucket a name, and never more than ``most`` of them."""

    def __init__(self, allowance: Allowance, most: int = MOST) -> None:
        self._allowance = allowance
        self._most = most
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def of(self, name: Hashable, now: float) -> Bucket:
        """The bucket of this name."""
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= self._most:
                self._buckets.popitem(last=False)
            bucket = self._buckets[name] = Bucket.full(self._allowance, now)
        self._buckets.move_to_end(name)
        return bucket


@dataclass(frozen=True, slots=True)
class Refusal:
    """Not now: come again after so many seconds. ``full``: as many are in as may be."""

    seconds: float
    full: bool = False

    @property
    def retry_after(self) -> str:
        """The header's value: whole seconds, at least one."""
        return str(max(1, math.ceil(self.seconds)))


@dataclass(frozen=True, slots=True)
class Rules:
    """What one client may do, what all may together, how many streams at once, wrong tokens."""

    client: Allowance
    everybody: Allowance
    watches: int
    wrong_tokens: Allowance


_FULL_AGAIN = 5.0  # seconds; a stream lasts for hours, so there is no better time to name


class Gate:
    """The door's memory. ``costs``: the kinds of entries, each with buckets of its own."""

    def __init__(self, rules: Rules, costs: tuple[str, ...] = ("stream", "whole")) -> None:
        self._rules = rules
        self._clients = {cost: Buckets(rules.client) for cost in costs}
        self._everybody = {cost: Buckets(rules.everybody, 1) for cost in costs}
        self._wrong = Buckets(rules.wrong_tokens)
        self.streams = 0

    def enter(self, cost: str, client: Hashable, now: float) -> Refusal | None:
        """None: come in; a stream that was let in has to :meth:`leave`."""
        if cost == "stream" and self.streams >= self._rules.watches:
            return Refusal(_FULL_AGAIN, full=True)
        own = self._clients[cost].of(client, now)
        wait = own.take(now)
        if wait:
            return Refusal(wait)
        wait = self._everybody[cost].of("", now).take(now)
        if wait:
            own.put_back()
            return Refusal(wait)
        self.streams += cost == "stream"
        return None

    def leave(self, cost: str) -> None:
        """Somebody who was let in has gone."""
        self.streams -= cost == "stream"

    def wrong_token(self, address: str, now: float) -> Refusal | None:
        """A token that opens nothing came from this address; None: say so."""
        wait = self._wrong.of(address, now).take(now)
        return Refusal(wait) if wait else None


def address_of(remote: str | None, forwarded: str | None) -> str:
    """
    Whose address counts. ``forwarded`` is the ``X-Forwarded-For`` of a proxy that we were told of:
    its last entry is what that proxy saw, everything before it is what somebody wrote.
    """
    text = (forwarded or "").rpartition(",")[2].strip() or remote or ""
    return network_of(text) or (remote or "")[:64]
