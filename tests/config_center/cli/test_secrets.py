"""What an operator types about secrets, against a center."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from client_sdk.reports import Report
from config_center.__main__ import app
from config_center.cli.secrets import _question
from tests.config_center.api.world import NS, http

LLM = {"type": "openai", "base_url": "https://a.example/v1", "api_key": "sk-clear", "model": "m"}


@pytest.mark.parametrize(
    ("versions", "asked"),
    [
        ([7], "version 7 of llm"),
        ([2, 3], "2 versions of llm (2, 3)"),
        (
            [*range(1, 26)],
            "25 versions of llm (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, "
            "19, 20 and 5 more)",
        ),
    ],
)
def test_who_shreds_is_asked_with_every_version_that_goes(versions: list[int], asked: str) -> None:
    assert _question("llm", versions) == f"Destroy the secrets of {asked} for good?"


async def test_the_verbs_of_secrets_from_sealing_to_the_last_old_key(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        environment = {"CONFIG_CENTER_URL": call.url, "CONFIG_CENTER_TOKEN": str(call.token)}

        async def verb(*words: str) -> tuple[int, str]:
            typed = ("secrets", *words)
            done = await asyncio.to_thread(CliRunner().invoke, app, typed, env=environment)
            return done.exit_code, done.output

        nothing = await verb("seal", "--list")
        await call("PUT", f"{NS}/keys/llm", {"value": LLM})
        bound = await asyncio.to_thread(
            CliRunner().invoke, app, ["schema", "set", "llm", "--kind", "llm"], env=environment
        )
        listed = await verb("seal", "--list")
        sealed = await verb("seal", "-c", "the field is secret now")
        clear = await verb("shred", "llm", "--version", "1", "--yes")
        resealed = await verb("reseal", "llm")
        unsure = await verb("shred", "llm", "--version", "2")
        fleet, about = call.center.service.spaces["default"].fleet, {"state": "refused"}
        fleet.hear(Report("gw-1", "i", 1, 0, "default", {"keys": {"llm": about}}), 0)
        needed = await verb("shred", "llm", "--version", "2")
        fleet.hear(Report("gw-1", "i", 2, 0, "default", {"full": True}), 0)
        shredded = await verb("shred", "llm", "--version", "2", "--yes")
        twice = [await verb("shred", "llm", "--version", "2", *words) for words in ((), ("--yes",))]
        history = await asyncio.to_thread(
            CliRunner().invoke, app, ["history", "llm"], env=environment
        )
        (old,) = (await call("GET", "/v1/secrets"))[1]["keys"]
        made = await verb("new-key")
        rotated = await verb("rotate")
        status = await verb("status")
        dropped = await verb("drop-key", old["id"])
        again = await verb("drop-key", old["id"])
        as_json = await verb("status", "--json")

    assert "warning: llm: /api_key is secret from now on" in bound.output
    assert nothing == (0, "no version holds a secret in clear\n")
    assert (listed[0], "/api_key  yes" in listed[1], "exchange them" in listed[1]) == (
        0,
        True,
        True,
    )
    assert (sealed[0], "llm: sealed as version 2" in sealed[1]) == (0, True)
    assert (clear[0], "holds its secret in clear" in clear[1]) == (1, True)
    assert (resealed[0], resealed[1].startswith("llm: version 3 at ")) == (0, True)
    assert (unsure[0], "Destroy the secrets of version 2 of llm for good?" in unsure[1]) == (
        *(1, True),
    )
    assert unsure[1].endswith("nothing was done; where nobody can be asked give --yes\n")
    assert needed[1].startswith("warning: gw-1 may still serve this, and would have nothing after")
    assert "look first: config-center instances show gw-1\n" in needed[1]
    assert "may still serve" not in unsure[1]
    assert shredded == (0, "llm: the secrets of version 2 are destroyed\n")
    assert twice[0] == twice[1]
    said = r"llm: the secrets of version 2 were destroyed already, at (2\S+Z) by admin\n"
    at = re.fullmatch(said, twice[0][1])
    assert at is not None
    assert [
        f"[secrets destroyed at {at[1]}] " in line for line in history.output.splitlines()[1:]
    ] == [False, True, False]
    assert (made[0], "give its line to every center and gateway" in made[1]) == (0, True)
    assert (
        rotated[0],
        f"0 left; then: config-center secrets drop-key {old['id']}" in rotated[1],
    ) == (*(0, True),)
    assert (status[0], "seals" in status[1], "opens" in status[1]) == (0, True, True)
    assert (dropped[0], again[0], "has no key-encryption key" in again[1]) == (0, 1, True)
    assert (as_json[0], old["id"] in as_json[1], "sk-clear" in str((listed, sealed, clear))) == (
        *(0, False, False),
    )
