from __future__ import annotations

from client_sdk.redis_url import Host
from client_sdk.transports.slots import SlotMap

A, B, LEARNED = Host("a", 1), Host("b", 2), Host("learned", 3)


def test_nobody_is_believed_to_own_what_nobody_answered_for() -> None:
    slots = SlotMap([A, B, A])

    assert slots.owner(7) is None
    assert slots.candidates() == [A, B]


def test_who_answered_last_is_the_owner_and_is_asked_first_if_it_is_new() -> None:
    slots = SlotMap([A, B])
    slots.found(7, A)
    slots.found(7, LEARNED)

    assert slots.owner(7) == LEARNED
    assert slots.candidates() == [LEARNED, A, B]


def test_who_fails_loses_all_it_owned_and_is_asked_last() -> None:
    slots = SlotMap([A, B])
    slots.found(7, A)
    slots.found(8, A)
    slots.found(9, B)
    slots.failed(A)

    assert [slots.owner(slot) for slot in (7, 8, 9)] == [None, None, B]
    assert slots.candidates() == [B, A]


def test_a_learned_node_that_fails_is_forgotten_and_a_listed_one_never() -> None:
    slots = SlotMap([A])
    slots.found(7, LEARNED)
    for host in (LEARNED, LEARNED, A, A):
        slots.failed(host)

    assert slots.candidates() == [A]
