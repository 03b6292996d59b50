"""A fleet of simulated devices in conversation."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Final

from device_gateway.simulator.device import Device, Disconnected, NotAdmitted
from device_gateway.simulator.wire import WireError

PAUSE_SECONDS: Final = 1.0
_QUESTIONS: Final = ("How are you?", "What time is it?", "Tell me a story.", "你好", "Sing!")


@dataclass(slots=True)
class Outcome:
    """What a fleet met; `problems` empty means that a real one would have been content."""

    devices: int
    turns: int = 0
    notices: int = 0
    problems: list[str] = field(default_factory=list)


def mac(number: int) -> str:
    """The address of simulated device `number`: 24:6f:28:a0:xx:xx."""
    return f"24:6f:28:a0:{number >> 8 & 0xFF:02x}:{number & 0xFF:02x}"


async def simulate(
    url: str,
    *,
    devices: int = 5,
    first: int = 1,
    turns: int | None = None,
    seconds: float | None = None,
    pause: float = PAUSE_SECONDS,
    audio: bool = True,
) -> Outcome:
    """
    Let `devices` talk to the gateway whose OTA URL is `url`, each `turns` times or for `seconds`,
    whichever ends first; without both for ever. `pause` is the mean time between two turns. Their
    addresses count up from that of number `first`: devices with one address throw each other out.
    """
    numbers = range(first, first + devices)
    fleet = [Device(url, mac(number), audio=audio) for number in numbers]
    outcome = Outcome(devices)
    talks = [_talk(device, turns, pause, outcome) for device in fleet]
    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(*talks)
    except TimeoutError:
        pass
    finally:
        await asyncio.gather(*(device.sleep() for device in fleet))
    for device in fleet:
        outcome.notices += len(device.notices) + len(device.alerts)
        outcome.problems += [f"{device.mac}: {fault}" for fault in device.faults]
    if not outcome.turns:
        outcome.problems.append("not one turn was answered")
    return outcome


async def _talk(device: Device, turns: int | None, pause: float, outcome: Outcome) -> None:
    rng = random.Random(device.mac)
    done = 0
    try:
        await asyncio.sleep(rng.uniform(0, pause))
        await device.wake()
        while turns is None or done < turns:
            await device.say(rng.choice(_QUESTIONS))
            done += 1
            outcome.turns += 1
            await asyncio.sleep(rng.uniform(0.5, 1.5) * pause)
    except TimeoutError:  # before OSError, of which it is one
        outcome.problems.append(f"{device.mac}: no answer in time")
    except (Disconnected, NotAdmitted, WireError, OSError) as broken:
        outcome.problems.append(f"{device.mac}: {broken}")
