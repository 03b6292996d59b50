"""The whole walk: center, embedded store, SDK, gateway, strict devices, a stub of an LLM."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from client_sdk import Client
from client_sdk.greyscale import bucket
from client_sdk.records import Position
from client_sdk.steps import Timing
from config_center.access import Actor
from config_center.cli.up import publish_samples
from config_center.publishing import Put
from device_gateway.server import Gateway
from device_gateway.settings import load
from device_gateway.simulator import Device, mac
from device_gateway.stub_llm import StubLlm
from tests.config_center.api.world import center
from tests.until import until

DEVICES = 20
ADMIN = Actor("admin", "admin")
QUICK = Timing(silence=0.5, pong=0.5, check=1.0)


class World:
    """A center with samples, a gateway on the real SDK, devices that talk."""

    def __init__(self, opened: Any, client: Client, gateway: Gateway, stub: StubLlm) -> None:
        self.service = opened.service
        self.client = client
        self.stub = stub
        self.devices = [Device(gateway.ota_url, mac(number)) for number in range(DEVICES)]

    async def say(self, words: str) -> dict[str, str]:
        said = await asyncio.gather(*(device.say(words) for device in self.devices))
        return dict(zip((device.mac for device in self.devices), said, strict=True))

    async def served(self, position: str) -> None:
        wanted = Position.parse(position)
        await until(lambda: self.client.status().position >= wanted)

    def pair(self, key: str, prompt: str) -> list[dict[str, Any]]:
        llm = {
            "type": "openai",
            "base_url": self.stub.base_url,
            "api_key": key,
            "model": "m-1",
        }
        return [
            {"op": "put", "key": "llm", "value": llm},
            {"op": "put", "key": "prompt", "value": prompt, "format": "text"},
        ]


@contextlib.asynccontextmanager
async def world(home: Path) -> AsyncIterator[World]:
    async with StubLlm(delay=0) as stub, center(home / "data") as opened:
        await publish_samples(opened.service, stub.base_url)
        about = {"name": "gw", "role": "instance", "instance": "gw-1"}
        token = (await opened.service.tokens.create(about, ADMIN))["token"]
        async with Client.connect(
            opened.url,
            instance="gw-1",
            token=token,
            state=home / "state",
            secret_key=home / "data" / "secrets.key",
            timing=QUICK,
            timeout=30.0,
            report_every=0.2,
        ) as client:
            given = {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "data": home / "gw"}
            async with Gateway(load(given), client) as gateway:
                client.report_devices(gateway.hub.rows)
                await client.ready()
                yield World(opened, client, gateway, stub)


async def change(world: World, operations: list[dict[str, Any]], percent: int) -> dict[str, Any]:
    done = await world.service.change(
        "default",
        operations,
        comment="",
        rollout={"percent": percent},
        idempotency_key=None,
        supersede=False,
        actor=ADMIN,
    )
    return done.body


async def test_a_pair_goes_to_the_devices_whose_bucket_says_so_then_to_all_then_back(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as all_of_it:
        for device in all_of_it.devices:
            await device.wake()
        await all_of_it.say("one")

        body = await change(all_of_it, all_of_it.pair("sk-new", "You are new."), 50)
        salt = body["rollout"]["id"]
        await all_of_it.served(f"{body['epoch']}-{body['revision']}")
        during = await all_of_it.say("two")
        told = {device.mac: len(device.notices) for device in all_of_it.devices}

        moved = await all_of_it.service.rollouts.move("default", salt, "promote", {}, ADMIN)
        await all_of_it.served(moved.etag.strip('"'))
        after = await all_of_it.say("three")

        for key in ("llm", "prompt"):
            back = await all_of_it.service.rollback("default", key, None, ADMIN)
        await all_of_it.served(back.etag.strip('"'))
        last = await all_of_it.say("four")
        connected = [device.connected for device in all_of_it.devices]
        faults = [fault for device in all_of_it.devices for fault in device.faults]
        for device in all_of_it.devices:
            await device.sleep()

    inside = {device for device in during if bucket(salt, device) < 50_000}
    new, old = "key=sk-new model=m-1 prompt=You are new.", "key=sk-sample model=stub prompt=You are"
    assert {device for device, said in during.items() if said.startswith(new)} == inside
    assert {device for device, said in during.items() if said.startswith(old)} == (
        during.keys() - inside
    )
    assert 0 < len(inside) < DEVICES
    assert told == {device: int(device in inside) for device in during}
    assert all(said.startswith(new) for said in after.values())
    assert all(said.startswith(old) for said in last.values())
    assert all(said.endswith("messages=8") for said in last.values())
    assert all(connected)
    assert faults == []
    assert back.body["revision"] > body["revision"]


async def test_a_provider_that_fails_its_probe_leaves_the_old_one_and_the_report_says_why(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as all_of_it:
        device = all_of_it.devices[0]
        await device.wake()
        llm = {
            "type": "openai",
            "base_url": all_of_it.stub.base_url,
            "api_key": "bad-secret-key",
            "model": "m-1",
        }
        done = await all_of_it.service.put("default", "llm", Put(value=llm), ADMIN)
        await until(lambda: all_of_it.client.status().held)
        said = await device.say("still there?")
        await until(lambda: reported(all_of_it).get("state") == "refused")
        refused = reported(all_of_it)
        good = await all_of_it.service.put(
            "default", "llm", Put(value={**llm, "api_key": "sk-good"}), ADMIN
        )
        await all_of_it.served(good.etag.strip('"'))
        healed = await device.say("and now?")
        await device.sleep()

    assert done.body["version"] == 2
    assert said.startswith("key=sk-sample")
    assert (refused["step"], refused["version"]) == ("probe", 2)
    assert "bad-secret-key" not in str(refused)
    assert healed.startswith("key=sk-good")


def reported(world: World) -> dict[str, Any]:
    """What the gateway told of its ``llm``; nothing before its first report."""
    rows = world.service.instances("default", 10, None)["items"]
    return next((row["keys"].get("llm", {}) for row in rows), {})
