"""The two-person rule on a real ledger: drafts, approval, and everything that may come between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from client_sdk.keks import Kek, Keks
from client_sdk.sealing import FINGERPRINT, open_value
from config_center.access import TOKEN_PREFIX, Actor
from config_center.bounds import Limits
from config_center.ledger.words import Committed
from config_center.problems import Problem
from config_center.publishing import Put
from config_center.review import stored
from config_center.scopes import Reach, Scope
from config_center.service import Service
from config_center.store.memory import MemoryStore
from tests.config_center.service_world import ALICE, KEK, NOW, service

NS = "default"
PAT = Actor("pat", "publisher", "p" * 16)
BOB = Actor("bob", "approver", "b" * 16)
CAT = Actor("cat", "approver", "c" * 16)
SECRET = "sk-canary-7f3a"
LLM = {"type": "openai", "base_url": "http://x", "api_key": SECRET, "model": "m"}


@contextlib.asynccontextmanager
async def guarded(home: Path, store: MemoryStore | None = None) -> AsyncIterator[Service]:
    """``default`` with ``prompt`` at version 1, and two persons from then on."""
    async with service(home, store) as center:
        await center.put(NS, "prompt", Put(value="old"), ALICE)
        await center.policies.set_rules(NS, {"two_person": True}, ALICE)
        yield center


def change(value: object = "new", key: str = "prompt", **more: Any) -> dict[str, Any]:
    return {"operations": [{"op": "put", "key": key, "value": value}], **more}


async def give_token(center: Service, actor: Actor, **about: Any) -> None:
    """A record of this actor's token, as if an admin had made it; none of ALICE, who has none."""
    key = TOKEN_PREFIX + actor.token_id
    if actor.token_id and key not in center.registry.system.state.entries:
        plain = {"name": actor.name, "role": actor.role, "scopes": actor.reach.to_json(), **about}
        await center.tokens._write(key, plain, ALICE)


async def drafted(
    center: Service,
    asked: dict[str, Any] | None = None,
    by: Actor = PAT,
    key: str | None = None,
) -> Any:
    await give_token(center, by)
    return await center.drafts.create(NS, change() if asked is None else asked, by, key)


async def approve(center: Service, draft: dict[str, Any], by: Actor = BOB) -> dict[str, Any]:
    return await center.drafts.approve(NS, draft["id"], draft["content"], by)


async def refusal(call: Awaitable[object]) -> str:
    with pytest.raises(Problem) as refused:
        await call
    return f"{refused.value.status} {refused.value.name}"


async def state_of(center: Service, draft: dict[str, Any]) -> str:
    return str((await center.drafts.get(NS, draft["id"], BOB))["state"])


def value(center: Service, key: str = "prompt") -> Any:
    return orjson.loads(center.key_bytes(NS, key)[0])["value"]


def opened(center: Service, key: str, keks: Keks | None = None) -> Any:
    """What a client with these KEKs has of a key."""
    entry, ring = center.ledger(NS).state.entries[key], center.spaces[NS]._known_ring()
    assert entry.content is not None
    return open_value(orjson.loads(entry.content.body or b""), NS, key, ring, keks or Keks((KEK,)))


async def on_disk(home: Path) -> bytes:
    files = await asyncio.to_thread(lambda: [p for p in home.iterdir() if p.is_file()])
    return b"".join([await asyncio.to_thread(path.read_bytes) for path in files])


async def caught_up(*centers: Service) -> None:
    """Each has read what the others wrote."""
    for center in centers:
        for ledger in center.registry.ledgers.values():
            async with ledger.lock:
                await ledger.refresh()


async def test_what_one_wrote_another_publishes_and_history_names_both(tmp_path: Path) -> None:
    async with guarded(tmp_path) as center:
        draft = await drafted(center, change(comment="shorter"))
        assert (draft["state"], draft["author"], value(center)) == ("waiting", "pat", "old")
        assert draft["changes"] == [
            {
                "key": "prompt",
                "op": "put",
                "changes": [{"op": "replace", "path": "", "old": "old", "new": "new"}],
            }
        ]

        done = await approve(center, draft)

        assert value(center) == "new"
        assert (done["state"], done["author"], done["approved_by"]) == ("published", "pat", "bob")
        assert done["keys"][0]["version"] == 2
        newest = (await center.versions(NS, "prompt", 1, None))["items"][0]
        assert (newest["author"], newest["approved_by"], newest["comment"]) == (
            "pat",
            "bob",
            "shorter",
        )
        assert orjson.loads(center.key_bytes(NS, "prompt")[0])["approved_by"] == "bob"
        ended = await center.drafts.get(NS, draft["id"], BOB)
        assert (ended["state"], ended["closed"]["by"], ended["changes"]) == ("published", "bob", [])


async def test_a5_a_plain_publish_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    async with guarded(tmp_path) as center:
        for actor in (PAT, ALICE):
            calls = [
                center.put(NS, "prompt", Put(value=1), actor),
                center.delete(NS, "prompt", actor),
                center.change(NS, change()["operations"], "", None, None, False, actor),
            ]
            assert [await refusal(call) for call in calls] == ["409 needs-approval"] * 3
        with pytest.raises(Problem, match=r"make a draft \(POST \.\.\./drafts\)"):
            await center.put(NS, "prompt", Put(value=1), PAT)
        assert value(center) == "old"


async def test_a5_a_publisher_does_not_approve_what_they_wrote(tmp_path: Path) -> None:
    async with guarded(tmp_path) as center:
        by_pat, by_alice = await drafted(center), await drafted(center, by=ALICE)

        assert await refusal(approve(center, by_pat, PAT)) == "403 forbidden"
        renamed = Actor("somebody", "admin", PAT.token_id)
        assert await refusal(approve(center, by_pat, renamed)) == "403 forbidden"
        assert await refusal(approve(center, by_alice, ALICE)) == "403 forbidden"
        assert value(center) == "old"


async def test_a5_an_approver_cannot_edit_what_they_approve(tmp_path: Path) -> None:
    """There is nothing to edit: an id stands for one content, and the hash says which."""
    async with guarded(tmp_path) as center:
        draft = await drafted(center)
        newer = await drafted(center, change("newer", replaces=draft["id"]))

        assert newer["id"] != draft["id"]
        assert await refusal(approve(center, draft)) == "409 draft-ended"
        wrong = center.drafts.approve(NS, newer["id"], draft["content"], BOB)
        assert await refusal(wrong) == "412 version-moved"
        assert await refusal(drafted(center, change(replaces=newer["id"]), BOB)) == "403 forbidden"
        other = Actor("eve", "publisher", "e" * 16)
        known = len(await center.drafts.listed(NS, BOB))
        assert (
            await refusal(drafted(center, change(replaces=newer["id"]), other)) == "403 forbidden"
        )
        assert (len(await center.drafts.listed(NS, BOB)), value(center)) == (known, "old")
        await approve(center, newer)
        assert value(center) == "newer"


async def test_a_key_that_moved_makes_an_approval_void(tmp_path: Path) -> None:
    async with guarded(tmp_path) as center:
        draft = await drafted(center)
        other = await drafted(center, change(1, "other"))
        await center.rollback(NS, "prompt", 1, PAT)

        shown = await center.drafts.get(NS, draft["id"], BOB)
        assert (shown["state"], shown["moved"]) == ("moved", ["prompt"])
        assert await refusal(approve(center, draft)) == "412 version-moved"
        await approve(center, other)
        assert value(center, "other") == 1


async def test_an_approval_asked_again_answers_the_same_and_publishes_once(tmp_path: Path) -> None:
    async with guarded(tmp_path) as center:
        draft = await drafted(center)
        first = await approve(center, draft)
        again = await approve(center, draft)

        assert again == {**first, "warnings": []}
        assert len((await center.versions(NS, "prompt", 10, None))["items"]) == 2
        assert await refusal(approve(center, draft, CAT)) == "409 already-committed"
        late = center.drafts.reject(NS, draft["id"], CAT)
        assert await refusal(late) == "409 draft-ended"


async def test_a_draft_made_again_under_its_key_is_the_same_draft(tmp_path: Path) -> None:
    async with guarded(tmp_path) as center:
        first = await center.drafts.create(NS, change(), PAT, "k1")
        again = await center.drafts.create(NS, change(), PAT, "k1")
        other = center.drafts.create(NS, change("other"), PAT, "k1")

        assert first == again
        assert len(await center.drafts.listed(NS, BOB)) == 1
        assert await refusal(other) == "422 id-reused"


async def test_a_restart_keeps_drafts(tmp_path: Path) -> None:
    store = MemoryStore()
    async with guarded(tmp_path, store) as center:
        draft = await drafted(center)
    async with service(tmp_path, store) as center:
        assert (await center.drafts.listed(NS, BOB))[0]["content"] == draft["content"]
        await approve(center, draft)
        assert value(center) == "new"


async def test_what_the_store_lost_comes_back_with_the_name_of_who_approved_it(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with guarded(tmp_path, store) as center:
        draft = await drafted(center)
        held = store.spaces[NS]
        saved = (held.head, dict(held.log), dict(held.rows), set(held.ids))
        await approve(center, draft)
    held.head, held.log, held.rows, held.ids = saved
    store.restart()
    async with service(tmp_path, store) as center:
        newest = (await center.versions(NS, "prompt", 1, None))["items"][0]
        assert newest["epoch"] > 1
        assert (newest["author"], newest["approved_by"]) == ("pat", "bob")
        assert (await approve(center, draft))["state"] == "published"


async def test_a_draft_of_one_center_is_approved_at_another(tmp_path: Path) -> None:
    store = MemoryStore()
    async with guarded(tmp_path / "a", store) as one, service(tmp_path / "b", store) as two:
        draft = await drafted(one)
        await caught_up(two)
        await approve(two, draft)
        await caught_up(one)

        assert value(one) == "new"
        assert await state_of(one, draft) == "published"


async def test_of_two_centers_that_decide_at_once_the_first_wins(tmp_path: Path) -> None:
    store = MemoryStore()
    async with guarded(tmp_path / "a", store) as one, service(tmp_path / "b", store) as two:
        for first, second, wanted in (
            ("approve", "reject", "409 already-committed"),
            ("reject", "approve", "409 draft-ended"),
            ("approve", "approve", "409 already-committed"),
        ):
            await caught_up(one, two)
            draft = await drafted(one, change(f"{first} {second}"))
            await caught_up(two)
            calls = {
                "approve": lambda c, by, d=draft: approve(c, d, by),
                "reject": lambda c, by, d=draft: c.drafts.reject(NS, d["id"], by),
            }

            await calls[first](one, BOB)

            assert await refusal(calls[second](two, CAT)) == wanted, (first, second)
        assert value(one) == "approve approve"


async def test_a_draft_whose_mark_was_lost_is_known_from_history(tmp_path: Path) -> None:
    """Between the publish and the mark in the draft's own record the center may die."""
    async with guarded(tmp_path) as center:
        draft, other = await drafted(center), await drafted(center, change(1, "other"))
        found = stored.draft_of(center.registry.system.state, NS, draft["id"])

        async def fails(_: object) -> Committed:
            raise Problem("store-unavailable", "the store went away here")

        center.registry.system.submit = fails  # type: ignore[method-assign]
        await approve(center, draft)
        await center.drafts.reject(NS, other["id"], BOB)

        now = stored.draft_of(center.registry.system.state, NS, draft["id"])
        assert (found.state, now.state) == ("waiting", "waiting")
        assert await state_of(center, draft) == "published"
        assert await state_of(center, other) == "withdrawn"
        assert await refusal(approve(center, other)) == "409 draft-ended"


async def test_a_draft_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with guarded(tmp_path) as center:
        draft = await drafted(center)
        monkeypatch.setattr(center.drafts, "_clock_ms", lambda: NOW + stored.LIFE_MS)

        assert await state_of(center, draft) == "expired"
        assert await refusal(approve(center, draft)) == "409 draft-ended"


async def test_who_wrote_a_draft_withdraws_it_and_others_reject_it(tmp_path: Path) -> None:
    async with guarded(tmp_path) as center:
        mine, theirs = await drafted(center), await drafted(center)

        assert await refusal(center.drafts.withdraw(NS, mine["id"], BOB)) == "403 forbidden"
        assert (await center.drafts.withdraw(NS, mine["id"], PAT))["state"] == "withdrawn"
        rejected = await center.drafts.reject(NS, theirs["id"], BOB, "the key is wrong")
        assert (rejected["state"], rejected["closed"]["comment"]) == (
            "rejected",
            "the key is wrong",
        )
        for draft in (mine, theirs):
            assert await refusal(approve(center, draft)) == "409 draft-ended"
        assert await refusal(center.drafts.reject(NS, mine["id"], BOB)) == "409 draft-ended"
        assert await refusal(center.drafts.withdraw(NS, "nowhere", PAT)) == "404 not-found"


async def test_a_draft_is_not_voided_by_a_publisher_who_did_not_write_it(tmp_path: Path) -> None:
    eve = Actor("eve", "publisher", "e" * 16)
    async with guarded(tmp_path) as center:
        draft = await drafted(center)

        assert await refusal(center.cancel_change(NS, draft["id"], eve)) == "403 forbidden"
        await approve(center, draft)
        mine = await drafted(center)
        assert (await center.cancel_change(NS, mine["id"], PAT))["state"] == "cancelled"
        theirs = await drafted(center)
        assert (await center.cancel_change(NS, theirs["id"], ALICE))["state"] == "cancelled"


async def test_a_secret_in_a_draft_is_sealed_where_it_lies_and_masked_where_it_is_shown(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with service(tmp_path, store) as center:
        await center.set_schema(NS, "llm", {"kind": "llm"}, ALICE)
        await center.policies.set_rules(NS, {"two_person": True}, ALICE)
        draft = await drafted(center, change(LLM, "llm"), key="k1")
        ring = dict(center.ledger(NS).ring)
        assert (await drafted(center, change(LLM, "llm"), key="k1"))["id"] == draft["id"]
        with pytest.MonkeyPatch.context() as full:
            few = center.drafts._limits.model_copy(update={"drafts_per_author": 1})
            full.setattr(center.drafts, "_limits", few)
            assert (await drafted(center, change(LLM, "llm"), key="k1"))["id"] == draft["id"]
        assert center.ledger(NS).ring == ring
        again = await center.drafts.get(NS, draft["id"], BOB)
        listed = await center.drafts.listed(NS, BOB)
        done = await approve(center, draft)

        shown = orjson.dumps([draft, again, listed, done])
        assert b"$sealed" in shown
        assert SECRET.encode() not in shown
        assert b'"ct"' not in shown  # and no ciphertext that could be carried elsewhere
        assert opened(center, "llm")["api_key"] == SECRET
    held = await on_disk(tmp_path)
    assert b"sealed" in held
    assert SECRET.encode() not in held
    assert SECRET not in str(vars(store))


async def test_secrets_that_were_drafted_before_the_first_publish_still_open(
    tmp_path: Path,
) -> None:
    """The namespace had no fingerprint key when the draft was made, and has one when it is
    approved."""
    store = MemoryStore()
    async with service(tmp_path / "a", store) as one, service(tmp_path / "b", store) as two:
        for key in ("llm", "tts"):
            await one.set_schema(NS, key, {"kind": "llm"}, ALICE)
        await caught_up(two)
        draft = await drafted(one, change(LLM, "llm"))
        await two.put(NS, "tts", Put(value=LLM), ALICE)
        await caught_up(one, two)
        before = one.ledger(NS).ring["fp"]

        await approve(one, draft)

        assert opened(one, "llm")["api_key"] == SECRET
        assert one.ledger(NS).ring["fp"] == before


async def test_a_draft_outlives_an_exchange_of_the_key_encryption_key(tmp_path: Path) -> None:
    new = Kek.from_secret(b"n" * 32)
    async with service(tmp_path, keks=Keks((KEK, new))) as center:
        await center.set_schema(NS, "llm", {"kind": "llm"}, ALICE)
        draft = await drafted(center, change(LLM, "llm"))
        assert (await center.keks.rotate(new.id, ALICE))["left"] == 0
        await center.keks.drop(KEK.id, ALICE)

        await approve(center, draft)

        assert opened(center, "llm", Keks((new,)))["api_key"] == SECRET


async def test_a_draft_whose_data_key_is_gone_is_void(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        await center.set_schema(NS, "llm", {"kind": "llm"}, ALICE)
        draft = await drafted(center, change(LLM, "llm"))
        ledger = center.ledger(NS)
        await ledger.store.drop_ring(NS, list(ledger.ring))
        await ledger.journal.drop_ring(NS, list(ledger.ring))
        ledger.ring = {}

        assert await refusal(approve(center, draft)) == "409 draft-ended"
        assert "llm" not in ledger.state.entries


async def test_a_draft_with_a_secret_is_approved_at_another_center(tmp_path: Path) -> None:
    store = MemoryStore()
    async with service(tmp_path / "a", store) as one, service(tmp_path / "b", store) as two:
        await one.set_schema(NS, "llm", {"kind": "llm"}, ALICE)
        draft = await drafted(one, change(LLM, "llm"))
        await caught_up(two)
        two.ledger(NS).ring = {}  # nothing has told it of the new data key

        await approve(two, draft)

        assert opened(two, "llm")["api_key"] == SECRET


async def test_no_record_keeps_the_data_key_of_a_draft_that_is_shredded_later(
    tmp_path: Path,
) -> None:
    async with service(tmp_path) as center:
        await center.set_schema(NS, "llm", {"kind": "llm"}, ALICE)
        draft = await drafted(center, change(LLM, "llm"))
        await approve(center, draft)
        (dek,) = (name for name in center.ledger(NS).ring if name != FINGERPRINT)
        wrapped = center.ledger(NS).ring[dek].encode()
        assert wrapped in await on_disk(tmp_path)
        await center.put(NS, "llm", Put(value={**LLM, "api_key": "another"}), ALICE)

        await center.secrets.shred(NS, "llm", 1, ALICE)

        assert wrapped not in await on_disk(tmp_path)


async def test_what_there_is_no_room_for_leaves_no_data_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "PLACES", 1)
    async with service(tmp_path) as center:
        await center.set_schema(NS, "llm", {"kind": "llm"}, ALICE)
        await drafted(center, change(LLM, "llm"))
        before = dict(center.ledger(NS).ring)

        assert await refusal(drafted(center, change(LLM, "llm"))) == "413 too-large"
        assert center.ledger(NS).ring == before


async def test_a_field_that_became_secret_meanwhile_is_sealed_when_it_is_approved(
    tmp_path: Path,
) -> None:
    async with service(tmp_path) as center:
        draft = await drafted(center, change(LLM, "llm"))
        await center.set_schema(NS, "llm", {"kind": "llm"}, ALICE)

        assert SECRET not in str(await center.drafts.get(NS, draft["id"], BOB))
        await approve(center, draft)
        entry = center.ledger(NS).state.entries["llm"]
        assert entry.content is not None
        assert SECRET.encode() not in (entry.content.body or b"")


async def test_a_draft_that_does_not_fit_any_more_is_refused(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        draft = await drafted(center, change({"no": "llm"}, "llm"))
        await center.set_schema(NS, "llm", {"kind": "llm"}, ALICE)

        assert await refusal(approve(center, draft)) == "422 schema"


async def test_a_draft_may_hold_a_rollout_removals_and_texts(tmp_path: Path) -> None:
    async with guarded(tmp_path) as center:
        operations = [
            {"op": "delete", "key": "prompt"},
            {"op": "put", "key": "conf", "value": "a: 1\n", "format": "yaml"},
        ]
        rollout = {"percent": 10, "unit": "device"}
        draft = await drafted(center, {"operations": operations, "rollout": rollout})
        removed = draft["changes"][0]
        assert removed["changes"] == [{"op": "remove", "path": "", "old": "old"}]

        done = await approve(center, draft)

        assert done["rollout"]["percent"] == 10
        await center.rollouts.move(NS, "conf", "promote", {}, PAT)
        shown = orjson.loads(center.key_bytes(NS, "conf")[0])
        assert (shown["value"], shown["text"]) == ({"a": 1}, "a: 1\n")
        with pytest.raises(Problem):
            center.key_bytes(NS, "prompt")


async def test_a_schema_needs_two_persons_and_an_admin(tmp_path: Path) -> None:
    async with guarded(tmp_path) as center:
        body = {"kind": "llm"}
        alone = center.set_schema(NS, "llm", body, ALICE)
        assert await refusal(alone) == "409 needs-approval"
        asked = {"schema": body, "key": "llm"}
        assert await refusal(drafted(center, asked, PAT)) == "403 forbidden"

        draft = await drafted(center, asked, ALICE)
        assert draft["changes"][0]["changes"] == [{"op": "add", "path": "/kind", "new": "llm"}]
        await approve(center, draft)

        assert center.get_schema(NS, "llm")["kind"] == "llm"


async def test_two_persons_switch_the_rule_off(tmp_path: Path) -> None:
    async with guarded(tmp_path) as center:
        asked = {"policy": {"two_person": False}, "comment": "the test is over"}
        assert await refusal(drafted(center, asked, PAT)) == "403 forbidden"
        draft = await drafted(center, asked, ALICE)
        assert draft["changes"][0]["changes"] == [
            {"op": "replace", "path": "/two_person", "old": True, "new": False}
        ]

        await approve(center, draft)

        assert center.policies.show(NS)["two_person"] is False
        await center.put(NS, "prompt", Put(value="alone"), PAT)


async def test_drafts_keep_the_other_rules(tmp_path: Path) -> None:
    async with guarded(tmp_path) as center:
        await center.policies.set_rules(NS, {"staged": True, "precondition": True}, ALICE)
        assert await refusal(drafted(center)) == "409 needs-rollout"

        draft = await drafted(center, change(rollout={"percent": 10, "unit": "device"}))
        await center.policies.freeze(NS, "incident", ALICE)
        prepared = await drafted(center, change(1, "b", rollout={"percent": 1, "unit": "device"}))
        assert await refusal(approve(center, draft)) == "503 frozen"
        await center.policies.unfreeze(NS, "", ALICE)
        await approve(center, draft)
        await approve(center, prepared)


async def test_the_same_draft_approved_twice_at_once_is_published_once(tmp_path: Path) -> None:
    async with guarded(tmp_path) as center:
        draft = await drafted(center)

        first, second = await asyncio.gather(approve(center, draft), approve(center, draft))

        assert {first["revision"], second["revision"]} == {4}


async def test_what_a_publish_would_refuse_a_draft_refuses(tmp_path: Path) -> None:
    async with guarded(tmp_path) as center:
        bad: list[dict[str, Any]] = [
            {},
            {**change(), "policy": {"staged": True}},
            change(key="Not A Key"),
            {"schema": {"kind": "llm"}},
            {"schema": {"kind": "no-such"}, "key": "llm"},
            {"policy": {"frozen": True}},
            change(comment="x" * 1001),
        ]
        for asked in bad:
            assert await refusal(drafted(center, asked, ALICE)) == "400 invalid", asked
        stale = {"op": "put", "key": "prompt", "value": 1, "if_version": 7}
        assert await refusal(drafted(center, {"operations": [stale]})) == "412 version-moved"
        assert await center.drafts.listed(NS, BOB) == []


async def test_a5_what_a_revoked_token_left_behind_is_not_published(tmp_path: Path) -> None:
    async with guarded(tmp_path) as center:
        draft = await drafted(center)
        other = await drafted(center, change(1, "other"))
        await approve(center, other)
        await center.tokens.revoke(PAT.token_id, ALICE)
        newer = Actor("pat", "publisher", "n" * 16)
        await give_token(center, newer)

        assert await state_of(center, draft) == "author-gone"
        with pytest.raises(Problem, match="whoever may publish it makes it again"):
            await approve(center, draft)
        assert await refusal(approve(center, draft)) == "409 draft-ended"
        assert value(center) == "old"
        assert (await approve(center, other))["state"] == "published"  # asked again
        assert (await center.drafts.withdraw(NS, draft["id"], newer))["state"] == "withdrawn"
        await approve(center, await drafted(center, by=newer))
        assert value(center) == "new"


async def test_a5_a_token_that_is_revoked_while_an_approval_is_on_its_way_publishes_nothing(
    tmp_path: Path,
) -> None:
    async with guarded(tmp_path) as center:
        draft = await drafted(center)
        submit = center.drafts._changes.submit

        async def late(*what: Any) -> Committed:
            await center.tokens.revoke(PAT.token_id, ALICE)
            return await submit(*what)

        center.drafts._changes.submit = late  # type: ignore[method-assign]

        assert await refusal(approve(center, draft)) == "409 draft-ended"
        assert value(center) == "old"


async def test_an_author_whose_token_expired_is_asked_for_by_name(tmp_path: Path) -> None:
    async with guarded(tmp_path) as center:
        await give_token(center, PAT, expires_at=NOW)
        draft = await drafted(center)
        assert await refusal(approve(center, draft)) == "409 draft-ended"

        await give_token(center, Actor("pat", "publisher", "n" * 16))

        assert (await approve(center, draft))["author"] == "pat"


async def test_a4_with_a_prefix_drafts_are_made_seen_and_decided_within_it(tmp_path: Path) -> None:
    reach = Reach((Scope(NS, "llm."),))
    ann, dan = Actor("ann", "admin", "a" * 16, reach=reach), replace(BOB, reach=reach)
    mixed = {"operations": [*change(key="llm.cn")["operations"], *change()["operations"]]}
    async with guarded(tmp_path) as center:
        for beyond in (
            change(),
            {"operations": [{"op": "put", "key": "prompt", "value": 1, "if_version": 7}]},
            mixed,
            {"schema": {"kind": "llm"}, "key": "llm.cn"},
            {"policy": {"staged": True}},
        ):
            assert await refusal(drafted(center, beyond, ann)) == "403 forbidden", beyond
        theirs = [
            await drafted(center, asked, ALICE)
            for asked in (mixed, {"schema": {"kind": "llm"}, "key": "llm.x"})
        ]
        assert await center.drafts.listed(NS, dan) == []
        for draft in theirs:
            ident = draft["id"]
            for call in (
                center.drafts.get(NS, ident, dan),
                approve(center, draft, dan),
                center.drafts.reject(NS, ident, dan),
                center.drafts.withdraw(NS, ident, ann),
                drafted(center, change(key="llm.cn", replaces=ident), ann),
            ):
                assert await refusal(call) == "404 not-found"
            await approve(center, draft, BOB)
            assert await refusal(approve(center, draft, dan)) == "404 not-found"

        mine = [await drafted(center, change(at, "llm.new"), ann) for at in range(3)]
        assert {each["id"] for each in await center.drafts.listed(NS, dan)} >= {
            each["id"] for each in mine
        }
        assert (await center.drafts.reject(NS, mine[0]["id"], dan))["state"] == "rejected"
        assert (await center.drafts.withdraw(NS, mine[1]["id"], ann))["state"] == "withdrawn"
        assert (await approve(center, mine[2], dan))["approved_by"] == "bob"
        assert value(center, "llm.new") == 2


async def test_a4_a_draft_that_supersedes_is_held_to_the_reach_of_both_persons(
    tmp_path: Path,
) -> None:
    """The rollout that would end is also of a key beyond, from before or since the draft."""
    within = Reach((Scope(NS, "llm."),))
    rollout = {"percent": 10, "unit": "device"}
    both = {"operations": [*change(1, "llm.a")["operations"], *change(1, "tts")["operations"]]}
    async with service(tmp_path) as center:
        await center.change(NS, both["operations"], "", rollout, None, False, ALICE)
        ann = Actor("ann", "publisher", "a" * 16, reach=within)
        asked = change(2, "llm.a", supersede=True)
        assert await refusal(drafted(center, asked, ann)) == "403 forbidden"
        draft = await drafted(center, asked, PAT)
        assert await refusal(approve(center, draft, replace(BOB, reach=within))) == "403 forbidden"
        assert (await approve(center, draft, BOB))["state"] == "published"


async def test_a_center_says_how_many_drafts_one_author_may_have(tmp_path: Path) -> None:
    async with service(tmp_path, limits=Limits(drafts_per_author=1)) as center:
        await drafted(center)
        assert await refusal(drafted(center)) == "413 too-large"
        await drafted(center, by=ALICE)
