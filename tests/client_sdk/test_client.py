"""The client against a real center, over HTTP and over Redis."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

import pytest

from benchmarks.processes import free_port
from client_sdk import Client, ForkedClient, NotTrusted, StateInUse, Unavailable
from client_sdk.errors import SettingInvalid
from client_sdk.steps import Timing
from tests.config_center.api.world import center
from tests.until import until

QUICK = Timing(silence=0.3, pong=0.3, check=1.0)
WITHIN = 30.0


class Heard:
    """Collects what a listener hears, and lets a test wait for it."""

    def __init__(self) -> None:
        self.changes: list[object] = []
        self._more = asyncio.Event()

    def __call__(self, change: object) -> None:
        self.changes.append(change)
        self._more.set()

    async def until(self, condition: object) -> None:
        async with asyncio.timeout(WITHIN):
            while not any(condition(change) for change in self.changes):  # type: ignore[operator]
                self._more.clear()
                await self._more.wait()


def connect(url: str, home: Path, token: str | None, **how: object) -> object:
    how.setdefault("timeout", 30.0)  # a bound for a busy machine, not a time that is waited
    return Client.connect(
        url, instance="gw-1", token=token, state=home, timing=QUICK, report_every=0.1, **how
    )


@pytest.mark.parametrize("path", ["http", "redis"])
async def test_a_publish_reaches_a_listener(tmp_path: Path, path: str) -> None:
    async with center(tmp_path / "data") as opened:
        url = opened.url if path == "http" else opened.store_url
        async with connect(url, tmp_path / "state", opened.admin_token) as client:
            heard = Heard()
            client.on_change("greeting")(heard)

            await client.put("greeting", "hello") if path == "http" else await _put(opened, "hello")
            await heard.until(lambda change: change.value == "hello")

            assert client.get("greeting") == "hello"
            await until(lambda: client.status().transport == path)
            assert [c.reason for c in heard.changes] == ["start", "publish"]


async def _put(opened: object, value: str) -> None:
    from config_center.access import Actor
    from config_center.publishing import Put

    actor = Actor("test", "admin")
    await opened.service.put("default", "greeting", Put(value=value), actor)  # type: ignore[attr-defined]


async def test_without_a_center_the_snapshot_serves_and_says_stale(tmp_path: Path) -> None:
    async with center(tmp_path / "data") as opened:
        async with connect(opened.url, tmp_path / "state", opened.admin_token) as client:
            await client.put("greeting", "hello")
            heard = Heard()
            client.on_change("greeting")(heard)
            await heard.until(lambda change: change.value == "hello")
        url, token = opened.url, opened.admin_token

    async with connect(url, tmp_path / "state", token, timeout=0.3) as client:
        assert client.get("greeting") == "hello"
        assert client.status().stale


async def test_a_corrupt_snapshot_is_set_aside_for_the_one_before(tmp_path: Path) -> None:
    home = tmp_path / "state"
    async with center(tmp_path / "data") as opened:
        url, token = opened.url, opened.admin_token
        for value in ("one", "two"):
            async with connect(url, home, token) as client:
                heard = Heard()
                client.on_change("greeting")(heard)
                await client.put("greeting", value)
                await heard.until(lambda change, value=value: change.value == value)
    bases = sorted(home.glob("generation-*.base"))
    bases[-1].write_bytes(bases[-1].read_bytes()[:-7])

    async with connect(url, home, token, timeout=0.3, defaults={"greeting": "packed"}) as client:
        assert client.get("greeting") in ("one", "packed")
    assert list(home.glob("*.corrupt-*"))


@pytest.mark.parametrize("name", ["gw 7", "../gw", "-gw", "g" * 129])
def test_a_name_that_no_token_speaks_for_is_refused_wherever_the_state_lies(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(SettingInvalid, match="for example gw-7"):
        Client.connect("http://127.0.0.1:1", instance=name, state=tmp_path)


async def test_with_nothing_at_all_it_says_what_was_tried(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no snapshot"):
        await connect("http://127.0.0.1:1", tmp_path, None, timeout=0.3)


async def test_defaults_serve_when_there_is_nothing_else(tmp_path: Path) -> None:
    defaults = {"prompt": "packed"}
    async with connect("http://127.0.0.1:1", tmp_path, None, timeout=0.3, defaults=defaults) as c:
        assert c.get("prompt") == "packed"


async def test_two_processes_with_one_state_are_refused(tmp_path: Path) -> None:
    home = tmp_path / "state"
    async with (
        center(tmp_path / "data") as opened,
        connect(opened.url, home, opened.admin_token) as first,
    ):
        with pytest.raises(StateInUse):
            await connect(opened.url, home, opened.admin_token)

        await until(lambda: first.status().transport == "http")


async def test_a_path_that_does_not_prove_itself_needs_trust(tmp_path: Path) -> None:
    with pytest.raises(NotTrusted, match="config-center trust"):
        await connect("redis://203.0.113.1:1", tmp_path, None, timeout=0.3)


async def test_a_restarted_center_is_followed_again_and_nothing_goes_back(tmp_path: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    async with contextlib.AsyncExitStack() as clients:
        async with center(tmp_path / "data", listen=listen) as opened:
            connecting = connect(opened.url, tmp_path / "state", opened.admin_token)
            client = await clients.enter_async_context(connecting)
            heard = Heard()
            client.on_change("greeting")(heard)
            await client.put("greeting", "one")
            await heard.until(lambda change: change.value == "one")
            before = client.status().position
        async with center(tmp_path / "data", listen=listen):
            await client.put("greeting", "two")
            await heard.until(lambda change: change.value == "two")

            assert client.status().position.e > before.e


async def test_a_module_that_cannot_be_built_leaves_the_old_one_and_is_reported(
    tmp_path: Path,
) -> None:
    def build(settings: dict[str, str], previous: object) -> list[str]:
        if settings["model"] == "broken":
            raise RuntimeError(f"no such model, key {settings['key']}")
        return [settings["model"]]

    async with center(tmp_path / "data") as opened:
        about = {"name": "gw-1", "role": "instance", "instance": "gw-1"}
        from config_center.access import Actor

        made = await opened.service.tokens.create(about, Actor("test", "admin"))
        async with (
            connect(opened.url, tmp_path / "admin", opened.admin_token) as admin,
            connect(opened.url, tmp_path / "state", made["token"]) as client,
        ):
            await admin.put("llm", {"model": "a", "key": "sk-secret"})
            client.module("llm", build, probe=lambda _: True)
            heard = Heard()
            client.on_change("llm")(heard)
            await heard.until(lambda change: change.version == 1)
            await client.ready()
            with client.turn() as view:
                first = view.module("llm")
            await admin.put("llm", {"model": "broken", "key": "sk-secret"})
            async with asyncio.timeout(WITHIN):
                while not client.status().held:
                    await asyncio.to_thread(lambda: None)
            with client.turn() as view:
                assert view.module("llm") is first
            await admin.put("llm", {"model": "b", "key": "sk-secret"})
            await heard.until(lambda change: change.version == 3)
            with client.turn() as view:
                assert view.module("llm") == ["b"]


async def test_a_listener_hears_of_a_key_that_was_held_back_with_another(tmp_path: Path) -> None:
    def build(settings: str, previous: object) -> list[str]:
        if settings == "broken":
            raise RuntimeError("no such model")
        return [settings]

    async with (
        center(tmp_path / "data") as opened,
        connect(opened.url, tmp_path / "state", opened.admin_token) as client,
    ):
        client.module("llm", build)
        heard = Heard()
        client.on_change("prompt")(heard)
        await _change(opened, llm="a", prompt="old")
        await heard.until(lambda change: change.value == "old")
        await _change(opened, llm="broken", prompt="new")
        async with asyncio.timeout(WITHIN):
            while not client.status().held:
                await asyncio.to_thread(lambda: None)
        await _change(opened, llm="b")
        await heard.until(lambda change: change.value == "new")

    told = [(change.previous, change.value, change.reason) for change in heard.changes]
    assert told[-1] == ("old", "new", "publish")


async def _change(opened: object, **values: str) -> None:
    from config_center.access import Actor

    ops = [{"op": "put", "key": key, "value": value} for key, value in values.items()]
    actor = Actor("test", "admin")
    await opened.service.change("default", ops, "", None, None, False, actor)  # type: ignore[attr-defined]


async def test_a_center_that_comes_late_is_met_and_followed(tmp_path: Path) -> None:
    async with center(tmp_path / "data") as opened:
        how = {"token": opened.admin_token, "timeout": 0.3, "defaults": {"greeting": "x"}}
    listen = f"127.0.0.1:{free_port()}"
    async with connect(f"http://{listen}", tmp_path / "state", **how) as client:
        heard = Heard()
        client.on_change("greeting")(heard)
        assert (client.get("greeting"), client.status().stale) == ("x", True)

        async with center(tmp_path / "data", listen=listen) as opened:
            await _put(opened, "hello")
            await heard.until(lambda change: change.value == "hello")

            await until(lambda: client.status().transport == "http")


async def test_the_second_address_serves_when_the_first_is_away(tmp_path: Path) -> None:
    async with center(tmp_path / "data") as opened:
        urls = f"redis://127.0.0.1:1,{opened.url}"
        async with connect(urls, tmp_path / "state", opened.admin_token) as client:
            heard = Heard()
            client.on_change("greeting")(heard)
            await _put(opened, "hello")
            await heard.until(lambda change: change.value == "hello")

            await until(lambda: client.status().transport == "http")


async def test_what_dies_while_a_change_is_tried_starts_with_what_served_before(
    tmp_path: Path,
) -> None:
    """As if the process had been killed in the middle of a build."""
    building = asyncio.Event()

    async def build(settings: str, previous: object) -> list[str]:
        if settings == "deadly":
            building.set()
            await asyncio.Event().wait()
        return [settings]

    home = tmp_path / "state"
    async with center(tmp_path / "data") as opened:
        async with connect(opened.url, home, opened.admin_token) as client:
            client.module("llm", build)
            await _change(opened, llm="good", prompt="old")
            await until(lambda: client.get("llm", None) == "good")
            await client.ready()
            await _change(opened, llm="deadly", prompt="new")
            await asyncio.wait_for(building.wait(), WITHIN)
            shutil.copytree(home, tmp_path / "as-left")
            await client.close(0.0)
        url, token = opened.url, opened.admin_token

    async with connect(url, tmp_path / "as-left", token, timeout=0.3) as again:
        assert again.get("prompt") == "old"
        assert again.get("llm") == "good"
        again.module("llm", lambda settings, previous: [settings])
        await again.ready()
        assert (again.get("llm"), again.get("prompt")) == ("deadly", "new")
        assert again.status().held == ()


async def test_a_forked_child_is_told_to_connect_anew_and_harms_nothing(tmp_path: Path) -> None:
    async with (
        center(tmp_path / "data") as opened,
        connect(opened.url, tmp_path / "state", opened.admin_token) as client,
    ):
        await client.put("greeting", "hello")
        unit = client.unit("24:6f:28:a0:00:01")
        uses = {
            "get": lambda: client.get("greeting", None),
            "unit": lambda: client.unit("x"),
            "a unit's get": lambda: unit.get("greeting"),
            "turn": lambda: client.turn(unit).__enter__(),
            "module": lambda: client.module("llm", lambda settings, previous: None),
        }
        child = os.fork()
        if child == 0:
            os._exit(_answers_of_a_child(uses))

        _, status = await asyncio.to_thread(os.waitpid, child, 0)

        assert os.waitstatus_to_exitcode(status) == 0
        with pytest.raises(StateInUse):
            await connect(opened.url, tmp_path / "state", opened.admin_token)


def _answers_of_a_child(uses: dict[str, object]) -> int:
    """How many uses did not raise ForkedClient."""
    wrong = 0
    for use in uses.values():
        try:
            use()  # type: ignore[operator]
        except ForkedClient:
            continue
        except BaseException:
            pass
        wrong += 1
    return wrong
