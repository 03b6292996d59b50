"""Are the keys there, of one set, and closed to others? The loader's refusal is the sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.checks.base import Facts, fail, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config_center.checks.base import Check

SUBJECT = "keys"


def judge(facts: Facts) -> Iterator[Check]:
    """What loading the keys said; ``""``: they are whole, ``None``: there are none yet."""
    if facts.keys:
        sentence, _, mend = facts.keys.partition("; ")
        if not mend:
            sentence, _, mend = facts.keys.rpartition(": ")
        yield fail(SUBJECT, sentence, mend, fatal=True)
    elif facts.keys is not None:
        yield ok(
            SUBJECT, "the signing key is in the trust list, the key-encryption key is readable"
        )
