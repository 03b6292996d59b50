"""The exchange of a key-encryption key, and shredding, as an operator and a gateway meet them."""

from __future__ import annotations

import contextlib
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis

from client_sdk import Client
from client_sdk.errors import SettingInvalid
from client_sdk.keks import Kek, Keks, open_source
from client_sdk.steps import Timing
from tests.config_center.api.world import NS, Http, center, http
from tests.redis_server import running
from tests.until import until

QUICK = Timing(silence=0.5, pong=0.5, check=0.5, report=0.05)
LLM = {"type": "openai", "base_url": "https://a.example/v1", "api_key": "sk-1", "model": "m"}


def keks_of(path: Path) -> Keks:
    return open_source("file", str(path), "").read()


async def bind(call: Http) -> None:
    await call("PUT", f"{NS}/keys/llm/schema", {"kind": "llm"})


async def publish(call: Http, secret: str) -> Any:
    status, done, _ = await call("PUT", f"{NS}/keys/llm", {"value": {**LLM, "api_key": secret}})
    assert status == 200, done
    return done


class Gateway:
    """A client that builds a module with the secret; ``opened`` is what it was given."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.url = home, url
        self.opened: list[str] = []
        self.kek = home / "gateway.key"

    def connect(self, instance: str = "gw") -> Any:
        trust = str(self.home / "data" / "trust.json")
        return Client.connect(
            self.url, instance=instance, state=self.home / instance, trust=trust,
            secret_key=self.kek, timeout=10.0, timing=QUICK,
        )  # fmt: skip

    def build(self, settings: Any, _previous: Any) -> Any:
        self.opened.append(settings["api_key"])
        return object()


async def test_a_key_is_exchanged_while_a_gateway_serves_and_the_old_one_dropped(
    tmp_path: Path,
) -> None:
    with running() as server:
        async with http(tmp_path / "data", redis=server.url) as call:
            gateway, kek = Gateway(tmp_path, server.url), tmp_path / "data" / "secrets.key"
            shutil.copy(kek, gateway.kek)
            await bind(call)
            await publish(call, "sk-1")
            async with gateway.connect() as client:
                client.module("llm", gateway.build)
                await client.ready()
                _, made, _ = await call("POST", "/v1/secrets/keys")
                again, _, _ = await call("POST", "/v1/secrets/keys")
                shutil.copy(kek, gateway.kek)  # both, to every gateway, before it is used
                _, done, _ = await call("POST", "/v1/secrets/rotate", {})
                old = next(key["id"] for key in done["keys"] if not key["current"])
                dropped, status, _ = await call("DELETE", f"/v1/secrets/keys/{old}")
                keys = client._following.data_keys
                assert all(text.startswith(old) for text in keys.ring.values()), "nobody was told"
                shutil.copy(kek, gateway.kek)  # the new one alone
                await until(lambda: all(t.startswith(made["id"]) for t in keys.ring.values()))
                await publish(call, "sk-2")
                await until(lambda: gateway.opened[-1] == "sk-2")
            async with gateway.connect() as client:  # what it wrote down opens with the new one
                client.module("llm", gateway.build)
                await client.ready()

    assert (again, done["current"], done["left"], dropped) == (409, made["id"], 0, 200)
    assert [key["id"] for key in status["keys"]] == [made["id"]] == list(keks_of(kek).ids)
    assert gateway.opened == ["sk-1", "sk-2", "sk-2"]


async def test_a_gateway_asks_a_command_for_the_key_when_it_connects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kek, opened = tmp_path / "data" / "secrets.key", Gateway(tmp_path, "")
    async with http(tmp_path / "data") as call:
        await bind(call)
        await publish(call, "sk-1")
        monkeypatch.setenv("CONFIG_CENTER_SECRET_KEY_COMMAND", f"cat {kek}")
        given: dict[str, Any] = {"token": call.token, "instance": "gw", "state": tmp_path / "gw"}
        async with Client.connect(call.url, **given) as client:
            client.module("llm", opened.build)
            await client.ready()
        monkeypatch.setenv("CONFIG_CENTER_SECRET_KEY_COMMAND", "false")
        with pytest.raises(SettingInvalid, match=r"_SECRET_KEY_COMMAND ended with status 1"):
            await Client.connect(call.url, **given)

    assert opened.opened == ["sk-1"]


async def test_a_shredded_secret_leaves_store_journal_and_every_gateways_disk(
    tmp_path: Path,
) -> None:
    with running() as server:
        async with (
            redis.Redis.from_url(server.url) as raw,
            http(tmp_path / "data", redis=server.url) as call,
        ):
            gateway = Gateway(tmp_path, server.url)
            shutil.copy(tmp_path / "data" / "secrets.key", gateway.kek)
            await bind(call)
            await publish(call, "sk-1")
            async with gateway.connect() as client:
                client.module("llm", gateway.build)
                await client.ready()
                dek = client.get("llm")["api_key"]["$sealed"]["dek"]
                wrapped = client._following.data_keys.ring[dek].encode()
                await publish(call, "sk-2")
                served, _, _ = await call("POST", f"{NS}/keys/llm/shred", {"version": 2})
                status, done, _ = await call("POST", f"{NS}/keys/llm/shred", {"version": 1})
                await until(lambda: dek not in client._following.data_keys.ring)
                await until(lambda: not holders(tmp_path / "gw", wrapped))
            back, problem, _ = await call("POST", f"{NS}/keys/llm/rollback", {"to": 1})
            _, shown, _ = await call("GET", f"{NS}/keys/llm?version=1")
            _, diff, _ = await call("GET", f"{NS}/keys/llm/diff?from=1&to=2")
            in_store = await raw.hexists("cc:{default}:ring", dek)
            left = holders(tmp_path / "data", wrapped)

    assert (served, status, done) == (409, 200, {"key": "llm", "data_keys": [dek], "versions": [1]})
    assert (back, problem["type"]) == (409, "urn:config-center:problem:shredded")
    assert shown["value"]["api_key"] == {"$sealed": {"shredded": True}}
    assert "shredded" in str(diff)
    assert (in_store, left) == (False, [])
    assert gateway.opened == ["sk-1", "sk-2"]


def holders(folder: Path, wrapped: bytes) -> list[str]:
    """Files that still hold a wrapped data key."""
    return [str(path) for path in folder.rglob("*") if wrapped in content(path)]


def content(path: Path) -> bytes:
    """Nothing of a directory, nor of a draft that has got its own name meanwhile."""
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        return path.read_bytes()
    return b""


@pytest.mark.parametrize("source", ["secret_key_command", "secret_key"])
async def test_a45_a_center_that_is_given_another_key_does_not_start(
    tmp_path: Path, source: str
) -> None:
    kek, other = (Kek.generate(random.Random(seed).randbytes) for seed in (1, 2))

    def given(key: Kek) -> dict[str, str]:
        return {source: f"echo {key.line}" if source.endswith("command") else key.line}

    async with http(tmp_path / "data", **given(kek)) as call:
        await bind(call)
        await publish(call, "sk-1")
        _, status, _ = await call("GET", "/v1/secrets")
        refused, problem, _ = await call("POST", "/v1/secrets/keys")

    with pytest.raises(SettingInvalid, match=f"the key-encryption key {kek.id} wraps 2 data keys"):
        async with center(tmp_path / "data", **given(other)):
            pass
    assert not (tmp_path / "data" / "secrets.key").exists()
    assert (status["current"], refused) == (kek.id, 400)
    assert "which a center does not write" in problem["detail"]
