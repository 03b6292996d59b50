"""What a center's program does about collections, as others would see it."""

from __future__ import annotations

import gc

from config_center.cli import garbage


def test_what_is_there_at_the_start_is_looked_at_no_more_and_what_comes_seldom_as_a_whole() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        garbage.settle()

        assert gc.get_freeze_count() > frozen + 10_000
        assert gc.get_threshold() == (*before[:2], 50)
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
