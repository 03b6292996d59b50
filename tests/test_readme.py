"""What the READMEs say is run as it stands."""

from __future__ import annotations

import ast
import asyncio
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.center_process import CenterProcess, center_process

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "README.zh-CN.md")


def blocks(readme: str, language: str) -> list[str]:
    text = (ROOT / readme).read_text("utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for name, block in found if name == language]


def commands(readme: str) -> Iterator[list[str]]:
    """The lines of the two blocks about the command line; two may share a line."""
    found = [each for each in blocks(readme, "") if each.startswith("config-center ")]
    assert len(found) == 2
    for line in "".join(found).splitlines():
        for one in re.split(r"\s{3,}(?=config-center )", line.partition("#")[0]):
            yield shlex.split(one)[1:]


def anchors(page: str) -> list[str]:
    """Where a link into a page may lead: its headings, and the places that are named."""
    text = (ROOT / page).read_text("utf-8")
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    made = [re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads]
    return made + re.findall(r'<a id="([^"]+)">', text)


async def ask(center: CenterProcess, method: str, path: str, plain: object = None) -> Any:
    headers = {"Authorization": f"Bearer {center.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, center.url + path, json=plain) as answer,
    ):
        assert answer.status < 300, await answer.text()
        return await answer.json()


class Llm:
    async def ask(self, prompt: str, words: str) -> str:
        return f"{prompt} {words}"


@pytest.mark.parametrize("readme", READMES)
async def test_the_sdk_in_ten_lines_runs(readme: str, tmp_path: Path) -> None:
    async with center_process(tmp_path / "data") as center:
        base = "/v1/namespaces/default/keys"
        await ask(center, "PUT", base + "/llm", {"value": {"type": "echo"}})
        await ask(center, "PUT", base + "/prompt", {"value": "Be brief."})
        (code,) = blocks(readme, "python")
        code = code.replace("http://127.0.0.1:8848", center.url).replace("cc_...", center.token)
        code = code.replace("data/secrets.key", str(center.data / "secrets.key"))
        code = code.replace('instance="gw-7"', f'instance="gw-7", state={str(tmp_path / "s")!r}')
        names: dict[str, Any] = {"build_llm": lambda settings, previous: Llm(), "probe_llm": bool}

        run = compile(code, readme, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        await eval(run, names)  # the README's own text

    assert names["answer"].startswith("Be brief.")


@pytest.mark.parametrize("readme", READMES)
async def test_the_commands_run_in_their_order(readme: str, tmp_path: Path) -> None:
    async with center_process(tmp_path / "data") as center:
        base = "/v1/namespaces/default"
        await ask(center, "PUT", base + "/keys/prompt", {"value": "first"})
        await ask(center, "PUT", base + "/keys/llm/schema", {"kind": "llm"})
        for secret in ("sk-1", "sk-2"):
            llm = {"type": "openai", "base_url": "https://a.example", "model": "m"}
            await ask(center, "PUT", base + "/keys/llm", {"value": {**llm, "api_key": secret}})
        another = await ask(center, "POST", "/v1/tokens", {"name": "bob", "role": "approver"})
        env = {"CONFIG_CENTER_URL": center.url, "PYTHONPATH": str(ROOT), "PATH": "/usr/bin"}
        for words in commands(readme):
            more = {}
            if words[:2] == ["draft", "approve"]:
                more = {"CONFIG_CENTER_TOKEN": another["token"]}
                (draft,) = (await ask(center, "GET", base + "/drafts"))["items"]
                words[words.index("ID")] = draft["id"]
            done = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-m", "config_center", *words],
                cwd=tmp_path,
                env=env | more,
                input="y\n",
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{words}: {done.stderr}"
        prompt = await ask(center, "GET", base + "/keys/prompt")
        assert (prompt["author"], prompt["approved_by"]) == ("admin", "bob")
        shredded = await ask(center, "GET", base + "/keys/llm?version=1")
        assert shredded["value"]["api_key"] == {"$sealed": {"shredded": True}}


def test_both_readmes_show_the_same_commands_and_the_same_files() -> None:
    english, chinese = (
        [[word for word in words if not word.startswith(("You", "请"))] for words in commands(each)]
        for each in READMES
    )
    assert english == chinese
    for readme in READMES:
        text = (ROOT / readme).read_text("utf-8")
        for path in re.findall(r"\]\(([^)#:]+)\)", text) + re.findall(r"`(\w+/[\w/]+\.py)`", text):
            assert (ROOT / path).exists(), f"{readme} speaks of {path}"
        for path, anchor in re.findall(r"\]\(([^)#:]+)#([^)]+)\)", text):
            assert anchor in anchors(path), f"{readme} speaks of {path}#{anchor}"
