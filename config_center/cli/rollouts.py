"""Verbs about rollouts: status, step, pause, resume, promote, abort."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from config_center.cli import show
from config_center.cli.hints import Verbs
from config_center.cli.remote import connect, run
from config_center.cli.show import AsJson, Comment, Namespace, Urgent

app = typer.Typer(cls=Verbs, help="Canary rollouts: by key or id.", no_args_is_help=True)

_WHO = {
    "promoted": "everybody has the new version",
    "aborted": "everybody has the version before",
}
Which = Annotated[str, typer.Argument(help="A key, or the id of a rollout.")]


@app.command(epilog="Example: config-center rollout status prompt")
def status(
    which: Annotated[str | None, typer.Argument(help="A key or id; none: all.")] = None,
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """One rollout, or all of them."""
    remote = connect(namespace)
    if which is not None:
        found = run(remote.call("GET", remote.ns("rollouts", which)))
        show.as_json(found) if json else _show_one(found)
        return
    items = run(remote.call("GET", remote.ns("rollouts")))["items"]
    if json:
        show.as_json(items)
        return
    _show_all(items)


@app.command("ls", epilog="Example: config-center rollout ls")
def list_rollouts(namespace: Namespace = None, json: AsJson = False) -> None:
    """All rollouts, running ones first."""
    status(None, namespace, json)


def _show_all(items: list[dict[str, Any]]) -> None:
    show.table(
        ("ID", "KEYS", "STATE", "PERCENT", "SINCE", "BY"),
        [
            (
                item["id"],
                ", ".join(key["key"] for key in item["keys"]),
                item["state"],
                f"{item['percent']:g}",
                item["started_at"],
                item["by"],
            )
            for item in items
        ],
    )


@app.command(epilog="Example: config-center rollout step prompt --percent 50")
def step(
    which: Which,
    percent: Annotated[float | None, typer.Option(help="None: the next of its steps.")] = None,
    force: Annotated[bool, typer.Option(help="Allow a smaller share.")] = False,
    urgent: Urgent = False,
    comment: Comment = "",
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """Give the canary a larger share."""
    body: dict[str, Any] = {"force": force, "comment": comment}
    if percent is not None:
        body["percent"] = percent
    _move(which, "step", body, namespace, json, urgent=urgent)


@app.command(epilog="Example: config-center rollout pause prompt")
def pause(
    which: Which, comment: Comment = "", namespace: Namespace = None, json: AsJson = False
) -> None:
    """Keep the share as it is until resume."""
    _move(which, "pause", {"comment": comment}, namespace, json)


@app.command(epilog="Example: config-center rollout resume prompt")
def resume(
    which: Which,
    urgent: Urgent = False,
    comment: Comment = "",
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """Go on after a pause."""
    _move(which, "resume", {"comment": comment}, namespace, json, urgent=urgent)


@app.command(epilog="Example: config-center rollout promote prompt")
def promote(
    which: Which,
    urgent: Urgent = False,
    comment: Comment = "",
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """Everybody gets the canary's version."""
    _move(which, "promote", {"comment": comment}, namespace, json, urgent=urgent)


@app.command(epilog="Example: config-center rollout abort prompt")
def abort(
    which: Which, comment: Comment = "", namespace: Namespace = None, json: AsJson = False
) -> None:
    """Everybody gets the stable version again."""
    _move(which, "abort", {"comment": comment}, namespace, json)


def _move(
    which: str,
    verb: str,
    body: dict[str, Any],
    namespace: str | None,
    json: bool,
    urgent: bool = False,
) -> None:
    remote = connect(namespace)
    query = {"urgent": "true"} if urgent else {}
    done = run(remote.call("POST", remote.ns("rollouts", which, verb), body, query=query))
    show.as_json(done) if json else _show_one(done)


def _show_one(about: dict[str, Any]) -> None:
    keys = ", ".join(f"{k['key']} {k['from'] or '-'} -> {k['to']}" for k in about["keys"])
    who = _WHO.get(about["state"], f"{about['percent']:g} %")
    typer.echo(f"{about['id']}  {about['state']}: {who}  {keys}")
    units = about.get("units")
    if units:
        counts = "  ".join(f"{name} {count}" for name, count in units.items())
        typer.echo(f"of the canary: {counts}")
        if units.get("refused"):
            typer.echo("warning: it is refused; config-center instances --json says why", err=True)
