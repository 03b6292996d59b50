"""
``config-center up``: a whole fleet on one machine, to see with one's own eyes.

The center runs in this process on its private store; a device gateway, a stub of an LLM's endpoint
and a few simulated devices run in processes of their own, as they would elsewhere. Samples are
published only into an empty namespace. Ctrl-C ends all in the reverse order, at any moment of the
start too; a second one ends at once. ``rm -r data`` undoes it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from client_sdk.errors import ConfigError, SettingInvalid
from client_sdk.log_lines import TextLines, log_to_stderr
from client_sdk.private_files import read_private, write_private
from client_sdk.records import Beat
from client_sdk.settings import PREFIX, SECRET_KEYS
from config_center.access import Actor
from config_center.cli import garbage, show
from config_center.cli.children import Child
from config_center.cli.ports import require_free
from config_center.cli.remote import fail
from config_center.cli.server import load
from config_center.settings import Listen, environment_without_ours, parse_listen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config_center.center import Center
    from config_center.service import Service

_NS = "default"
_GATEWAYS = "gateways"
_GATEWAY = "gateway-1"
_DEVICES = 20
_START_WITHIN = 30.0
_ACTOR = Actor("up", "admin")
_KINDS = ("llm", "prompt", "greeting", "gateway")
_CENTER_AT, _GATEWAY_AT = "127.0.0.1:8848", "127.0.0.1:8000"
_ANY = "127.0.0.1:0"
_OPERATORS = "127.0.0.1:8001"


def up(
    center: Annotated[
        str, typer.Option(help="HOST:PORT of the center; 0 takes any port.")
    ] = _CENTER_AT,
    gateway: Annotated[
        str, typer.Option(help="HOST:PORT for devices; 0 takes any port.")
    ] = _GATEWAY_AT,
    data: Annotated[Path, typer.Option(help="Everything that is kept.")] = Path("data"),
    devices: Annotated[int, typer.Option(min=0, max=500, help="Simulated devices.")] = _DEVICES,
) -> None:
    """Run center, gateway and simulated devices on this machine."""
    settings = load({"listen": _ANY if center == "0" else center, "data": data}).settings
    try:
        listen = parse_listen(_ANY if gateway == "0" else gateway)
    except ValueError as error:
        fail(f"--gateway: {error}")
    try:
        require_free(settings.listen, "CENTER", _given("GATEWAY", gateway, _GATEWAY_AT))
        require_free(listen, "GATEWAY", _given("CENTER", center, _CENTER_AT))
    except SettingInvalid as error:
        print(error, file=sys.stderr)  # the line as it was promised, ready to be pasted from
        raise typer.Exit(1) from error
    log_to_stderr("warning", TextLines("%(levelname)s %(message)s"))
    try:
        asyncio.run(Fleet(settings, listen, devices).run())
    except ConfigError as error:
        fail(error)


class Fleet:
    """The center in this process, and the programs beside it."""

    def __init__(self, settings: Any, gateway: Listen, devices: int) -> None:
        self._settings = settings
        self._gateway = gateway
        self._devices = devices
        self._data: Path = settings.data
        gateways = self._data / _GATEWAYS
        self._ran_before = gateways if gateways.is_dir() else None
        self._children: list[Child] = []

    async def run(self) -> None:
        """Until SIGINT or SIGTERM."""
        async with AsyncExitStack() as stack:
            work = asyncio.create_task(self._work(stack), name="up")
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._interrupted, work)
                stack.callback(loop.remove_signal_handler, number)
            await asyncio.wait([work])
            if not work.cancelled():
                work.result()
            typer.echo("ending ...")

    def _interrupted(self, work: asyncio.Task[None]) -> None:
        if not work.done() and not work.cancelling():
            work.cancel()
            return
        for child in self._children:
            child.kill()
        os._exit(130)  # what was acknowledged is on the disk; the store ends with its owner

    async def _work(self, stack: AsyncExitStack) -> None:
        from config_center.center import Center

        center = await stack.enter_async_context(Center(self._settings))
        llm = await self._start_llm(stack)
        if not center.service.keys(_NS, "", 1, None)["items"]:
            await begin(center.service, llm, self._ran_before)
        ota = await self._start_gateway(stack, center)
        if self._devices:
            await self._start_devices(stack, ota)
        garbage.settle()
        self._say(center, ota)
        await self._events(center)

    async def _start_llm(self, stack: AsyncExitStack) -> str:
        kept = self._data / "stub-llm.address"
        before = kept.read_text("utf-8").strip() if kept.is_file() else _ANY
        child = self._child(stack, "stub-llm")
        command = ("device_gateway", "stub-llm", "--listen")
        await child.start(*command, _still_free(before), environment=self._environment({}))
        url = await child.line("http", _START_WITHIN)
        address = urlsplit(url).netloc
        if before not in (address, _ANY):
            typer.echo(f"{before} is taken: the stub LLM is at {url} now; the key llm says where")
        kept.write_text(address + "\n", "utf-8")
        child.keep(*command, address)
        return url

    async def _start_gateway(self, stack: AsyncExitStack, center: Center) -> str:
        home = self._data / _GATEWAYS / _GATEWAY
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        token = home / "token"
        await instance_token(center.service, _GATEWAY, token)
        child = self._child(stack, _GATEWAY)
        keks = center.settings.keks_in(self._data)
        environment = self._environment(
            {
                "CONFIG_CENTER_TOKEN_FILE": str(token),
                PREFIX + SECRET_KEYS[keks.kind]: keks.value,
                "CONFIG_CENTER_STATE": str(home / "state"),
                "DEVICE_GATEWAY_DATA": str(home),
                "DEVICE_GATEWAY_PROVIDER_HOSTS": "*,127.0.0.0/8",  # the stub LLM is here
            }
        )
        command = (
            *("device_gateway", "run", "--center", center.url, "--namespace", _NS),
            *("--instance", _GATEWAY, "--admin-listen", _still_free(_OPERATORS), "--listen"),
        )
        await child.start(*command, str(self._gateway), environment=environment)
        line = await child.line("devices", _START_WITHIN)
        ota = line.removeprefix("devices").strip()
        child.keep(*command, str(Listen(self._gateway.host, urlsplit(ota).port or 0)))
        return ota

    async def _start_devices(self, stack: AsyncExitStack, ota: str) -> None:
        child = self._child(stack, "devices")
        command = ("device_gateway", "simulate", ota, "--devices", str(self._devices))
        await child.start(*command, "--seconds", "1000000", environment=self._environment({}))
        child.keep(*command, "--seconds", "1000000")

    def _child(self, stack: AsyncExitStack, name: str) -> Child:
        logs = self._data / "logs"
        logs.mkdir(exist_ok=True)
        child = Child(name, logs / f"{name}.log", typer.echo)
        self._children.append(child)
        stack.push_async_callback(child.stop)
        return child

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        return {**environment_without_ours(), "PYTHONUNBUFFERED": "1", **more}

    def _say(self, center: Center, ota: str) -> None:
        typer.echo(f"page     {center.url}/#token={center.admin_token}          (also in "
                   f"{self._data / 'admin.token'})")  # fmt: skip
        typer.echo(f"devices  {ota}            a real ESP32: make run GATEWAY=0.0.0.0:8000, then "
                   "docs/devices.md")  # fmt: skip
        program = ".venv/bin/config-center"
        typer.echo(f"try      {program} put prompt --text 'You are a pirate.' --percent 10")
        typer.echo(f"         {program} rollout promote prompt      {program} rollback prompt")

    async def _events(self, center: Center) -> None:
        from config_center.events import Events
        from config_center.problems import Problem
        from config_center.review.policy import policy_of

        author_of = partial(center.service.authors.of, _NS)
        try:
            while True:
                ledger = center.registry.get(_NS)
                with ledger.watch() as watcher:
                    events = Events(policy_of(ledger.state), author_of)
                    async for message in watcher:
                        if not isinstance(message, Beat):
                            show.line(events.words(message))
                typer.echo(f"events left out here: {watcher.reason}")
        except Problem as gone:
            typer.echo(f"no more events: {gone.detail}")
        await asyncio.get_running_loop().create_future()


def _given(variable: str, value: str, default: str) -> str:
    """What the line that is typed next has to say again."""
    return "" if value == default else f"{variable}={value} "


def _still_free(address: str) -> str:
    """The address, or any port when somebody has that one."""
    try:
        require_free(parse_listen(address), "")
    except (SettingInvalid, ValueError):
        return _ANY
    return address


async def begin(service: Service, llm: str, ran_before: Path | None) -> None:
    """
    Samples for an empty namespace, but not where gateways ran before, which is their directory
    then: what they had was lost, and a sample would stand in the place of what can be put back.
    """
    if ran_before is None:
        await publish_samples(service, llm)
        return
    typer.echo(
        f"nothing is published, though gateways ran here: config-center restore FILE puts it back, "
        f"with an export or the newest {ran_before}/*/state/generation-*.base"
    )


async def publish_samples(service: Service, llm: str) -> None:
    """What an empty namespace is given, and a canary under way on the greeting."""
    from config_center.publishing import Put

    for kind in _KINDS:
        await service.set_schema(_NS, kind, {"kind": kind}, _ACTOR)
    values: dict[str, Any] = {
        "llm": {"type": "openai", "base_url": llm, "api_key": "sk-sample", "model": "stub"},
        "gateway": {"devices": {"admit": "all"}},
    }
    for key, value in values.items():
        await service.put(_NS, key, Put(value=value, comment="sample"), _ACTOR)
    texts = {"prompt": "You are a helpful assistant.", "greeting": "Hello!"}
    for key, text in texts.items():
        await service.put(_NS, key, Put(value=text, text=text, format="text", comment="sample"),
                          _ACTOR)  # fmt: skip
    greeting = "Hello, and welcome to the canary!"
    await service.put(
        _NS,
        "greeting",
        Put(
            value=greeting,
            text=greeting,
            format="text",
            comment="sample canary",
            rollout={"percent": 10, "unit": "device"},
        ),
        _ACTOR,
    )


async def instance_token(service: Service, instance: str, path: Path) -> None:
    """Make sure that ``path`` holds a token of this instance that the center knows."""
    if await asyncio.to_thread(path.is_file):
        token = (await asyncio.to_thread(read_private, path, "the token")).strip()
        if service.tokens.knows(token):
            return
    body = {"name": instance, "role": "instance", "instance": instance}
    made = await service.tokens.create(body, _ACTOR)
    await asyncio.to_thread(write_private, path, made["token"] + "\n", 0o600)
