"""
The whole OpenAPI, driven by what its schemas allow and by what they forbid: no 500, and every
answer is one the document speaks of. Twice: with whatever names come to mind, and on a namespace
where things are, as each role and as nobody; nobody is answered what docs/permissions.md forbids.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from config_center.access import PERMISSIONS
from tests.center_process import CenterProcess, center_process

SEED = int(os.environ.get("SCHEMATHESIS_SEED") or random.SystemRandom().randrange(10**6))
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES") or "3"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,keeps_to_the_matrix,ignored_auth"
)
# What is proven of each route and role is in test_permissions.py; here they are asked a little.
FEW = ("--max-examples", "1", "--phases", "fuzzing")
WITHIN = 280.0
ROOT = Path(__file__).parent.parent.parent.parent


def run(
    center: CenterProcess, home: Path, role: str, token: str | None, config: str, *more: str
) -> str:
    """What the tool says when it found something; empty when it did not."""
    who = ["-H", f"Authorization: Bearer {token}"] if token else []
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("st")), "--config-file", config, "--no-color"),
            *("run", center.url + "/openapi.json", *who),
            *("--checks", CHECKS if token else CHECKS.removesuffix(",ignored_auth")),
            *("--max-examples", EXAMPLES, "--seed", str(SEED), "--phases", "coverage,fuzzing"),
            *("--exclude-path-regex", "/watch$", "--suppress-health-check", "all"),
            *("--generation-database", "none", "--warnings", "off", *more),
        ],
        cwd=home,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.config_center.api.schemathesis_roles",
            "PYTHONPATH": str(ROOT),
            "ASKING_ROLE": role,
        },
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    return "" if done.returncode == 0 else f"seed {SEED}\n{done.stdout}\n{done.stderr}"


async def populated(center: CenterProcess) -> tuple[dict[str, str], str]:
    """A namespace with a bit of everything; a token of each role and a rollout's id."""
    headers = {"Authorization": f"Bearer {center.token}", "Idempotency-Key": "first"}
    base = f"{center.url}/v1/namespaces/default"
    async with aiohttp.ClientSession() as session:

        async def ask(method: str, url: str, plain: object, **more: str) -> dict[str, object]:
            async with session.request(
                method, url, json=plain, headers={**headers, **more}
            ) as response:
                assert response.status < 300, await response.text()
                return dict(await response.json())

        await ask("PUT", base + "/keys/prompt", {"value": "hello"})
        canary = {"value": "hi", "rollout": {"percent": 10, "steps": [10, 50]}}
        await ask("PUT", base + "/keys/greeting", {"value": "hi"}, **{"Idempotency-Key": "a"})
        made = await ask("PUT", base + "/keys/greeting", canary, **{"Idempotency-Key": "b"})
        tokens = {}
        for role in PERMISSIONS:
            about = {"name": role, "role": role}
            about |= {"instance": "gw-1"} if role == "instance" else {}
            tokens[role] = str((await ask("POST", center.url + "/v1/tokens", about))["token"])
    rollout = made["rollout"]
    assert isinstance(rollout, dict)
    return tokens, str(rollout["id"])


def configurations(home: Path, rollout: str) -> tuple[str, str]:
    """One that says nothing, and one that asks for what is there."""
    home.mkdir()
    anything, known = home / "anything.toml", home / "known.toml"
    anything.write_text("")
    known.write_text(
        "[parameters]\n"
        '"path.ns" = "default"\n'
        '"path.key" = ["prompt", "greeting", "new"]\n'
        f'"path.id" = ["{rollout}", "first", "none"]\n'
    )
    return str(anything), str(known)


# What is frozen answers 503 by contract, to whatever comes after.
THAW = ("--exclude-operation-id", "freeze_namespace", "--exclude-operation-id", "freeze_center")
KEEP = ("--exclude-operation-id", "delete_namespace", *THAW)
OTHERS = sorted(PERMISSIONS.keys() - {"admin", "instance"})
# Role, whether it asks for what is there, and how; a test each, of minutes on a busy machine.
ROUNDS: dict[str, list[tuple[str, bool, tuple[str, ...]]]] = {
    "nobody": [("nobody", False, ())],
    "instance": [("instance", True, ())],
    "those who may more": [(role, True, (*FEW, *THAW)) for role in OTHERS],
    "admin": [("admin", True, KEEP)],
    "admin, of whatever comes to mind": [("admin", False, THAW)],
}


@pytest.mark.no_cover
@pytest.mark.timeout(WITHIN)
@pytest.mark.parametrize("who", ROUNDS)
async def test_no_request_that_the_document_speaks_of_breaks_the_center(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    # One address comes with wrong tokens for minutes; here it is to hear 401 each time.
    monkeypatch.setenv("CONFIG_CENTER_SERVER__ADMISSION__WRONG_TOKEN_BURST", "1000000")
    async with center_process(tmp_path / "data") as center:
        tokens, rollout = await populated(center)
        anything, known = configurations(tmp_path / "st", rollout)
        for role, there, more in ROUNDS[who]:
            began = time.monotonic()
            config, token = known if there else anything, tokens.get(role)
            said = await asyncio.to_thread(run, center, tmp_path / "st", role, token, config, *more)
            print(f"{role}: {time.monotonic() - began:.1f} s")
            assert not said, f"as {role}: {said}"
        assert "Traceback" not in center.log
