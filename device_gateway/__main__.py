"""The command `device-gateway`. Exit status: 0 done, 1 refused or failed, 2 wrong usage."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Coroutine
from typing import Annotated, Any, NoReturn, TypeVar

import aiohttp
import typer

from client_sdk.errors import ConfigError
from client_sdk.log_lines import LINES, log_to_stderr
from device_gateway import server, settings
from device_gateway.simulator import simulate as simulate_fleet
from device_gateway.stub_llm import StubLlm

app = typer.Typer(
    help="Holds the conversations of ESP32 voice assistants, configured live by a center.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

T = TypeVar("T")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog="Example: device-gateway run --center http://127.0.0.1:8848")
def run(
    center: Annotated[str | None, typer.Option(help="URL of the center.")] = None,
    namespace: Annotated[str | None, typer.Option(help="Namespace to follow.")] = None,
    instance: Annotated[str | None, typer.Option(help="Name of this gateway.")] = None,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT for devices.")] = None,
    public_url: Annotated[str | None, typer.Option(help="ws URL that devices are told.")] = None,
    admin_listen: Annotated[str | None, typer.Option(help="HOST:PORT for operators.")] = None,
) -> None:
    """Serve devices until SIGINT or SIGTERM, then drain and end."""
    given = {
        "center": center,
        "namespace": namespace,
        "instance": instance,
        "listen": listen,
        "public_url": public_url,
        "admin_listen": admin_listen,
    }
    _run(_serve(given))


async def _serve(given: dict[str, Any]) -> None:
    # Loads the transports, which `simulate` and `--help` do not need.
    from client_sdk import Client

    chosen = settings.load(given)
    log_to_stderr("info", LINES[chosen.log_format]())
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    connecting = Client.connect(chosen.center, namespace=chosen.namespace, instance=chosen.instance)
    async with connecting as client:

        def started(gateway: server.Gateway) -> None:
            client.report_devices(gateway.hub.rows)
            typer.echo(f"devices  {gateway.ota_url}")
            typer.echo(f"admin    {gateway.admin_url}")

        await server.serve(chosen, client, stop, started)


@app.command(epilog="Example: device-gateway status --json")
def status(
    url: Annotated[
        str | None, typer.Option(help="The operators' listener; none: where `run` opens it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show who is connected, with version and arm of each key."""
    _run(_status(url, as_json))


async def _status(url: str | None, as_json: bool) -> None:
    chosen = settings.load()
    base = url or f"http://{chosen.admin_listen}"
    secret = chosen.admin_token
    headers = {"Authorization": f"Bearer {secret.get_secret_value()}"} if secret else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http,
            http.get(f"{base.rstrip('/')}/sessions", headers=headers) as response,
        ):
            if response.status != 200:
                _fail(f"{base} answered {response.status}: is DEVICE_GATEWAY_ADMIN_TOKEN right?")
            document = await response.json()
    except (aiohttp.ClientError, TimeoutError) as broken:
        _fail(f"no gateway answers at {base} ({type(broken).__name__}): is `run` up?")
    typer.echo(json.dumps(document) if as_json else _table(document))


def _table(document: dict[str, Any]) -> str:
    rows = document["items"]
    lines = [f"{document['instance']}: {len(rows)} connected, {document['known']} known"]
    for row in rows:
        keys = " ".join(f"{k}={v['version']}/{v['arm']}" for k, v in row["keys"].items())
        lines.append(f"{row['device']}  {row['state']:<9}  {row['turns']:>4} turns  {keys}")
    return "\n".join(lines)


@app.command(epilog="Example: device-gateway simulate http://127.0.0.1:8000/xiaozhi/ota/")
def simulate(
    url: Annotated[str, typer.Argument(help="OTA URL of the gateway.")],
    devices: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 5,
    first: Annotated[
        int, typer.Option(min=1, help="Number of the first; another fleet must not have it too.")
    ] = 1,
    turns: Annotated[int | None, typer.Option(min=1, help="Turns of each device.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End after so long.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let strict simulated ESP32s talk; fails when a rule is broken that a real one needs."""
    if turns is None and seconds is None:
        turns = 3
    outcome = _run(simulate_fleet(url, devices=devices, first=first, turns=turns, seconds=seconds))
    if as_json:
        found = {"devices": devices, "turns": outcome.turns, "notices": outcome.notices}
        typer.echo(json.dumps({**found, "problems": outcome.problems}))
    else:
        typer.echo(f"{devices} devices, {outcome.turns} turns, {outcome.notices} notices")
        for problem in outcome.problems:
            typer.echo(problem, err=True)
    if outcome.problems:
        raise typer.Exit(1)


@app.command("stub-llm", epilog="Example: device-gateway stub-llm --listen 127.0.0.1:8002")
def stub_llm(
    listen: Annotated[str, typer.Option(help="HOST:PORT; port 0 takes any.")] = "127.0.0.1:8002",
    delay: Annotated[float, typer.Option(min=0.0, help="Seconds between pieces.")] = 0.05,
) -> None:
    """An OpenAI-shaped endpoint that tells which key, model and prompt it was asked with."""
    try:
        host, port = settings.address(listen)
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong)) from None
    _run(_stub(StubLlm(host, port, delay)))


async def _stub(stub: StubLlm) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with stub:
        typer.echo(stub.base_url)
        await stop.wait()


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (ConfigError, OSError) as wrong:
        _fail(str(wrong))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)


def main() -> None:
    """The entry point."""
    sys.exit(app())


if __name__ == "__main__":
    main()
