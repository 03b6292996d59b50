"""One center on a memory store: what rotation does step by step, and after a crash in between."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import random
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from client_sdk.errors import NotVerified
from client_sdk.records import Record
from client_sdk.signing import SigningKey, TrustList, Verifier
from config_center import succession
from config_center.journal import Journal
from config_center.keys import CenterKeys, KeyFiles, load, load_or_create, prepare_newcomer
from config_center.ledger.keeper import Rhythm
from config_center.ledger.proof import check_rows
from config_center.ledger.registry import Registry
from config_center.ledger.words import KeyRefused, Mode, Planned
from config_center.ledger.writer import sign
from config_center.problems import Problem
from config_center.rotation import Rotation
from config_center.store.memory import MemoryStore
from tests.config_center.ledger.world import draft
from tests.history import STRANGER
from tests.until import until

STILL = Rhythm(beat_every=3600, guard_every=3600, prune_every=3600)
NOW = 1_700_000_000_000


@contextlib.asynccontextmanager
async def center(
    data: Path, store: MemoryStore, *, every: float = 0.001, rhythm: Rhythm = STILL
) -> AsyncIterator[Rotation]:
    keys = await asyncio.to_thread(_keys, data)
    journal = await Journal.open(data / "journal.sqlite3")
    registry = Registry(store, journal, keys.signing, Verifier(keys.trust), "center-1", rhythm)
    rotation = Rotation(
        registry, KeyFiles(data), every=every, clock_ms=lambda: NOW, rng=secrets.token_bytes
    )
    try:
        await registry.open()
        await registry.publish_trust()
        rotation.start()
        yield rotation
    finally:
        await rotation.close()
        await registry.close()
        await journal.close()


def _keys(data: Path) -> CenterKeys:
    data.mkdir(exist_ok=True)
    return load_or_create(data, random.Random(4).randbytes)


def registry_of(rotation: Rotation) -> Registry:
    return rotation._registry


def trust_of(rotation: Rotation) -> TrustList:
    return registry_of(rotation).lists.newest


async def refused(rotation: Rotation, kid: str) -> None:
    await until(lambda: kid in trust_of(rotation).refused)


async def test_a35_every_namespace_stands_on_the_new_key_before_the_old_is_refused(
    tmp_path: Path,
) -> None:
    data, store = tmp_path / "a", MemoryStore()
    async with center(data, store) as rotation:
        registry = registry_of(rotation)
        ledger = registry.get("default")
        await ledger.submit(draft("k", 1))
        old = registry.key

        await rotation.do("rotate")
        await refused(rotation, old.kid)
        await until(lambda: not list(data.glob("*.next.*")))

        heads = [each.head.header for each in registry.ledgers.values()]
        assert {(head.type, head.kid) for head in heads} == {("rekey", registry.key.kid)}
        assert load(data).signing.kid == registry.key.kid
        assert load(data).trust == trust_of(rotation)
        await ledger.submit(draft("k", 2))
    async with center(data, store) as rotation:  # all of its history is there and verified
        ledger = registry_of(rotation).get("default")
        assert ledger.mode is Mode.READY
        assert [r.header.type for r in await ledger.journal.above("default", (0, 0))] == [
            "create",
            "put",
            "rekey",
            "put",
        ]


async def test_a35_a_line_that_only_the_old_key_ends_is_tampering(tmp_path: Path) -> None:
    async with center(tmp_path / "a", MemoryStore()) as rotation:
        registry = registry_of(rotation)
        thief, ledger = registry.key, registry.get("default")
        await rotation.do("rotate")
        await refused(rotation, thief.kid)
        before = ledger.state
        forged = _forge(ledger.head, thief)

        with pytest.raises(NotVerified, match="not signed by a trusted key"):
            check_rows("default", registry.verifier, [ledger.head, forged])

        assert ledger.state is before


def _forge(head: Record, thief: SigningKey) -> Record:
    header = replace(head.header, v=head.header.v + 1, p=head.c, kid=thief.kid, id="forged")
    return Record.issue(header, thief)


async def test_a_rotation_that_a_crash_cut_off_goes_on_at_the_next_start(tmp_path: Path) -> None:
    data, store = tmp_path / "a", MemoryStore()
    async with center(data, store, every=3600) as rotation:  # it announces for ten hours
        old = registry_of(rotation).key.kid
        await rotation.do("rotate")
        words = await rotation.words()

        assert words["waits_for"] == "" or "the next key" in words["waits_for"]
        assert {row["state"] for row in words["keys"]} == {"leaving", "next"}
        assert registry_of(rotation).key.kid == old
    async with center(data, store) as rotation:
        await refused(rotation, old)

        assert registry_of(rotation).get("default").head.header.type == "rekey"
        assert (await rotation.words())["waits_for"] == ""


async def test_a_namespace_that_takes_no_changes_holds_the_retirement(tmp_path: Path) -> None:
    async with center(tmp_path / "a", MemoryStore(), every=0.01) as rotation:
        registry = registry_of(rotation)
        old, ledger = registry.key.kid, registry.get("default")
        await until(lambda: ledger.newest_beat is not None)
        ledger.set_mode(Mode.UNREACHABLE, "the store is away")

        await rotation.do("rotate")
        await until(lambda: "default" in rotation._waits_for)

        assert registry.key.kid != old
        assert old in trust_of(rotation).keys
        ledger.set_mode(Mode.READY)
        await refused(rotation, old)


async def test_a35_a_stolen_key_is_refused_at_once_and_each_namespace_begins_a_new_epoch(
    tmp_path: Path,
) -> None:
    async with center(tmp_path / "a", MemoryStore(), every=3600) as rotation:
        registry = registry_of(rotation)
        old, epochs = registry.key.kid, _epochs(registry)

        await rotation.do("revoke", old)
        await until(lambda: all(a > b for a, b in zip(_epochs(registry), epochs, strict=True)))

        assert trust_of(rotation).refused[old].why == "revoked"
        heads = [each.head.header for each in registry.ledgers.values()]
        assert {(head.type, head.kid) for head in heads} == {("adopt", registry.key.kid)}
        signed = {(r["namespace"], r["type"]) for r in await rotation.signed_by(old, 0)}
        assert signed == {("_system", "create"), ("_system", "put"), ("default", "create")}


def _epochs(registry: Registry) -> list[int]:
    return [ledger.state.position.e for _, ledger in sorted(registry.ledgers.items())]


async def test_without_the_root_it_says_what_to_type_and_changes_nothing(tmp_path: Path) -> None:
    data = tmp_path / "a"
    async with center(data, MemoryStore()) as rotation:
        (data / "root.key").unlink()

        for what, kid in (("rotate", None), ("revoke", registry_of(rotation).key.kid)):
            typed = "trust request FILE" + (f" --{what} {kid};" if kid else ";")
            with pytest.raises(Problem, match=typed) as refusal:
                await rotation.do(what, kid)
            assert (refusal.value.name, refusal.value.status) == ("root-offline", 409)

        assert trust_of(rotation).version == 1


async def test_what_the_root_signed_elsewhere_is_installed_once(tmp_path: Path) -> None:
    async with center(tmp_path / "a", MemoryStore()) as rotation:
        old = registry_of(rotation).key.kid
        root = load(tmp_path / "a").root
        lists = succession.sign(await rotation.request("rotate"), root)
        documents = orjson.loads(succession.encode_signed(lists))["lists"]

        await rotation.install(documents)
        await refused(rotation, old)

        with pytest.raises(Problem, match="none is newer"):
            await rotation.install(documents)


async def test_a_list_of_another_root_or_without_a_key_of_ours_is_not_installed(
    tmp_path: Path,
) -> None:
    async with center(tmp_path / "a", MemoryStore()) as rotation:
        root = load(tmp_path / "a").root
        foreign = TrustList.issue(STRANGER, {STRANGER.kid: STRANGER.public}, 2)
        without = TrustList.issue(root, {STRANGER.kid: STRANGER.public}, 2)

        for trust, why in ((foreign, "is pinned"), (without, "trusts neither")):
            with pytest.raises(Problem, match=why):
                await rotation.install([orjson.loads(trust.encode())])

        assert trust_of(rotation).version == 1


@pytest.mark.parametrize("what", ["retire", "revoke"])
async def test_a_key_that_nobody_trusts_cannot_be_refused(tmp_path: Path, what: str) -> None:
    async with center(tmp_path / "a", MemoryStore()) as rotation:
        with pytest.raises(Problem, match="does not trust the key"):
            await rotation.do(what, "0" * 16)
        with pytest.raises(Problem, match="rotate it instead"):
            await rotation.do("retire", registry_of(rotation).key.kid)


async def test_a_second_center_takes_the_newest_list_from_the_store(tmp_path: Path) -> None:
    """Its own key came by `trust request --new-center`; the first then rotates, and it follows."""
    store = MemoryStore()
    async with center(tmp_path / "a", store) as first:
        second = _newcomer(tmp_path, first)
        (listed,) = succession.sign(second, load(tmp_path / "a").root)
        await first.install([orjson.loads(listed.encode())])
        (tmp_path / "b" / "trust.json").write_bytes(trust_of(first).encode())
        quick = Rhythm(beat_every=0.02, guard_every=0.05, prune_every=3600)
        async with center(tmp_path / "b", store, rhythm=quick) as other:
            theirs = registry_of(other)
            old = registry_of(first).key.kid
            assert theirs.key.kid != old
            await theirs.get("default").submit(draft("k", 1))

            await first.do("rotate")
            await refused(first, old)
            await refused(other, old)

            await theirs.get("default").submit(draft("k", 2))
            assert load(tmp_path / "b").trust == trust_of(first)


def _newcomer(home: Path, first: Rotation) -> succession.Request:
    (home / "b").mkdir()
    (home / "b" / "trust.json").write_bytes(trust_of(first).encode())
    (home / "b" / "secrets.key").write_bytes((home / "a" / "secrets.key").read_bytes())
    (home / "b" / "secrets.key").chmod(0o600)
    base, key = prepare_newcomer(home / "b", random.Random(9).randbytes)
    return succession.newcomer(base, key.public, NOW)


async def test_a35_a_center_whose_key_is_refused_publishes_nothing_until_it_has_another(
    tmp_path: Path,
) -> None:
    async with center(tmp_path / "a", MemoryStore(), every=0.01) as rotation:
        registry = registry_of(rotation)
        ledger, root = registry.get("default"), load(tmp_path / "a").root
        request = succession.refusal(
            trust_of(rotation), registry.key.kid, "revoked", NOW, STRANGER.public
        )
        (listed,) = succession.sign(request, root)
        await registry.lists.take(listed)  # another center brought it

        with pytest.raises(Problem, match="config-center trust rotate") as refusal:
            await ledger.submit(draft("k", 1))
        assert (refusal.value.name, ledger.mode) == ("key-refused", Mode.REFUSED)
        with pytest.raises(KeyRefused):
            sign(ledger, draft("k", 1), Planned(()), ledger.state)

        await rotation.do("rotate")
        await until(lambda: registry.key.kid in trust_of(rotation).keys)
        async with ledger.lock:
            await ledger.refresh()
        await until(lambda: ledger.mode is Mode.READY)
        await ledger.submit(draft("k", 2))


async def test_a_store_that_fell_back_behind_the_rotation_is_brought_forward(
    tmp_path: Path,
) -> None:
    """Its head is of a key that is refused by now, but lies in our own verified history."""
    data, store = tmp_path / "a", MemoryStore()
    async with center(data, store) as rotation:
        ledger = registry_of(rotation).get("default")
        await ledger.submit(draft("k", 1))
        behind = copy.deepcopy(store.spaces)
        old = registry_of(rotation).key.kid
        await rotation.do("rotate")
        await refused(rotation, old)
        await ledger.submit(draft("k", 2))
        position = ledger.state.position
    store.spaces = behind
    async with center(data, store) as rotation:
        ledger = registry_of(rotation).get("default")

        assert (ledger.mode, ledger.reason) == (Mode.READY, "")
        assert ledger.state.position > position
        assert ledger.state.entries["k"].latest == 2
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a35_who_proves_to_run_what_a_thief_signed_is_outbid_and_nothing_is_missed(
    tmp_path: Path,
) -> None:
    """His record is no loss to wait for; but a client that has it never goes back below it."""
    async with center(tmp_path / "a", MemoryStore(), every=3600) as rotation:
        registry = registry_of(rotation)
        thief, ledger = registry.key, registry.get("default")
        await rotation.do("revoke", thief.kid)
        await until(lambda: ledger.head.header.type == "adopt")
        head = ledger.head
        forged = Record.issue(replace(head.header, e=head.header.e + 5000, kid=thief.kid), thief)
        leap = Record.issue(replace(head.header, e=2**52, kid=thief.kid), thief)

        ledger.hear_of("gw-2", leap)
        assert ledger.heard == {}
        ledger.hear_of("gw-1", forged)
        async with ledger.lock:
            await ledger.refresh()

        assert (ledger.mode, ledger.reason) == (Mode.READY, "")
        assert ledger.state.position.e > forged.header.e
