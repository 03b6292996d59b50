"""docs/sdk.md is run as it stands, block after block."""

from __future__ import annotations

import ast
import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from tests.center_process import center_process
from tests.test_readme import ask

PAGE = Path(__file__).parent.parent / "docs" / "sdk.md"


async def test_the_sdk_guide_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with center_process(tmp_path / "data") as center:
        await ask(center, "PUT", "/v1/namespaces/default/keys/prompt", {"value": "Be brief."})
        tokens = {}
        for name in ("gw-7", "gw-8"):
            asked = {"name": name, "role": "instance", "instance": name}
            tokens[name] = (await ask(center, "POST", "/v1/tokens", asked))["token"]
        names: dict[str, Any] = {
            "URL": center.url,
            "TOKEN": tokens["gw-7"],
            "OTHER_TOKEN": tokens["gw-8"],
            "STATE": str(tmp_path / "state"),
        }
        for block in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S):
            run = compile(block, PAGE.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            found = eval(run, names)
            if asyncio.iscoroutine(found):
                await found
        text = await asyncio.to_thread(names["program"])

    assert text == "Be brief."
    assert names["why"].reason == "no-rollout"
    assert names["status"].stale is False
    documented = set(re.findall(r"`(config_client_\w+)`", PAGE.read_text()))
    assert {name for name in names["metrics"] if "_total" not in name} <= documented
    assert "prompt 1 start" in capsys.readouterr().out
