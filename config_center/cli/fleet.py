"""Verbs about who is there: instances, devices, namespaces, schemas, tokens, trust."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from config_center.cli import show
from config_center.cli.remote import connect, fail, run
from config_center.cli.show import AsJson, Namespace

devices = typer.Typer(help="Devices and what they get.", no_args_is_help=True)
namespaces = typer.Typer(help="Namespaces.", no_args_is_help=True)
schemas = typer.Typer(help="What a key's values must be.", no_args_is_help=True)
tokens = typer.Typer(help="Access tokens.", no_args_is_help=True)


def instances(namespace: Namespace = None, json: AsJson = False) -> None:
    """Instances, and which versions they applied or refused."""
    remote = connect(namespace)
    items = run(remote.call("GET", remote.ns("instances")))["items"]
    if json:
        show.as_json(items)
        return
    show.table(
        ("INSTANCE", "POSITION", "TRANSPORT", "STALE", "KEYS"),
        [
            (
                item["instance"],
                item.get("position"),
                item.get("transport"),
                item.get("stale"),
                " ".join(_key_words(item.get("keys", {}))),
            )
            for item in items
        ],
    )


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
def explain(device: str, key: str, namespace: Namespace = None) -> None:
    """What a device gets of a key, and why."""
    remote = connect(namespace)
    show.as_json(run(remote.call("GET", remote.key(key), query={"unit": device})))


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
) -> None:
    """Make a namespace."""
    remote = connect(name)
    run(remote.call("PUT", remote.ns(), {"template": template} if template else {}))
    typer.echo(f"{name}: made")


@namespaces.command(epilog="Example: config-center namespace delete old --yes")
def delete(
    name: str, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """End a namespace for good; its name is never used again."""
    if not yes:
        typer.confirm(f"End the namespace {name} for good?", abort=True)
    remote = connect(name)
    run(remote.call("DELETE", remote.ns()))
    typer.echo(f"{name}: ended")


@schemas.command("get", epilog="Example: config-center schema get llm")
def get_schema(key: str, namespace: Namespace = None) -> None:
    """What a key is bound to."""
    remote = connect(namespace)
    show.as_json(run(remote.call("GET", remote.key(key, "schema"))))


@schemas.command("set", epilog="Example: config-center schema set llm --kind llm")
def set_schema(
    key: str,
    kind: Annotated[str | None, typer.Option(help="A module kind.")] = None,
    file: Annotated[Path | None, typer.Option(help="A JSON Schema.")] = None,
    namespace: Namespace = None,
) -> None:
    """Bind a key to a kind or to a JSON Schema."""
    if (kind is None) is (file is None):
        fail("give --kind NAME or --file SCHEMA.json")
    if file is not None and not file.is_file():
        fail(f"there is no file {file}")
    body = {"kind": kind} if file is None else {"json_schema": orjson.loads(file.read_bytes())}
    remote = connect(namespace)
    run(remote.call("PUT", remote.key(key, "schema"), body))
    typer.echo(f"{key}: bound")


@tokens.command("ls", epilog="Example: config-center token ls")
def list_tokens(json: AsJson = False) -> None:
    """Tokens by name and role."""
    items = run(connect().call("GET", "/v1/tokens"))["items"]
    if json:
        show.as_json(items)
        return
    columns = ("id", "name", "role", "instance")
    show.table([c.upper() for c in columns], [[i.get(c) for c in columns] for i in items])


@tokens.command("create", epilog="Example: config-center token create gw-7 --instance gw-7")
def create_token(
    name: str,
    instance: Annotated[
        str | None, typer.Option(help="The instance it speaks for; none: an admin's token.")
    ] = None,
) -> None:
    """Make a token; it is shown this once."""
    body = {"name": name, "role": "admin" if instance is None else "instance"}
    if instance is not None:
        body["instance"] = instance
    typer.echo(run(connect().call("POST", "/v1/tokens", body))["token"])


@tokens.command(epilog="Example: config-center token revoke 1f2e3d4c5b6a7988")
def revoke(token_id: str) -> None:
    """End a token."""
    run(connect().call("DELETE", f"/v1/tokens/{token_id}"))
    typer.echo(f"{token_id}: revoked")


def trust() -> None:
    """The root key that clients pin: give it to them as `trust`."""
    typer.echo(run(connect().call("GET", "/v1/trust"))["root"])
