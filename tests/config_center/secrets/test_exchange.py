"""An exchange of the key-encryption key: nothing stops opening, wherever it is cut short."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from client_sdk.bodies import decode_body
from client_sdk.errors import SettingInvalid
from client_sdk.image import Ring
from client_sdk.keks import Kek, Keks, open_source
from client_sdk.sealing import RingEntry, open_value
from config_center.ledger.inspection import inspect
from config_center.problems import Problem
from config_center.publishing import Put
from config_center.secrets.exchange import HeldKeks, announced
from config_center.secrets.rewrapping import kek_of
from config_center.service import Service
from config_center.store.base import StoreDown
from config_center.store.memory import MemoryStore
from tests.config_center.service_world import ALICE, service

OLD, NEW = Kek.from_secret(b"o" * 32), Kek.from_secret(b"n" * 32)
BOTH = Keks((OLD, NEW))
LLM = {"type": "openai", "base_url": "https://a.example/v1", "api_key": "sk-1", "model": "m"}


async def publish(made: Service, key: str = "llm", secret: str = "sk-1") -> None:
    await made.set_schema("default", key, {"kind": "llm"}, ALICE)
    await made.put("default", key, Put(value={**LLM, "api_key": secret}), ALICE)


@contextlib.asynccontextmanager
async def world(
    home: Path, keks: Keks = BOTH, store: MemoryStore | None = None
) -> AsyncIterator[Service]:
    async with service(home, store or MemoryStore(), keks=keks) as made:
        yield made


def opened(made: Service, ring: Ring, keks: Keks, key: str = "llm") -> Any:
    entry = made.ledger("default").state.entries[key]
    assert entry.content is not None
    parsed = {name: RingEntry.parse(text) for name, text in ring.items()}
    return open_value(decode_body(entry.content)[0], "default", key, parsed, keks)["api_key"]


async def rings(made: Service) -> list[Ring]:
    """The three copies: memory, store, journal."""
    ledger = made.ledger("default")
    return [
        ledger.ring,
        await ledger.store.read_ring("default"),
        await ledger.journal.ring("default"),
    ]


async def wrapped_by(made: Service) -> list[set[str]]:
    return [{kek_of(text) for text in ring.values()} for ring in await rings(made)]


async def test_a45_an_exchange_touches_no_record_and_ends_with_nothing_for_the_old_key(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as made:
        await publish(made)
        before = made.ledger("default").state.position
        assert await wrapped_by(made) == [{OLD.id}] * 3

        done = await made.keks.rotate(None, ALICE)

        assert (done["current"], done["rewrapped"], done["left"]) == (NEW.id, 2, 0)
        assert made.ledger("default").state.position == before
        assert await wrapped_by(made) == [{NEW.id}] * 3
        assert [opened(made, ring, Keks((NEW,))) for ring in await rings(made)] == ["sk-1"] * 3
        await publish(made, "tts-like", "sk-2")
        assert await wrapped_by(made) == [{NEW.id}] * 3
        assert (await made.keks.rotate(None, ALICE))["rewrapped"] == 0


async def test_a45_an_old_key_is_kept_until_nothing_is_left_for_it(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await publish(made)
        await made.put("default", "note", Put(value=1), ALICE)  # the ring was read for it
        with pytest.raises(Problem, match="seals new secrets; rotate"):
            await made.keks.drop(OLD.id, ALICE)
        old = dict(made.ledger("default").ring)
        await made.keks.rotate(None, ALICE)
        ledger = made.ledger("default")
        await ledger.journal.keep_ring("default", old)

        with pytest.raises(Problem, match="still wraps 2 data keys of default") as refused:
            await made.keks.drop(OLD.id, ALICE)
        await ledger.journal.keep_ring("default", ledger.ring)
        status = await made.keks.drop(OLD.id, ALICE)

        assert refused.value.name == "in-use"
        assert [key["id"] for key in status["keys"]] == [NEW.id]
        with pytest.raises(Problem, match="has no key-encryption key"):
            await made.keks.drop(OLD.id, ALICE)
        await publish(made, secret="sk-2")
        assert opened(made, ledger.ring, Keks((NEW,))) == "sk-2"


class Breaking(MemoryStore):
    """Its connection ends at the n-th exchange of the ring, before or after it was carried out."""

    def __init__(self, *, after: bool) -> None:
        super().__init__()
        self.after = after
        self.broken = False

    async def rewrap_ring(self, ns: str, entries: Any) -> int:
        if self.broken:
            return await super().rewrap_ring(ns, entries)
        self.broken = True
        if self.after:
            await super().rewrap_ring(ns, entries)
        raise StoreDown("cut")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("restart", [False, True])
async def test_a45_an_exchange_that_was_cut_short_is_gone_on_with(
    tmp_path: Path, after: bool, restart: bool
) -> None:
    store = Breaking(after=after)
    async with world(tmp_path, store=store) as made:
        await publish(made)
        with pytest.raises(StoreDown):
            await made.keks.rotate(NEW.id, ALICE)
        assert [opened(made, ring, Keks((OLD, NEW))) for ring in await rings(made)] == ["sk-1"] * 3
        if not restart:
            await made.keks.rotate(NEW.id, ALICE)
            assert await wrapped_by(made) == [{NEW.id}] * 3
    if restart:
        async with world(tmp_path, store=store) as made:
            assert made.keks.current == NEW.id, "the record says so, whatever the file does"
            await made.keks.rotate(None, ALICE)
            assert await wrapped_by(made) == [{NEW.id}] * 3


async def test_a_second_center_takes_up_what_the_first_wrapped_anew(tmp_path: Path) -> None:
    store = MemoryStore()
    async with world(tmp_path / "a", store=store) as a, world(tmp_path / "b", store=store) as b:
        await publish(a)
        for ledger in (b.ledger("default"), b.registry.system):
            async with ledger.lock:
                await ledger.refresh()
        await a.keks.rotate(NEW.id, ALICE)

        await inspect(b.ledger("default"))

        assert b.ledger("default").mode.value == "ready"
        assert await wrapped_by(b) == [{NEW.id}] * 3
        both = await asyncio.gather(a.keks.rotate(OLD.id, ALICE), b.keks.rotate(OLD.id, ALICE))
        assert {done["left"] for done in both} <= {0}
        for made in (a, b):
            await inspect(made.ledger("default"))
            assert opened(made, (await rings(made))[1], Keks((OLD,))) == "sk-1"
            assert made.ledger("default").mode.value == "ready"


async def test_what_nobody_with_a_key_wrapped_is_said_to_be_tampered_with(tmp_path: Path) -> None:
    store = MemoryStore()
    async with world(tmp_path, store=store) as made:
        await publish(made)
        ring = store.spaces["default"].ring
        name, text = next(iter(ring.items()))
        ring[name] = text[:-8] + "AAAAAAA="

        await inspect(made.ledger("default"))

        assert made.ledger("default").mode.value == "tampered"
        assert (await rings(made))[2][name] == text, "the journal keeps what opens"


async def test_a_ring_that_a_failover_lost_is_put_back(tmp_path: Path) -> None:
    store = MemoryStore()
    async with world(tmp_path, store=store) as made:
        await publish(made)
        kept = dict(store.spaces["default"].ring)
        store.spaces["default"].ring.clear()
        ledger = made.ledger("default")
        ledger.head = None
        async with ledger.lock:
            await ledger.refresh()

        assert store.spaces["default"].ring == kept


async def test_a45_a_center_without_a_key_that_is_needed_does_not_start(tmp_path: Path) -> None:
    store = MemoryStore()
    async with world(tmp_path, store=store) as made:
        await publish(made)
        made.keks.require()
    async with world(tmp_path, Keks((NEW,)), store) as made:
        with pytest.raises(SettingInvalid, match=f"{OLD.id} wraps 2 data keys of default"):
            made.keks.require()
    async with world(tmp_path, Keks((OLD, NEW)), store) as made:
        await made.keks.rotate(NEW.id, ALICE)
    async with world(tmp_path, Keks((OLD,)), store) as made:
        with pytest.raises(SettingInvalid, match=f"the key-encryption key {NEW.id}"):
            made.keks.require()


async def test_what_a_lost_key_sealed_is_given_up_when_somebody_says_so(tmp_path: Path) -> None:
    store = MemoryStore()
    async with world(tmp_path, store=store) as made:
        await publish(made)
        await made.keks.rotate(OLD.id, ALICE)
    async with world(tmp_path, Keks((NEW,)), store) as made:
        with pytest.raises(SettingInvalid, match="which is not lost"):
            await made.keks.give_up(NEW.id)
        await made.keks.give_up(OLD.id)
        made.keks.require()
        body = orjson.loads(made.key_bytes("default", "llm")[0])
        await publish(made, secret="sk-2")

        assert body["value"]["api_key"] == {"$sealed": {"shredded": True}}
        assert await wrapped_by(made) == [{NEW.id}] * 3
        assert opened(made, (await rings(made))[1], Keks((NEW,))) == "sk-2"
        await made.keks.give_up(OLD.id)


async def test_without_the_key_that_seals_secrets_are_refused_and_all_else_is_published(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with world(tmp_path / "a", store=store) as made:
        await made.keks.rotate(NEW.id, ALICE)
    async with world(tmp_path / "b", Keks((OLD,)), store) as other:
        with pytest.raises(Problem, match="lacks the key-encryption key that seals") as refused:
            await publish(other)
        await other.put("default", "prompt", Put(value="Be brief."), ALICE)

        assert (refused.value.name, refused.value.status) == ("key-missing", 503)


async def test_a_retry_after_the_exchange_is_known_as_the_same_request(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        put = Put(value="Be brief.", idempotency_key="once")
        first = await made.put("default", "prompt", put, ALICE)
        await made.keks.rotate(NEW.id, ALICE)

        assert (await made.put("default", "prompt", put, ALICE)).body == first.body


async def test_a_new_key_is_added_to_the_file_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    open_source("file", str(path), "").save(Keks((OLD,)))
    async with world(tmp_path / "data", Keks((OLD,))) as made:
        held = HeldKeks(Keks((OLD,)), open_source("file", str(path), "secret_key_file"))
        made.keks._held = held  # as a center gives it
        made_id = (await made.keks.add())["id"]

        assert open_source("file", str(path), "").read().ids == (OLD.id, made_id)
        assert made.keks.current == OLD.id
        assert announced(made.registry.system.state) is None
        with pytest.raises(Problem, match="has no key-encryption key 'other'"):
            await made.keks.rotate("other", ALICE)
        assert (await made.keks.rotate(None, ALICE))["current"] == made_id


async def test_an_exchange_is_joined_to_the_request_that_asked_for_it(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.keks.rotate(None, replace(ALICE, request_id="run-1"))

        head = made.registry.system.head
        assert head is not None
        assert head.header.request == "run-1"
