"""Verbs about secrets: status, rotation of keys, shredding, sealing what stands in clear."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from config_center.cli import show
from config_center.cli.hints import Verbs
from config_center.cli.remote import connect, run
from config_center.cli.show import AsJson, Comment, Namespace

app = typer.Typer(cls=Verbs, help="Keys of secrets, and secrets of the past.", no_args_is_help=True)

_KEKS = "/v1/secrets"
_NAMED = 20  # versions, or instances, in a question
Key = Annotated[str, typer.Argument(help="Name of the key.")]
KekId = Annotated[str, typer.Argument(help="The id that `secrets status` shows.")]


@app.command(epilog="Example: config-center secrets status")
def status(json: AsJson = False) -> None:
    """Which key-encryption key wraps how many data keys, in each namespace."""
    _show(run(connect().call("GET", _KEKS)), json)


@app.command("new-key", epilog="Example: config-center secrets new-key")
def new_key(json: AsJson = False) -> None:
    """Make a key-encryption key in the center's file; nothing is sealed with it yet."""
    made = run(connect().call("POST", _KEKS + "/keys"))
    words = (
        f"{made['id']}: added to {made['source']}; give its line to every center and gateway, "
        "then: config-center secrets rotate"
    )
    show.done(made, words, json)


@app.command(epilog="Example: config-center secrets rotate")
def rotate(
    to: Annotated[str | None, typer.Option(help="Seal with this one; none: the newest.")] = None,
    json: AsJson = False,
) -> None:
    """Seal with another key-encryption key from now on, and wrap every data key anew."""
    done = run(connect().call("POST", _KEKS + "/rotate", {"to": to} if to else {}))
    old = [key["id"] for key in done["keys"] if not key["current"] and key["held"]]
    then = f"; then: config-center secrets drop-key {old[0]}" if old and not done["left"] else ""
    words = f"{done['current']}: {done['rewrapped']} wrapped anew, {done['left']} left{then}"
    show.done(done, words, json)


@app.command("drop-key", epilog="Example: config-center secrets drop-key 5e0c7a1b2d3f4a69")
def drop_key(ident: KekId, json: AsJson = False) -> None:
    """Forget an old key-encryption key; refused while it wraps anything."""
    done = run(connect().call("DELETE", f"{_KEKS}/keys/{quote(ident, safe='')}"))
    show.done(done, f"{ident}: dropped from {done['source']}", json)


@app.command(epilog="Example: config-center secrets shred llm --version 3")
def shred(
    key: Key,
    version: Annotated[int, typer.Option(help="Whose secrets are destroyed.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    comment: Comment = "",
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """Destroy the secrets of a version for good: nobody can read them or go back to it."""
    remote = connect(namespace)
    found = run(remote.call("GET", remote.key(key, "shred"), query={"version": version}))
    already = found["shredded"]
    if found["served_by"] and not already:
        typer.echo(_needed(found["served_by"]), err=True)
    if not yes and not already:
        show.confirm(_question(key, found["versions"]), "--yes")
    # Of one that is destroyed, too: a center that died meanwhile has its data key dropped then.
    body = {"version": version, "comment": comment}
    done = run(remote.call("POST", remote.key(key, "shred"), body))
    versions = ", ".join(map(str, done["versions"]))
    how = f"were destroyed already{_since(already)}" if already else "are destroyed"
    show.done(done, f"{key}: the secrets of version {versions} {how}", json)


def _since(already: dict[str, str | None]) -> str:
    return f", at {already['at']} by {already['by']}" if already["at"] else ""


def _needed(names: list[str]) -> str:
    """One that refused what is newer goes on with what it had, until it starts again."""
    which, more = ", ".join(names[:_NAMED]), len(names) - _NAMED
    if more > 0:
        which += f" and {more} more"
    return (
        f"warning: {which} may still serve this, and would have nothing after a restart; "
        f"look first: config-center instances show {names[0]}"
    )


def _question(key: str, versions: list[int]) -> str:
    """They share their secrets, so they go together: whoever says yes has seen which."""
    if len(versions) == 1:
        return f"Destroy the secrets of version {versions[0]} of {key} for good?"
    which, more = ", ".join(map(str, versions[:_NAMED])), len(versions) - _NAMED
    if more > 0:
        which += f" and {more} more"
    return f"Destroy the secrets of {len(versions)} versions of {key} ({which}) for good?"


@app.command(epilog="Example: config-center secrets reseal llm")
def reseal(
    key: Key, comment: Comment = "", namespace: Namespace = None, json: AsJson = False
) -> None:
    """Publish the present value anew under new data keys."""
    remote = connect(namespace)
    done = run(remote.call("POST", remote.key(key, "reseal"), {"comment": comment}))
    show.done(done, f"{key}: version {done['version']} at {done['epoch']}-{done['revision']}", json)


@app.command(epilog="Example: config-center secrets seal")
def seal(
    dry: Annotated[bool, typer.Option("--list", help="Only list what stands in clear.")] = False,
    comment: Comment = "",
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """Seal what was published before its field was a secret."""
    remote = connect(namespace)
    if dry:
        rows = run(remote.call("GET", remote.ns("secrets"), query={"limit": 1000}))["items"]
        found: dict[str, Any] = {"keys": [], "in_clear": rows}
    else:
        found = run(remote.call("POST", remote.ns("secrets", "seal"), {"comment": comment}))
    if json:
        show.as_json(found)
        return
    for key in found["keys"]:
        typer.echo(f"{key['key']}: sealed as version {key['version']}")
    _show_clear(found["in_clear"])


def _show_clear(rows: list[dict[str, Any]]) -> None:
    if not rows:
        typer.echo("no version holds a secret in clear")
        return
    columns = ("KEY", "VERSION", "FIELDS", "SERVED")
    show.table(
        columns,
        [
            (r["key"], r["version"], " ".join(r["fields"]) or "/", "yes" if r["served"] else "")
            for r in rows
        ],
    )
    typer.echo(
        "note: whoever could read these versions may have these secrets: exchange them where they "
        "were issued. The versions stay in the history until retention lets them go",
        err=True,
    )


def _show(found: dict[str, Any], json: bool) -> None:
    if json:
        show.as_json(found)
        return
    typer.echo(f"source: {found['source']}")
    rows = [
        (key["id"], space["namespace"], space["data_keys"].get(key["id"], 0), _about(key))
        for key in found["keys"]
        for space in found["namespaces"]
    ]
    show.table(("ID", "NAMESPACE", "DATA KEYS", ""), rows)


def _about(key: dict[str, Any]) -> str:
    return "seals" if key["current"] else "opens" if key["held"] else "MISSING"
