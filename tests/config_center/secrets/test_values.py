"""Secrets of the past: destroyed, sealed where they stood in clear, sealed anew."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from config_center.access import Actor
from config_center.ledger.inspection import inspect
from config_center.problems import Problem
from config_center.publishing import Put
from config_center.scopes import Reach, Scope
from config_center.service import Service
from config_center.store.memory import MemoryStore
from tests.config_center.ledger.test_recovery import fail_over, saved
from tests.config_center.service_world import ALICE, service

LLM = {"type": "openai", "base_url": "https://a.example/v1", "api_key": "sk-1", "model": "m"}


@contextlib.asynccontextmanager
async def world(home: Path, store: MemoryStore | None = None) -> AsyncIterator[Service]:
    async with service(home, store) as made:
        if "_schema.llm" not in made.ledger("default").state.entries:
            await made.set_schema("default", "llm", {"kind": "llm"}, ALICE)
        yield made


async def publish(made: Service, key: str = "llm", **changes: Any) -> Any:
    return (await made.put("default", key, Put(value={**LLM, **changes}), ALICE)).body


async def shown(made: Service, version: int) -> Any:
    return (await made.key_version("default", "llm", version))["value"]["api_key"]["$sealed"]


async def copies(made: Service) -> list[set[str]]:
    ledger = made.ledger("default")
    store, journal = await ledger.store.read_ring("default"), await ledger.journal.ring("default")
    return [set(ring) for ring in (ledger.ring, store, journal)]


async def marks(made: Service) -> list[Any]:
    """What the history says of each version's secrets, the newest first."""
    rows = (await made.versions("default", "llm", 10, None))["items"]
    return [row.get("shredded") for row in rows]


async def test_a_shredded_secret_is_gone_from_every_copy_of_the_ring(tmp_path: Path) -> None:
    store = MemoryStore()
    async with world(tmp_path, store) as made:
        await publish(made)
        await publish(made, model="n")
        await publish(made, api_key="sk-2")
        before = await copies(made)
        told = await made.secrets.would_shred("default", "llm", 1)
        assert (told["versions"], told["shredded"]) == ([1, 2], None)
        assert await copies(made) == before
        assert await marks(made) == [None, None, None]

        done = await made.secrets.shred("default", "llm", 1, ALICE)

        (dek,) = done["data_keys"]
        assert done["versions"] == [1, 2], "an unchanged secret has one data key"
        assert await copies(made) == [ring - {dek} for ring in before]
        assert [await shown(made, number) for number in (1, 2)] == [{"shredded": True}] * 2
        assert set(await shown(made, 3)) == {"fp"}
        assert dek.encode() not in (tmp_path / "journal.sqlite3-wal").read_bytes()
        again = await made.secrets.shred("default", "llm", 1, ALICE)
        assert again == done
        told = await made.secrets.would_shred("default", "llm", 2)
        assert (told["versions"], told["shredded"]["by"]) == ([1, 2], "alice")
        assert await marks(made) == [None, told["shredded"], told["shredded"]]
        with pytest.raises(Problem, match="version 1 of llm cannot come back") as refused:
            await made.rollback("default", "llm", 1, ALICE)
        assert refused.value.name == "shredded"
    async with world(tmp_path, store) as made:  # what an old copy brings is taken out again
        store.spaces["default"].ring[dek] = "x:AAAA"
        await inspect(made.ledger("default"))
        assert await copies(made) == [ring - {dek} for ring in before]
        assert await marks(made) == [None, told["shredded"], told["shredded"]]


async def test_a_page_of_versions_is_marked_in_one_transaction_of_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as made:
        for number in range(5):
            await publish(made, api_key=f"sk-{number // 3}", model=str(number % 2))
        await made.secrets.shred("default", "llm", 1, ALICE)
        asked, journal = [], made.ledger("default").journal
        transact = journal.transact

        async def counted(work: Any) -> Any:
            asked.append(work)
            return await transact(work)

        monkeypatch.setattr(journal, "transact", counted)

        marked = await marks(made)

        assert [gone is not None for gone in marked] == [False, False, True, True, True]
        assert len(asked) == 2, "the versions, and the bodies of the page"


async def test_what_is_served_is_sealed_anew_before_it_is_shredded(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await publish(made)
        with pytest.raises(Problem, match="version 1 of llm is served"):
            await made.secrets.would_shred("default", "llm", 1)
        with pytest.raises(Problem, match="version 1 of llm is served"):
            await made.secrets.shred("default", "llm", 1, ALICE)
        before = await shown(made, 1)

        done = await made.secrets.reseal("default", "llm", ALICE)
        shredded = await made.secrets.shred("default", "llm", 1, ALICE)

        assert (done["version"], shredded["versions"]) == (2, [1])
        assert await shown(made, 2) == before, "the secret is the same"


async def test_there_has_to_be_something_to_shred(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.put("default", "prompt", Put(value="Be brief."), ALICE)
        await made.put("default", "tts", Put(value={**LLM, "voice": "v"}), ALICE)
        await made.set_schema("default", "tts", {"kind": "tts"}, ALICE)

        for key, version, said in (
            ("prompt", 1, "has no sealed fields"),
            ("prompt", 9, "has no version 9"),
            ("tts", 1, "holds its secret in clear, which no key can take away"),
        ):
            with pytest.raises(Problem, match=said):
                await made.secrets.shred("default", key, version, ALICE)
        with pytest.raises(Problem, match="prompt has no sealed fields"):
            await made.secrets.reseal("default", "prompt", ALICE)


async def test_what_stood_in_clear_is_listed_and_its_newest_version_sealed(tmp_path: Path) -> None:
    async with service(tmp_path) as made:
        await publish(made)
        await publish(made, api_key="sk-2")
        await made.set_schema("default", "llm", {"kind": "llm"}, ALICE)
        listed = await made.secrets.in_clear("default")

        done = await made.secrets.seal("default", ALICE)

        fields = {"key": "llm", "fields": ["/api_key"]}
        assert listed == [
            {"id": "llm@1", **fields, "version": 1, "served": False},
            {"id": "llm@2", **fields, "version": 2, "served": True},
        ]
        assert [(key["key"], key["version"]) for key in done["keys"]] == [("llm", 3)]
        assert done["in_clear"] == [{**row, "served": False} for row in listed]
        assert set(await shown(made, 3)) == {"fp"}
        assert "sk-" not in str(done) + str(listed)
        assert (await made.secrets.seal("default", ALICE))["keys"] == []


async def test_a44_a_changed_host_asks_for_its_key_again_by_every_way_of_publishing(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as made:
        await publish(made)
        seal = {"$sealed": await shown(made, 1)}
        moved = {**LLM, "base_url": "https://evil.example/v1", "api_key": seal}

        async def put() -> None:
            await made.put("default", "llm", Put(value=moved), ALICE)

        async def validate() -> None:
            await made.validate("default", "llm", Put(value=moved), ALICE)

        async def canary() -> None:
            rollout = {"percent": 1, "unit": "device"}
            await made.put("default", "llm", Put(value=moved, rollout=rollout), ALICE)

        async def change() -> None:
            operation = {"op": "put", "key": "llm", "value": {**moved, "api_key": "***"}}
            await made.change("default", [operation], "", None, None, False, ALICE)

        for attempt in (put, validate, canary, change):
            with pytest.raises(Problem) as refused:
                await attempt()
            assert (refused.value.status, refused.value.members["errors"][0]["path"]) == (
                *(422, ".api_key"),
            )
        await made.put("default", "llm", Put(value={**moved, "api_key": "sk-mine"}), ALICE)
        back = await made.rollback("default", "llm", 1, ALICE)
        assert back.body["rollback_of"] == 1, "address and key come back together"


@pytest.mark.parametrize(
    "schema", [{}, {"properties": {"api_key": {"writeOnly": True}}}], ids=["unmarked", "marked"]
)
async def test_a44_a_schema_of_ones_own_does_not_move_a_secret_to_another_host(
    tmp_path: Path, schema: dict[str, Any]
) -> None:
    async with world(tmp_path) as made:
        await publish(made)
        seal = {"$sealed": await shown(made, 1)}
        await made.set_schema("default", "llm", {"json_schema": schema}, ALICE)

        with pytest.raises(Problem, match="send the secret itself") as refused:
            await publish(made, base_url="https://evil.example/v1", api_key=seal)
        assert refused.value.status == 422
        assert (await publish(made, model="n", api_key=seal))["version"] == 2


async def test_what_was_sealed_stays_so_whatever_is_bound_meanwhile(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await publish(made)
        await made.set_schema("default", "llm", {"json_schema": {}}, ALICE)

        await made.secrets.reseal("default", "llm", ALICE)

        content = made.ledger("default").state.entries["llm"].content
        assert content is not None
        assert content.version == 2
        assert b"sk-1" not in (content.body or b"")


async def test_an_admin_of_a_prefix_shreds_within_it(tmp_path: Path) -> None:
    lim = Actor("lim", "admin", reach=Reach((Scope("default", "llm"),)))
    async with world(tmp_path) as made:
        await publish(made)
        await publish(made, api_key="sk-2")

        assert (await made.secrets.shred("default", "llm", 1, lim))["versions"] == [1]


async def test_a42_a_dry_run_confirms_no_guess(tmp_path: Path) -> None:
    """Whoever may read may validate: the warning "the same value" was an oracle for secrets."""
    async with world(tmp_path) as made:
        await publish(made)
        answers = [
            await made.validate("default", "llm", Put(value={**LLM, "api_key": guess}), ALICE)
            for guess in ("sk-1", "sk-2")
        ]

        assert answers == [{"ok": True, "warnings": []}] * 2


async def test_a42_neither_hashes_nor_sizes_nor_tags_tell_a_guess(tmp_path: Path) -> None:
    async with world(tmp_path / "a") as one, world(tmp_path / "b") as other:
        told = []
        for made, secret in ((one, "sk-1"), (other, "sk-1"), (other, "sk-22222")):
            await publish(made, api_key=secret)
            (about,) = (await made.versions("default", "llm", 1, None))["items"]
            told.append(
                (about["sha256"], (await shown(made, about["version"]))["fp"], about["size"])
            )

        hashes, prints, sizes = zip(*told, strict=True)
        assert (len(set(hashes)), len(set(prints)), len(set(sizes))) == (3, 3, 1)


async def test_a_secret_in_an_unmarked_field_is_warned_of_also_in_a_retry(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        put = Put(value={"api_key": "sk-abcdefghijklmnop1234"}, idempotency_key="once")
        first = await made.put("default", "mine", put, ALICE)
        again = await made.put("default", "mine", put, ALICE)

        (warning,) = first.body["warnings"]
        assert warning.startswith("mine: /api_key looks like an API key")
        assert "sk-abc" not in warning
        assert again.body == first.body
        assert (await publish(made))["warnings"] == []


async def shredding_is_lost(home: Path, store: MemoryStore, *, old: bool = False) -> str:
    """
    Center A publishes another secret and shreds version 1, the store loses the latter (``old``:
    both), and B publishes there. The data key.
    """
    async with world(home / "a", store) as a:
        await publish(a)
        before = saved(store)
        await publish(a, api_key="sk-2")
        replica = before if old else saved(store)
        (dek,) = (await a.secrets.shred("default", "llm", 1, ALICE))["data_keys"]
    fail_over(store, replica)
    async with world(home / "b", store) as b:
        await publish(b, model="since then")
    return str(dek)


async def replay_shredding(made: Service, dek: str) -> None:
    orphans = await made.recovery.orphans("default")
    names = {orphan["keys"][0]["key"]: orphan["id"] for orphan in orphans}
    await made.recovery.decide("default", names[f"_shredded.{dek}"], "replay", ALICE)


async def test_a_shredding_that_was_lost_comes_back_by_one_person_whatever_is_frozen(
    tmp_path: Path,
) -> None:
    """It brings no content, so no rule of the hour stands in its way."""
    store = MemoryStore()
    dek = await shredding_is_lost(tmp_path, store)
    async with world(tmp_path / "a", store) as a:
        assert set(await shown(a, 1)) == {"fp"}, "the store's old ring opens it until then"
        rules = {"two_person": True, "staged": True, "precondition": True}
        await a.policies.set_rules("default", rules, ALICE)
        await a.policies.freeze_center("incident 4711", ALICE)
        await a.policies.freeze("default", "incident 4712", ALICE)

        await replay_shredding(a, dek)

        assert await a.recovery.orphans("default") == []
        assert not any(dek in ring for ring in await copies(a))
        assert await shown(a, 1) == {"shredded": True}
        assert set(await shown(a, 3)) == {"fp"}


async def test_a_shredding_that_was_lost_takes_no_secret_that_is_served_by_now(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    dek = await shredding_is_lost(tmp_path, store, old=True)
    async with world(tmp_path / "a", store) as a:
        assert set(await shown(a, 2)) == {"fp"}, "published since, with the secret of version 1"
        with pytest.raises(Problem, match="is served and has this secret"):
            await replay_shredding(a, dek)
        assert set(await shown(a, 2)) == {"fp"}
