"""
``make chaos``: the rounds with the intervals of production, much traffic, as many seeds as wanted.

Every round is a process of its own: a fresh loop, and one core each. The table is printed, a row
as soon as its round is over, and written to ``chaos.txt``. The exit status is 1 when anything was
lost, went backward, was late, void, or when a broken variant was not caught.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import os
import random
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from tests.faults.kinds import FAULTS
from tests.faults.rounds import HEAD, Row, line, play, table
from tests.faults.scale import LONG, QUICK

REPORT = Path("chaos.txt")


def one(number: str, seed: int, quick: bool) -> Row:
    """One round, in this process."""
    logging.disable(logging.CRITICAL)  # what centers and clients say about a fault is not the point
    try:
        return asyncio.run(play(FAULTS[number], QUICK if quick else LONG, seed))
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        return Row(number, seed, wrong=[f"broken: {type(error).__name__} {error} at {where}"])


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
    listed = "," in given.seeds
    seeds = [int(s) for s in given.seeds.split(",")] if listed else range(1, int(given.seeds) + 1)
    print(HEAD, flush=True)
    rows = play_all(rounds(faults, list(seeds), given.minutes), given.jobs, given.quick)
    report = table(rows)
    REPORT.write_text(report + "\n")
    print(report.splitlines()[-1])
    return 0 if all(row.passed for row in rows) else 1


def play_all(todo: Iterator[tuple[str, int]], jobs: int, quick: bool) -> list[Row]:
    """``jobs`` rounds at a time."""
    rows: list[Row] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        running: set[Future[Row]] = set()
        more = True
        while more or running:
            while more and len(running) < jobs:
                what = next(todo, None)
                more = what is not None
                if what is not None:
                    running.add(pool.submit(one, *what, quick))
            over, running = wait(running, return_when=FIRST_COMPLETED)
            for future in over:
                rows.append(future.result())
                print(line(rows[-1]), flush=True)
                REPORT.write_text(table(rows) + "\n")
    return rows


if __name__ == "__main__":
    sys.exit(main())
