"""Verbs about who may do what: token ls, create, revoke; whoami."""

from __future__ import annotations

import re
from itertools import product
from typing import Annotated, Any
from urllib.parse import quote

import typer

from config_center.cli import show
from config_center.cli.hints import Verbs
from config_center.cli.remote import connect, run
from config_center.cli.show import AsJson

app = typer.Typer(cls=Verbs, help="Access tokens.", no_args_is_help=True)

_SECONDS = {"m": 60, "h": 3_600, "d": 86_400}
_HOW_TO_USE = (
    "to use it: CONFIG_CENTER_TOKEN=cc_... before a command, or put it in a file of mode 0600 that "
    "CONFIG_CENTER_TOKEN_FILE names"
)
_LASTS = re.compile(r"([1-9][0-9]{0,5})([mhd])\Z")


@app.command("ls", epilog="Example: config-center token ls")
def list_tokens(json: AsJson = False) -> None:
    """Tokens within the reach of yours: name, role, scopes, expiry, last use at this center."""
    items = run(connect().items("/v1/tokens"))
    if json:
        show.as_json(items)
        return
    show.table(
        ("ID", "NAME", "ROLE", "FOR", "SCOPES", "MADE BY", "EXPIRES", "LAST USED"),
        [
            (
                item["id"],
                item["name"],
                item["role"],
                item["instance"],
                _scopes(item["scopes"]),
                item["created_by"],
                "expired" if item["expired"] else item["expires_at"],
                item["last_used_at"],
            )
            for item in items
        ],
    )


@app.command("create", epilog="Example: config-center token create gw-7 --instance gw-7")
def create_token(
    name: Annotated[str, typer.Argument(help="Who will have it: the author of what it changes.")],
    role: Annotated[
        str | None,
        typer.Option(help="reader, publisher, approver, operator or admin; see whoami --json."),
    ] = None,
    instance: Annotated[
        str | None, typer.Option(help="The instance it speaks for; its role is instance.")
    ] = None,
    namespace: Annotated[
        list[str] | None,
        typer.Option("--namespace", "-n", help="Only this namespace; may be given again."),
    ] = None,
    prefix: Annotated[
        list[str] | None,
        typer.Option(help="There only keys that begin so, as llm. ; may be given again."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="How long it lasts: 30d, 12h, 45m. None: it never expires.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Make a token; it is shown this once. Without --namespace it reaches all of them."""
    if (role is None) is (instance is None):
        raise typer.BadParameter("give --role ROLE, or --instance NAME for an instance's token")
    if prefix and not namespace:
        raise typer.BadParameter("--prefix goes with --namespace: say whose keys they are")
    body: dict[str, Any] = {"name": name, "role": role or "instance"}
    if instance is not None:
        body["instance"] = instance
    if namespace:
        pairs = product(namespace, prefix or [""])
        body["scopes"] = [{"namespace": ns, "prefix": begin} for ns, begin in pairs]
    if expires is not None:
        body["ttl"] = _seconds(expires)
    made = run(connect().call("POST", "/v1/tokens", body))
    show.done(made, made["token"], json)
    _say_how_to_use(json)


def _say_how_to_use(json: bool) -> None:
    if not json and show.prints_to_terminal():
        typer.echo(_HOW_TO_USE, err=True)


@app.command(epilog="Example: config-center token revoke 1f2e3d4c5b6a7988")
def revoke(
    token_id: Annotated[str, typer.Argument(help="Its id, as token ls shows it.")],
    json: AsJson = False,
) -> None:
    """End a token, for good and at once."""
    done = run(connect().call("DELETE", f"/v1/tokens/{quote(token_id, safe='')}"))
    show.done(done, f"{token_id}: revoked", json)


def whoami(json: AsJson = False) -> None:
    """Whose token this is, and what it may do."""
    found = run(connect().call("GET", "/v1/whoami"))
    speaks_for = f" for {found['instance']}" if found["instance"] else ""
    until = f", until {found['expires_at']}" if found["expires_at"] else ""
    words = f"{found['name']}: {found['role']}{speaks_for}, {_scopes(found['scopes'])}{until}"
    show.done(found, words, json)


def _scopes(scopes: list[dict[str, str]]) -> str:
    """``staging prod/llm.``: namespaces, with the prefix of their keys where there is one."""
    named = ((scope["namespace"], scope["prefix"]) for scope in scopes)
    return " ".join(f"{ns}/{prefix}".rstrip("/") for ns, prefix in named) or "all namespaces"


def _seconds(text: str) -> int:
    found = _LASTS.match(text)
    if found is None:
        raise typer.BadParameter("--expires is a number with m, h or d: 45m, 12h, 30d")
    return int(found[1]) * _SECONDS[found[2]]
