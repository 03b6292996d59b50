"""audit ls, export and verify as they are typed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from typer.testing import CliRunner

from config_center.__main__ import app
from tests.config_center.api.world import NS, Http, http
from tests.config_center.audit.test_entries import FORGED

Verb = Callable[..., Awaitable[tuple[int, str]]]


def verbs(api: Http | None = None) -> Verb:
    environment = {}
    if api is not None:
        environment = {"CONFIG_CENTER_URL": api.url, "CONFIG_CENTER_TOKEN": str(api.token)}

    async def verb(*words: str) -> tuple[int, str]:
        done = await asyncio.to_thread(CliRunner().invoke, app, ["audit", *words], env=environment)
        return done.exit_code, done.output

    return verb


async def test_it_is_listed_exported_and_proven_without_the_center(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "audit.ndjson"
    async with http(data) as api:
        verb = verbs(api)
        comment = FORGED.replace("\ud800", "")
        await api("PUT", f"{NS}/keys/prompt", {"value": 1, "comment": comment})
        await api("PUT", f"{NS}/keys/prompt", {"value": 1}, **{"If-Match": '"7"'})
        listed = await verb("ls")
        refused = await verb("ls", "--outcome", "refused", "--json")
        exported = await verb("export", str(file))
        nowhere = await verb("export", str(tmp_path / "no" / "file"))
        wrong = await verb("ls", "--outcome", "maybe")
    verb, trust = verbs(), str(data / "trust.json")
    proven = await verb("verify", str(file), "--trust", trust)
    noted = proven[1].rpartition("--contains ")[2].strip()
    contained = await verb("verify", str(file), "--trust", trust, "--contains", noted)
    other = f"{noted[:-1]}{'0' if noted[-1] != '0' else '1'}"
    not_contained = await verb("verify", str(file), "--trust", trust, "--contains", other)
    own = await verb("verify", str(data / "audit.sqlite3"), "--trust", trust, "--json")

    assert (listed[0], "version-moved" in listed[1], "prompt" in listed[1]) == (0, True, True)
    assert "\x1b" not in listed[1]
    assert len(listed[1].splitlines()) == 1 + 5
    assert [item["problem"] for item in json.loads(refused[1])] == ["version-moved"]
    assert (exported[0], file.stat().st_mode & 0o777) == (0, 0o600)
    assert (proven[0], "intact, 5 entries (1 to 5)" in proven[1]) == (0, True)
    assert (contained[0], not_contained[0]) == (0, 1)
    assert "noted elsewhere" in not_contained[1]
    assert (own[0], json.loads(own[1])["intact"], json.loads(own[1])["entries"]) == (0, True, 6)
    assert (nowhere[0], "cannot be written" in nowhere[1]) == (1, True)
    assert (wrong[0], "accepted, refused, unknown" in wrong[1]) == (1, True)


async def test_the_first_entry_that_is_not_intact_is_said_with_status_1(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "audit.ndjson"
    async with http(data) as api:
        await verbs(api)("export", str(file))
    lines = file.read_bytes().splitlines(keepends=True)
    edited = [*lines[:2], lines[2].replace(b"started", b"stopped"), *lines[3:]]
    file.write_bytes(b"".join(edited))
    verb, trust = verbs(), str(data / "trust.json")

    broken = await verb("verify", str(file), "--trust", trust)
    as_json = await verb("verify", str(file), "--trust", trust, "--json")

    assert broken[0] == as_json[0] == 1
    assert "not intact at entry 2" in broken[1]
    assert json.loads(as_json[1])["first_broken"] == 2


async def test_only_the_fleets_own_root_is_believed(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "audit.ndjson"
    async with http(data) as api:
        await verbs(api)("export", str(file))
        root = api.center.registry.verifier.trust.root
    async with http(tmp_path / "other"):
        pass
    from client_sdk.signing import show_public

    verb = verbs()
    foreign = await verb("verify", str(file), "--trust", str(tmp_path / "other" / "trust.json"))
    pinned = ("--trust", str(data / "trust.json"), "--root")
    mine = await verb("verify", str(file), *pinned, show_public(root))
    theirs = await verb("verify", str(file), *pinned, show_public(b"x" * 32))

    assert (foreign[0], "not signed by a key that is trusted" in foreign[1]) == (1, True)
    assert (mine[0], theirs[0], "is pinned" in theirs[1]) == (0, 1, True)


async def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    verb = verbs()
    noise = tmp_path / "noise"
    noise.write_text("noise")
    async with http(tmp_path / "data"):
        pass
    trust = str(tmp_path / "data" / "trust.json")

    missing = await verb("verify", str(tmp_path / "none"), "--trust", trust)
    no_trust = await verb("verify", str(noise), "--trust", str(tmp_path / "none"))
    no_export = await verb("verify", str(noise), "--trust", trust)
    usage = await verb("verify", str(noise), "--trust", trust, "--contains", "x")

    assert [code for code, _ in (missing, no_trust, no_export, usage)] == [1, 1, 1, 2]
    assert "cannot be read" in missing[1]
    assert "not an export" in no_export[1]
