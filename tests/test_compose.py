"""docker-compose.yml: who sees which volume, and that what is handed over opens the center."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.config_center.api.world import NS, http

ROOT = Path(__file__).parent.parent
GATEWAYS = ("gateway-1", "gateway-2")


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    found: dict[str, dict[str, Any]] = YAML(typ="safe").load(text)["services"]
    return found


def mounted(service: dict[str, Any]) -> dict[str, str]:
    """Volume -> where and how."""
    return dict(each.split(":", 1) for each in service.get("volumes", ()))


def test_no_gateway_sees_the_volume_with_the_signing_key(services: dict[str, Any]) -> None:
    seen = {name: mounted(service) for name, service in services.items()}

    assert {name for name, volumes in seen.items() if "center" in volumes} == {
        "center",
        "handover-1",
        "handover-2",
    }
    for number, gateway in enumerate(GATEWAYS, 1):
        assert seen[gateway] == {gateway: "/data"}
        assert seen[f"handover-{number}"] == {gateway: "/data", "center": "/center:ro"}
        files = [v for v in services[gateway]["environment"].values() if v.startswith("/")]
        assert files == ["/data/token", "/data/trust.json", "/data/secrets.key"]
        assert services[gateway]["depends_on"] == {
            f"handover-{number}": {"condition": "service_completed_successfully"}
        }


async def test_what_is_handed_over_opens_the_center_for_that_instance_alone(
    services: dict[str, Any], tmp_path: Path
) -> None:
    """The command of the file itself, with directories in place of the two volumes."""
    center, gateway = tmp_path / "center", tmp_path / "gateway"
    gateway.mkdir()
    about = services["handover-1"]
    shell, options, script = about["command"]
    script = script.replace("$$", "$")
    for volume, home in (("/center/", center), ("/data/", gateway)):
        script = script.replace(volume, f"{home}/")
    async with http(center) as api:
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
            **about["environment"],
            "CONFIG_CENTER_URL": api.url,
            "CONFIG_CENTER_TOKEN_FILE": str(center / "admin.token"),
        }
        tokens = []
        for _ in range(2):  # the second time nothing new is made
            run = await asyncio.create_subprocess_exec(shell, options, script, env=environment)
            assert await asyncio.wait_for(run.wait(), 60) == 0
            tokens.append((gateway / "token").read_text().strip())
        one = api.with_token(tokens[0])
        _, who, _ = await one("GET", "/v1/whoami")
        reads = (await one("GET", f"{NS}/snapshot"))[0]
        writes = (await one("PUT", f"{NS}/keys/k", {"value": 1}))[0]

    assert tokens[0] == tokens[1]
    assert (who["instance"], who["scopes"]) == (
        "gateway-1",
        [{"namespace": "default", "prefix": ""}],
    )
    assert (reads, writes) == (200, 403)
    assert sorted(path.name for path in gateway.iterdir()) == ["secrets.key", "token", "trust.json"]
    assert {path.stat().st_mode & 0o777 for path in gateway.iterdir()} == {0o600}
    assert (gateway / "secrets.key").read_bytes() == (center / "secrets.key").read_bytes()
