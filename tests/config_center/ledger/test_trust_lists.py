"""The list of signing keys beside the namespaces: only ever a newer one of our root."""

from __future__ import annotations

import pytest

from client_sdk.signing import TrustList, Verifier
from config_center.ledger.trust_lists import TrustLists
from config_center.store.base import Pending
from config_center.store.memory import MemoryStore
from tests.history import KEY, ROOT, STRANGER, TRUST, History

BOTH = {KEY.kid: KEY.public, STRANGER.kid: STRANGER.public}
NEWER = TrustList.issue(ROOT, BOTH, 2)
TWIN = TrustList.issue(ROOT, {KEY.kid: KEY.public}, 2)
FOREIGN = TrustList.issue(STRANGER, BOTH, 9)


async def lists() -> tuple[TrustLists, MemoryStore]:
    store = MemoryStore()
    for ns in ("a", "b"):
        made = History(ns)
        await store.create(Pending(made.head, (), made.state))
    return TrustLists(store, Verifier(TRUST), lambda: ["a", "b"]), store


async def test_a_newer_list_is_kept_before_it_is_believed_and_laid_everywhere() -> None:
    made, store = await lists()
    seen: list[tuple[int, int]] = []
    made.keep = lambda trust: seen.append((trust.version, made.newest.version))

    assert await made.take(NEWER)

    assert (made.newest, seen) == (NEWER, [(2, 1)])
    assert [store.spaces[ns].trust for ns in ("a", "b")] == [NEWER.encode()] * 2


@pytest.mark.parametrize("trust", [TRUST, FOREIGN])
async def test_a35_a_foreign_or_an_old_list_is_not_taken(trust: TrustList) -> None:
    made, _ = await lists()

    assert not await made.take(trust)
    assert made.newest == TRUST


@pytest.mark.parametrize("document", [b"", b"{}", FOREIGN.encode(), TRUST.encode()])
async def test_a31_whatever_else_lies_beside_a_namespace_is_put_right(document: bytes) -> None:
    made, store = await lists()
    await made.take(NEWER)
    store.spaces["a"].trust = document

    await made.look("a")

    assert store.spaces["a"].trust == NEWER.encode()


async def test_a_list_that_another_center_laid_there_is_taken() -> None:
    made, store = await lists()
    told: list[int] = []

    async def tell() -> None:
        told.append(made.newest.version)

    made.on_taken = tell
    store.spaces["a"].trust = NEWER.encode()

    await made.look("a")

    assert (made.newest, told, store.spaces["b"].trust) == (NEWER, [2], NEWER.encode())


async def test_two_lists_of_one_number_are_said_and_not_fought_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made, store = await lists()
    await made.take(NEWER)
    store.spaces["a"].trust = TWIN.encode()

    await made.look("a")

    assert store.spaces["a"].trust == TWIN.encode()
    assert "two lists of signing keys with the number 2" in caplog.text


@pytest.mark.parametrize(
    ("document", "taken"), [(NEWER.encode(), 2), (FOREIGN.encode(), 1), (b"", 1)]
)
async def test_at_a_start_only_a_newer_list_of_our_root_counts(document: bytes, taken: int) -> None:
    made, store = await lists()
    store.spaces["a"].trust = document

    await made.look_first("a")
    await made.look_first("nowhere")

    assert made.newest.version == taken
