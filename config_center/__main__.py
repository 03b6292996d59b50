"""The command `config-center`. Exit status: 0 done, 1 refused or failed, 2 wrong usage."""

from __future__ import annotations

import os
import sys
from enum import StrEnum

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]  # its only name

from config_center import __version__
from config_center.cli import (
    acl,
    admission,
    audit,
    doctor,
    fleet,
    keys,
    recovery,
    review,
    rollouts,
    secrets,
    server,
    tokens,
    trust,
    up,
)
from config_center.cli.hints import Verbs

app = typer.Typer(
    cls=Verbs,
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
app.add_typer(fleet.instances, name="instances")
app.add_typer(fleet.devices, name="devices")
app.add_typer(fleet.namespaces, name="namespace")
app.add_typer(fleet.schemas, name="schema")
app.add_typer(tokens.app, name="token")
admission.register(fleet.devices)
recovery.register(app)
app.add_typer(secrets.app, name="secrets")
app.add_typer(audit.app, name="audit")
review.register(app)
app.command(epilog="Example: config-center acl --instance gw-1")(acl.acl)
app.command(epilog="Example: config-center doctor")(doctor.doctor)
app.add_typer(trust.app, name="trust")
app.command(epilog="Example: config-center whoami")(tokens.whoami)
app.add_typer(server.config, name="config")


@app.command(epilog="Example: config-center version")
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


class Shell(StrEnum):
    """The shells that there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@app.command(epilog="Example: config-center completion bash > ~/.config-center-completion")
def completion(shell: Shell) -> None:
    """Print the script that completes verbs and options; source it in the shell's start file."""
    typer.echo(
        get_completion_script(
            prog_name="config-center", complete_var="_CONFIG_CENTER_COMPLETE", shell=shell.value
        )
    )


def main() -> None:
    """The entry point."""
    try:
        status = app(prog_name="config-center")
    except OSError as error:  # the disk below stdout is full, a file went away: not ours to mend
        where = f" ({error.filename})" if error.filename else ""
        print(f"error: {error.strerror or error}{where}", file=sys.stderr)
        # What is still in the buffer would fail again at exit, and change the status.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
