"""token ls, create, revoke; whoami."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from tests.config_center.api.world import center
from tests.config_center.test_main import Shell


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    async with center(tmp_path / "data") as opened:
        yield Shell({"CONFIG_CENTER_URL": opened.url, "CONFIG_CENTER_TOKEN": opened.admin_token})


def as_(shell: Shell, token: str) -> Shell:
    """The same shell with another's token."""
    return Shell({**shell._environment, "CONFIG_CENTER_TOKEN": token.strip()})


async def test_a_token_is_made_with_what_it_may_and_no_more_and_revoked(shell: Shell) -> None:
    limits = ("-n", "default", "--prefix", "llm.", "--prefix", "asr.", "--expires", "30d")
    ci = as_(shell, await shell("token", "create", "ci", "--role", "publisher", *limits))

    said = await ci("whoami")
    assert said.startswith("ci: publisher, default/llm. default/asr., until 20")
    assert "version 1" in await ci("put", "llm.cn", "--text", "hi")
    assert "begin with asr. or llm." in await ci("put", "tts", "--text", "hi", status=1)
    assert await ci("token", "ls", status=1)
    (row,) = (r for r in orjson.loads(await shell("token", "ls", "--json")) if r["name"] == "ci")
    assert [scope["prefix"] for scope in row["scopes"]] == ["llm.", "asr."]
    assert row["last_used_at"] is not None
    table = await shell("token", "ls")
    assert row["id"] in table
    assert "default/llm. default/asr." in table
    await shell("token", "revoke", row["id"])
    revoked = await ci("whoami", status=1)
    assert "error: this token (CONFIG_CENTER_TOKEN) is not known here; it may" in revoked


async def test_a_token_from_a_file_that_is_not_known_names_the_file(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the center's data lies
    file = tmp_path / "data" / "admin.token"
    file.write_text("cc_" + "A" * 43)
    bare = {"CONFIG_CENTER_URL": shell._environment["CONFIG_CENTER_URL"]}
    named = {**bare, "CONFIG_CENTER_TOKEN_FILE": str(file)}

    assert "this token (data/admin.token) is not" in await Shell(bare)("whoami", status=1)
    assert "this token (CONFIG_CENTER_TOKEN_FILE) is" in await Shell(named)("whoami", status=1)


async def test_somebody_at_a_terminal_hears_how_to_use_a_new_token(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("token", "create", "bob", "--role", "approver")
    assert (await shell(*words)).count("\n") == 1  # a script takes the output as the token

    monkeypatch.setattr("config_center.cli.show.prints_to_terminal", lambda: True)
    assert "CONFIG_CENTER_TOKEN_FILE" in await shell(*words)
    assert "CONFIG_CENTER_TOKEN_FILE" not in await shell(*words, "--json")


async def test_whoami_says_what_is_unlimited(shell: Shell) -> None:
    assert await shell("whoami") == "admin: admin, all namespaces\n"
    gw = as_(shell, await shell("token", "create", "gw", "--instance", "gw-1", "-n", "default"))
    assert await gw("whoami") == "gw: instance for gw-1, default\n"
    assert orjson.loads(await gw("whoami", "--json"))["permissions"] == ["read", "report"]


@pytest.mark.parametrize(
    "words",
    [
        ("x",),
        ("x", "--role", "reader", "--instance", "gw"),
        ("x", "--role", "reader", "--prefix", "llm."),
        *(("x", "--role", "reader", "--expires", text) for text in ("0d", "1", "d", "-1d", "1w")),
    ],
)
async def test_wrong_usage_is_status_2_before_anything_is_asked(words: tuple[str, ...]) -> None:
    nowhere = Shell({"CONFIG_CENTER_URL": "http://127.0.0.1:1", "CONFIG_CENTER_TOKEN": "none"})

    await nowhere("token", "create", *words, status=2)
