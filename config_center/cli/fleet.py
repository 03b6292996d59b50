"""Verbs about who is there: instances, devices, namespaces, schemas."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from client_sdk.suggestions import did_you_mean
from config_center.cli import show
from config_center.cli.hints import Verbs
from config_center.cli.remote import connect, fail, run
from config_center.cli.review import make_draft
from config_center.cli.show import AsJson, Comment, Namespace, Urgent

instances = typer.Typer(cls=Verbs, invoke_without_command=True)
devices = typer.Typer(cls=Verbs, help="Devices and what they get.", no_args_is_help=True)
namespaces = typer.Typer(cls=Verbs, help="Namespaces.", no_args_is_help=True)
schemas = typer.Typer(cls=Verbs, help="What a key's values must be.", no_args_is_help=True)


@instances.callback(epilog="Example: config-center instances")
def every_instance(
    context: typer.Context, namespace: Namespace = None, json: AsJson = False
) -> None:
    """Instances, and which versions they applied or refused."""
    if context.invoked_subcommand is None:
        list_instances(namespace, json)
    elif namespace is not None or json:
        raise typer.BadParameter("-n and --json stand behind the verb")


@instances.command("show", epilog="Example: config-center instances show gateway-1")
def show_instance(instance: str, namespace: Namespace = None, json: AsJson = False) -> None:
    """One instance, with each of its keys."""
    remote = connect(namespace)
    items = run(remote.items(remote.ns("instances")))
    found = next((item for item in items if item["instance"] == instance), None)
    if found is None:
        hint = did_you_mean(instance, [item["instance"] for item in items])
        fail(f"no instance {instance!r} was seen in {remote.namespace}{hint}")
    if json:
        show.as_json(found)
        return
    for name in ("last_seen", "position", "transport", "stale"):
        show.line(f"{name.replace('_', ' '):10} {_cell(found.get(name))}")
    for key, about in sorted(found.get("keys", {}).items()):
        applied = about.get("state") == "applied"
        state = "applied" if applied else f"refused: {_why(about)}"
        show.line(f"{key} version {about.get('version')} {state}")


@instances.command("ls", epilog="Example: config-center instances ls")
def list_instances(namespace: Namespace = None, json: AsJson = False) -> None:
    """The same as without a verb: all of them."""
    remote = connect(namespace)
    items = run(remote.items(remote.ns("instances")))
    if json:
        show.as_json(items)
        return
    show.table(
        ("INSTANCE", "LAST SEEN", "POSITION", "TRANSPORT", "STALE", "KEYS"),
        [
            (
                item["instance"],
                item.get("last_seen"),
                item.get("position"),
                item.get("transport"),
                item.get("stale"),
                " ".join(_key_words(item.get("keys", {}))),
            )
            for item in items
        ],
    )
    for item in items:
        for key, about in item.get("keys", {}).items():
            if about.get("state") != "applied":
                typer.echo(f"{item['instance']} refused {key}: {_why(about)}", err=True)


def _cell(value: Any) -> Any:
    return "-" if value is None else value


def _why(about: dict[str, Any]) -> str:
    step, reason = about.get("step"), about.get("reason") or "it did not say why"
    return f"{step}: {reason}" if step else str(reason)


def _key_words(keys: dict[str, dict[str, Any]]) -> list[str]:
    return [
        f"{key}={about.get('version')}" + ("" if about.get("state") == "applied" else "!refused")
        for key, about in keys.items()
    ]


@devices.command("ls", epilog="Example: config-center devices ls")
def list_devices(namespace: Namespace = None, json: AsJson = False) -> None:
    """Devices in conversation, and the versions they get."""
    remote = connect(namespace)
    items = run(remote.call("GET", remote.ns("devices"), query={"limit": 1000}))["items"]
    if json:
        show.as_json(items)
        return
    show.table(
        ("DEVICE", "INSTANCE", "FIRMWARE", "KEYS"),
        [
            (
                item["device"],
                item.get("instance"),
                item.get("firmware"),
                " ".join(
                    f"{key}={about.get('version')}" + ("*" if about.get("arm") == "canary" else "")
                    for key, about in item.get("keys", {}).items()
                ),
            )
            for item in items
        ],
    )


@devices.command(epilog="Example: config-center devices explain 24:6f:28:a0:00:01 prompt")
def explain(device: str, key: str, namespace: Namespace = None, json: AsJson = False) -> None:
    """What a device gets of a key, and why."""
    remote = connect(namespace)
    found = run(remote.call("GET", remote.key(key), query={"unit": device}))
    version, arm, reason = found["version"], found["arm"], found["reason"]
    show.done(found, f"{device} gets version {version} of {key}: {arm} ({reason})", json)


@namespaces.command("ls", epilog="Example: config-center namespace ls")
def list_namespaces(json: AsJson = False) -> None:
    """Namespaces you can see."""
    items = run(connect().call("GET", "/v1/namespaces"))["items"]
    if json:
        show.as_json(items)
        return
    columns = ("namespace", "mode", "position", "keys")
    show.table([c.upper() for c in columns], [[i.get(c) for c in columns] for i in items])


@namespaces.command(epilog="Example: config-center namespace create prod --template gateway")
def create(
    name: str,
    template: Annotated[str | None, typer.Option(help="gateway: bind the gateway's keys.")] = None,
    json: AsJson = False,
) -> None:
    """Make a namespace."""
    remote = connect(name)
    made = run(remote.call("PUT", remote.ns(), {"template": template} if template else {}))
    show.done(made, f"{name}: made", json)


@namespaces.command(epilog="Example: config-center namespace delete old --yes")
def delete(
    name: str,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: AsJson = False,
) -> None:
    """End a namespace for good; its name is never used again."""
    if not yes:
        show.confirm(f"End the namespace {name} for good?", "--yes")
    remote = connect(name)
    show.done(run(remote.call("DELETE", remote.ns())), f"{name}: ended", json)


@schemas.command("ls", epilog="Example: config-center schema ls")
def list_schemas(namespace: Namespace = None, json: AsJson = False) -> None:
    """Keys, and the kind that each is bound to; a JSON Schema is shown by `schema get`."""
    remote = connect(namespace)
    items = run(remote.items(remote.ns("keys")))
    bound = [{"key": item["key"], "kind": item.get("kind")} for item in items]
    if json:
        show.as_json(bound)
        return
    show.table(("KEY", "KIND"), [(item["key"], item["kind"]) for item in bound])


@schemas.command("get", epilog="Example: config-center schema get llm")
def get_schema(key: str, namespace: Namespace = None, json: AsJson = False) -> None:
    """What a key is bound to."""
    remote = connect(namespace)
    found = run(remote.call("GET", remote.key(key, "schema")))
    if json or not found.get("kind"):
        show.as_json(found)
    else:
        typer.echo(f"{key}: kind {found['kind']}")


@schemas.command("set", epilog="Example: config-center schema set llm --kind llm")
def set_schema(
    key: str,
    kind: Annotated[str | None, typer.Option(help="As llm; a wrong one lists all.")] = None,
    file: Annotated[Path | None, typer.Option(help="A JSON Schema.")] = None,
    draft: Annotated[
        bool, typer.Option("--draft", help="Let somebody else approve it first.")
    ] = False,
    urgent: Urgent = False,
    comment: Comment = "",
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """Bind a key to a kind or to a JSON Schema."""
    if (kind is None) is (file is None):
        raise typer.BadParameter("give --kind NAME or --file SCHEMA.json")
    body = {"kind": kind} if file is None else {"json_schema": _json_of(file)}
    remote = connect(namespace)
    if draft:
        make_draft(remote, {"schema": body, "key": key, "comment": comment}, json)
        return
    query = {"urgent": "true"} if urgent else {}
    asked = {**body, "comment": comment}
    done = run(remote.call("PUT", remote.key(key, "schema"), asked, query=query))
    if not json:
        for warning in done.get("warnings", ()):
            typer.echo(f"warning: {warning}", err=True)
    show.done(done, f"{key}: bound", json)


def _json_of(file: Path) -> Any:
    if not file.is_file():
        fail(f"there is no file {file}")
    try:
        return orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        fail(f"{file} is not JSON: {error}")
