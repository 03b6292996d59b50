"""Rounds as processes of their own: a fresh loop each, and a core each."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import traceback
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from tests.faults.kinds import FAULTS
from tests.faults.rounds import Row, line, play, table
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
