"""The command `config-center`. Exit status: 0 done, 1 refused or failed, 2 wrong usage."""

from __future__ import annotations

import sys

import typer

from config_center import __version__
from config_center.cli import fleet, keys, rollouts, server, up

app = typer.Typer(
    help="Configuration for fleets: publish to a few devices, then to all, or take it back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.command(epilog="Example: config-center serve --listen 127.0.0.1:8848 --data ./data")(
    server.serve
)
app.command(epilog="Example: config-center up --gateway 127.0.0.1:8010")(up.up)
keys.register(app)
app.add_typer(rollouts.app, name="rollout")
app.command(epilog="Example: config-center instances")(fleet.instances)
app.add_typer(fleet.devices, name="devices")
app.add_typer(fleet.namespaces, name="namespace")
app.add_typer(fleet.schemas, name="schema")
app.add_typer(fleet.tokens, name="token")
app.command(epilog="Example: config-center trust")(fleet.trust)
app.add_typer(server.config, name="config")


@app.command(epilog="Example: config-center version")
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """The entry point."""
    sys.exit(app())


if __name__ == "__main__":
    main()
