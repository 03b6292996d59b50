"""Verbs that run a center, or tell about its settings: serve, config check, env, doc."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from client_sdk.errors import ConfigError
from client_sdk.log_lines import LINES, log_to_stderr
from client_sdk.settings import without_password
from config_center import settings
from config_center.cli import garbage, show
from config_center.cli.hints import Verbs
from config_center.cli.remote import fail

config = typer.Typer(cls=Verbs, help="The center's own settings.", no_args_is_help=True)

Data = Annotated[Path | None, typer.Option(help="Journal, keys, tokens, store.")]
File = Annotated[Path | None, typer.Option("--config", help="Another config-center.toml.")]


def serve(
    listen: Annotated[str | None, typer.Option(help="HOST:PORT; port 0 takes any.")] = None,
    data: Data = None,
    redis: Annotated[
        str | None,
        typer.Option(help="redis(s)://, redis(s)+sentinel://, redis(s)+cluster:// or unix://."),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    behind_proxy: Annotated[
        bool | None, typer.Option("--behind-proxy", help="A proxy in front of it ends TLS.")
    ] = None,
    file: File = None,
) -> None:
    """Run a center until SIGINT or SIGTERM."""
    given = {
        "listen": listen,
        "data": data,
        "redis": redis,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "behind_proxy": behind_proxy,
    }
    loaded = load(given, file)
    log_to_stderr(loaded.settings.log_level, LINES[loaded.settings.log_format]())
    try:
        asyncio.run(_serve(loaded.settings))
    except ConfigError as error:
        fail(_words_of(error, loaded.settings.redis_url))


def _words_of(error: ConfigError, redis: str | None) -> str:
    """A store where nobody is, said so: the library says a number."""
    if redis is None or "connecting to" not in str(error):
        return str(error)
    return f"nobody answers at {without_password(redis)}, does the store run? ({error})"


async def _serve(chosen: settings.Settings) -> None:
    # The web and store libraries; the other verbs do not need them.
    from config_center.center import Center

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Center(chosen) as center:
        garbage.settle()
        typer.echo(f"page     {center.url}/")
        mine = "that of the center which was first on this store"
        typer.echo(f"token    {chosen.data / 'admin.token' if center.admin_token else mine}")
        await stop.wait()


@config.command(epilog="Example: config-center config check")
def check(file: File = None, json: show.AsJson = False) -> None:
    """Check the settings, and say where each one came from."""
    rows = settings.explain(load({}, file))
    if json:
        show.as_json([{"name": r.name, "value": r.value, "source": r.source} for r in rows])
        return
    show.table(("SETTING", "VALUE", "FROM"), [(r.name, r.value, r.source) for r in rows])


@config.command("env", epilog="Example: config-center config env > center.env")
def environment() -> None:
    """Every environment variable with its default."""
    typer.echo("\n".join(settings.environment_lines()))


@config.command(epilog="Example: config-center config doc")
def doc() -> None:
    """Every setting as a Markdown table."""
    typer.echo(settings.markdown())


def load(given: dict[str, Any], file: Path | None = None) -> settings.Loaded:
    """The settings of one start. Exits with status 1 and a sentence."""
    try:
        return settings.load(given, file=file)
    except ConfigError as error:
        fail(error)
