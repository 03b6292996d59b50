"""simulator/fleet.py: what a fleet reports when its gateway is not there, or not kind."""

import socket

from device_gateway.simulator import mac, simulate
from tests.device_gateway.world import MemoryClient, gateway


def test_addresses_are_the_same_in_every_run():
    assert [mac(1), mac(258)] == ["24:6f:28:a0:00:01", "24:6f:28:a0:01:02"]


async def test_without_a_gateway_every_device_has_a_problem():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/xiaozhi/ota/"
        outcome = await simulate(url, devices=2, turns=1, pause=0.01)

    assert outcome.turns == 0
    assert len(outcome.problems) == 3


async def test_a_fleet_talks_until_its_time_is_over(tmp_path):
    async with gateway(tmp_path, MemoryClient()) as running:
        for seconds in (0.5, 5.0, 30.0):  # a machine may stand still for all of it
            outcome = await simulate(running.ota_url, devices=2, seconds=seconds, pause=0.02)
            if outcome.turns > 2:
                break

    assert outcome.turns > 2
    assert outcome.problems == []
