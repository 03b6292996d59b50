"""F23: the disk of a client's snapshot is full."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from client_sdk.testing import MemoryCenter
from tests.faults.disks import cannot_mount, small_disk
from tests.until import until


def fill(path: Path) -> None:
    """Write until there is no room for more."""
    with contextlib.suppress(OSError), path.open("wb", 0) as file:
        while True:
            file.write(bytes(4096))


async def test_a_client_on_a_full_disk_serves_on_says_so_and_leaves_nothing_half_written(
    tmp_path: Path,
) -> None:
    if reason := cannot_mount():
        pytest.skip(reason)
    state, large = tmp_path / "state", "x" * 20_000
    state.mkdir(mode=0o700)
    with small_disk(state, 256 * 1024):
        state.chmod(0o700)
        async with MemoryCenter({"k": "first"}) as center:
            async with center.connect(state=state) as client:
                fill(state / "filler")
                center.publish("k", large)
                await center.served(client)
                full = client.get("k"), client.status().durable

                (state / "filler").unlink()
                center.publish("k", large + "y")
                await center.served(client)
                await until(lambda: client.status().durable)
            center.go_away()
            async with center.connect(state=state) as client:
                restored = client.get("k")

    assert full == (large, False)
    assert restored == large + "y"
