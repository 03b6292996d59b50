"""Is there room for the journal and the private store? A full disk ends in refused changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.checks.base import Facts, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config_center.checks.base import Check

SUBJECT = "disk"

_MIB = 1 << 20
# The store may hold its append-only file twice while it rewrites it.
LEAST = 256 * _MIB
LOW = 2048 * _MIB
_SHARE = 0.05


def judge(facts: Facts) -> Iterator[Check]:
    """Bytes that are free, and their share."""
    disk = facts.disk
    if disk is None:
        return
    share = disk.free / disk.size if disk.size else 0.0
    sentence = f"{disk.free / _MIB:,.0f} MiB ({share:.0%}) are free under {disk.path}"
    mend = "make room, or move the data directory to a larger disk (--data)"
    if disk.free < LEAST:
        yield fail(SUBJECT, f"only {sentence}: soon every change is refused", mend)
    elif disk.free < LOW or share < _SHARE:
        yield warn(SUBJECT, f"only {sentence}", mend)
    else:
        yield ok(SUBJECT, sentence)
