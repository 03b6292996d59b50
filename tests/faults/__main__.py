"""
``make chaos``: the rounds with the intervals of production, much traffic, as many seeds as wanted.

Every round is a process of its own: a fresh loop, and one core each. The table is printed, a row
as soon as its round is over, and written to ``chaos.txt``. The exit status is 1 when anything was
lost, went backward, was late, void, or when a broken variant was not caught.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Iterator

from tests.faults.kinds import FAULTS
from tests.faults.processes import play_all
from tests.faults.rounds import HEAD, table


def rounds(faults: list[str], seeds: list[int], minutes: float) -> Iterator[tuple[str, int]]:
    """What to play; with ``minutes`` new seeds follow until the time is over."""
    end = time.monotonic() + minutes * 60
    for seed in seeds:
        yield from ((number, seed) for number in faults)
    while time.monotonic() < end:
        seed = random.SystemRandom().randrange(10**6)
        yield from ((number, seed) for number in faults if time.monotonic() < end)


def main() -> int:
    """Play, print, write; the exit status."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seeds", default="1", help="how many, or several of them: 7,8,9")
    parser.add_argument("--faults", default=",".join(FAULTS), help=f"of {', '.join(FAULTS)}")
    parser.add_argument("--minutes", type=float, default=0.0, help="go on with new seeds so long")
    parser.add_argument("--quick", action="store_true", help="as in make test")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2)))
    given = parser.parse_args()
    faults = given.faults.split(",")
    if unknown := set(faults) - FAULTS.keys():
        parser.error(f"{', '.join(unknown)} is played by nothing here; see docs/faults.md")
    for number in [number for number in faults if FAULTS[number].cannot()]:
        print(f"{number} is left out: {FAULTS[number].cannot()}")
        faults.remove(number)
    listed = "," in given.seeds
    seeds = [int(s) for s in given.seeds.split(",")] if listed else range(1, int(given.seeds) + 1)
    print(HEAD, flush=True)
    rows = play_all(rounds(faults, list(seeds), given.minutes), given.jobs, given.quick)
    print(table(rows).splitlines()[-1])
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
