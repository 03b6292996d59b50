"""hub.py: who is here, who was, and the one that does not read."""

import asyncio

from prometheus_client import generate_latest

from device_gateway import protocol
from device_gateway.hub import Memory, Reached
from device_gateway.notices import Notice
from device_gateway.simulator import Device, mac, wire
from tests.device_gateway.world import MemoryClient, gateway


def test_memory_forgets_who_stayed_away_and_the_oldest_above_its_limit():
    memory = Memory(limit=2, seconds=10)
    memory.see("a", 0.0, {"firmware": "1"})
    memory.see("b", 1.0)
    memory.see("a", 2.0, {"board": "x"})
    memory.see("c", 3.0)

    assert list(memory) == ["a", "c"]
    assert memory.get("a").attributes == {"firmware": "1", "board": "x"}
    memory.forget(12.5)
    assert list(memory) == ["c"]
    memory.forget(99.0)
    assert len(memory) == 0


async def test_a_broadcast_says_how_many_of_the_known_it_reached(tmp_path):
    async with gateway(tmp_path, MemoryClient()) as running:
        fleet = [Device(running.ota_url, mac(number)) for number in range(3)]
        for device in fleet[:2]:
            await device.wake()
        await fleet[2].boot()
        message = protocol.alert("info", "hi", "neutral")
        reached = await running.hub.broadcast(message, lambda device: device != mac(0))
        for device in fleet:
            await device.sleep()

    assert reached == Reached(1, 2, frozenset({mac(1)}))


async def test_a_device_that_does_not_read_is_cut_and_the_others_hear_everything(tmp_path):
    async with gateway(tmp_path, MemoryClient()) as running:
        slow, quick = Device(running.ota_url, mac(1)), Device(running.ota_url, mac(2))
        await slow.boot()
        await quick.wake()
        stuck = await open_and_stop_reading(slow)
        await wait_for(lambda: len(running.hub) == 2)
        sent = 0
        while len(running.hub) == 2 and sent < 1_000:  # the kernel takes some megabytes first
            await running.notices.announce(Notice("x" * 60_000, ttl=0))
            sent += 1
            await quick.until(lambda: len(quick.alerts) == sent)  # noqa: B023 (awaited at once)
        answer = await quick.say("still here?")
        stuck.drop()
        await quick.sleep()
        metrics = generate_latest(running.metrics.registry).decode()

    assert answer == "echo: still here?"
    assert 'device_gateway_closed_total{reason="slow"} 1.0' in metrics


async def open_and_stop_reading(device):
    headers = {"Authorization": f"Bearer {device.nvs['token']}", **device._identity()}
    socket = await wire.connect(device.nvs["url"], headers)
    socket.send(wire.TEXT, b'{"type":"hello","transport":"websocket","version":1}')
    socket.writer.transport.pause_reading()
    return socket


async def wait_for(holds):
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 (nothing to wait on from outside)
            await asyncio.sleep(0.005)
