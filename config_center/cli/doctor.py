"""The verb that looks whether everything is fit, with a center that runs or without one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from client_sdk.errors import ApiError, ConfigError
from client_sdk.settings import parse_url
from config_center.cli import show
from config_center.cli.remote import Remote, connect, fail, run
from config_center.cli.server import load

_ROUTE = "/v1/health/checks"


def doctor(
    data: Annotated[
        Path | None, typer.Option(help="Look at this data directory, not at a center.")
    ] = None,
    redis: Annotated[
        str | None, typer.Option(help="Look at this store, not at a center's.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--config", help="Another config-center.toml, with no center.")
    ] = None,
    json: show.AsJson = False,
) -> None:
    """
    Look at everything a center needs, and say what to mend: at the center that CONFIG_CENTER_URL
    names, or at this machine where none runs. Exit status 1: something must be mended.
    """
    found = None if data or redis or file else run(_of_center(connect()))
    if found is None:
        found = _of_machine({"data": data, "redis": redis}, file)
    if json:
        show.as_json(found)
    else:
        for check in found["checks"]:
            _say(check)
    if not found["fit"]:
        raise typer.Exit(1)


async def _of_center(remote: Remote) -> dict[str, Any] | None:
    """What the center says of itself; None: none runs on this machine."""
    try:
        found: dict[str, Any] = await remote.call("GET", _ROUTE)
    except ApiError:
        raise
    except ConfigError:
        if not parse_url(remote.url).loopback:
            raise
        typer.echo(f"no center answers at {remote.url}; this machine is looked at", err=True)
        return None
    return found


def _of_machine(given: dict[str, Any], file: Path | None) -> dict[str, Any]:
    # The store's libraries; a center that is asked needs none of them here.
    from config_center.checks import Level, judge, worst
    from config_center.looking import look_without_center

    settings = load(given, file).settings
    try:
        checks = judge(asyncio.run(look_without_center(settings)))
    except ConfigError as error:
        fail(error)
    fit = worst(checks) is not Level.FAIL
    return {"fit": fit, "checks": [check.to_json() for check in checks]}


def _say(check: dict[str, str]) -> None:
    show.line(f"{check['level']:<5} {check['subject']:<11} {check['sentence']}")
    if check["mend"]:
        typer.echo(f"{'':<17} -> {check['mend']}")
