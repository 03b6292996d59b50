"""The checker finds an order where there is one, and none where there is none."""

from __future__ import annotations

import random
import time

import pytest

from tests.faults.checkers.linear import CONFLICT, DONE, NEVER, UNKNOWN, Attempt, is_linearizable


def test_one_after_another_is_an_order() -> None:
    assert is_linearizable([Attempt(n, n + 0.5, n, DONE) for n in range(5)])


def test_of_two_at_once_one_wins_and_the_other_is_told() -> None:
    assert is_linearizable([Attempt(0, 2, 0, DONE), Attempt(1, 3, 0, CONFLICT)])


@pytest.mark.parametrize(
    "impossible",
    [
        [Attempt(0, 2, 0, DONE), Attempt(1, 3, 0, DONE)],  # two winners of one version
        [Attempt(0, 1, 0, CONFLICT)],  # told of a conflict with nobody
        [Attempt(0, 1, 0, DONE), Attempt(2, 3, 0, DONE)],  # a lost update
        [Attempt(0, 1, 1, DONE), Attempt(2, 3, 0, DONE)],  # seen before it was made
        [Attempt(0, 1, 0, DONE), Attempt(2, 3, 1, CONFLICT)],  # what was done is gone
        [Attempt(5, NEVER, 0, UNKNOWN), Attempt(0, 1, 1, DONE)],  # effect before it was asked
    ],
)
def test_what_no_register_answers_is_refused(impossible: list[Attempt]) -> None:
    assert not is_linearizable(impossible)


def test_what_had_no_answer_may_have_happened_at_any_later_time_or_never() -> None:
    unanswered = Attempt(0, NEVER, 0, UNKNOWN)

    assert is_linearizable([unanswered, Attempt(1, 2, 0, DONE)])
    assert is_linearizable([unanswered, Attempt(8, 9, 1, DONE)])
    assert is_linearizable([unanswered])
    assert not is_linearizable([unanswered, Attempt(8, 9, 2, DONE)])


def made(rng: random.Random, writers: int, count: int) -> list[Attempt]:
    """What a real register answers to writers that overlap."""
    version, clock, attempts = 0, 0.0, []
    free = [0.0] * writers
    for _ in range(count):
        writer = rng.randrange(writers)
        clock += rng.random()
        expected = version - rng.choice((0, 0, 1))
        answer = DONE if expected == version else CONFLICT
        version += answer == DONE
        begun = max(free[writer], clock - rng.random())
        ended = clock + rng.random()
        free[writer] = ended
        if rng.random() < 0.05:
            attempts.append(Attempt(min(begun, clock), NEVER, expected, UNKNOWN))
        else:
            attempts.append(Attempt(min(begun, clock), ended, expected, answer))
    return attempts


def test_a_real_register_is_recognised_and_a_changed_answer_is_found() -> None:
    rng = random.Random(11)
    attempts = made(rng, 6, 240)

    begun = time.perf_counter()
    assert is_linearizable(attempts)
    assert time.perf_counter() - begun < 5.0

    wrong = next(n for n, a in enumerate(attempts) if n > 100 and a.answer == CONFLICT)
    lying = Attempt(attempts[wrong].begun, attempts[wrong].ended, attempts[wrong].expected, DONE)
    assert not is_linearizable([*attempts[:wrong], lying, *attempts[wrong + 1 :]])
