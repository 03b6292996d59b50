"""Verbs about keys: put, get, ls, rm, history, diff, rollback, watch."""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from client_sdk.errors import ApiError
from config_center.cli import show
from config_center.cli.remote import Remote, connect, fail, run
from config_center.cli.review import make_draft
from config_center.cli.show import AsJson, Comment, Namespace, Urgent

AsDraft = Annotated[bool, typer.Option("--draft", help="Let somebody else approve it first.")]
Supersede = Annotated[bool, typer.Option(help="Abort the rollout that runs on the key.")]
Percent = Annotated[float | None, typer.Option(help="Publish to this share of the devices first.")]
Format = Annotated[
    str | None, typer.Option("--format", help="json, yaml, toml or text; none: by the file.")
]
IfVersion = Annotated[
    int | None,
    typer.Option(help="Only if the latest version is still this one; 0: if there is none."),
]
_FORMATS = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command(epilog="Example: config-center put prompt --text 'You are brief.' --percent 10")(
        put
    )
    app.command(epilog="Example: config-center get prompt")(get)
    app.command("ls", epilog="Example: config-center ls")(list_keys)
    app.command("rm", epilog="Example: config-center rm old-key")(remove)
    app.command(epilog="Example: config-center history prompt")(history)
    app.command(epilog="Example: config-center diff prompt --from 3 --to 4")(diff)
    app.command(epilog="Example: config-center rollback prompt")(rollback)
    app.command(epilog="Example: config-center watch")(watch)


def put(
    key: Annotated[str, typer.Argument(help="Name of the key.")],
    file: Annotated[str | None, typer.Argument(help="A file, or - for standard input.")] = None,
    text: Annotated[str | None, typer.Option(help="The text itself.")] = None,
    form: Format = None,
    percent: Percent = None,
    if_version: IfVersion = None,
    supersede: Supersede = False,
    draft: AsDraft = False,
    urgent: Urgent = False,
    comment: Comment = "",
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """Publish a value: a file, standard input, or a text."""
    value, form = _value(key, file, text, form)
    remote = connect(namespace)
    said: dict[str, Any] = {"comment": comment}
    if percent is not None:
        said["rollout"] = {"percent": percent, "unit": "device"}
    if draft:
        about = {"op": "put", "key": key, "if_version": if_version}
        operation = {**about, "value": value, "format": form}
        make_draft(remote, {"operations": [operation], **said}, json, supersede)
        return
    body = {"value": value, "format": form, **said}
    headers = {"Idempotency-Key": str(uuid.uuid4()), **_condition(if_version)}
    query = _flags(supersede=supersede, urgent=urgent)
    done = run(remote.call("PUT", remote.key(key), body, query=query, headers=headers))
    show.done(done, _published(key, done), json)
    if not json:
        _note(done, value, form)


def _flags(**flags: bool) -> dict[str, str]:
    """The query of what was asked for beside the change itself."""
    return {name: "true" for name, given in flags.items() if given}


def _published(key: str, done: dict[str, Any]) -> str:
    """Who gets the new version, and where it is in history."""
    where, rollout = f"{done['epoch']}-{done['revision']}", done.get("rollout")
    if not rollout:
        return f"{key}: version {done['version']} at {where}"
    return (
        f"{key}: version {done['latest']} goes to {rollout['percent']:g} % of the "
        f"{rollout.get('unit', 'device')}s at {where}; then: config-center rollout promote {key}"
    )


def _note(done: dict[str, Any], value: Any, form: str) -> None:
    """On stderr, what may not have been meant so."""
    for warning in done.get("warnings", ()):
        typer.echo(f"warning: {warning}", err=True)
    if form == "text" and value.lstrip()[:1] in ("{", "["):
        typer.echo("note: it is published as a text; --format json makes it a value", err=True)


def _condition(if_version: int | None) -> dict[str, str]:
    """The header that says what a publish was made on."""
    if if_version is None:
        return {}
    return {"If-Match": f'"{if_version}"'} if if_version else {"If-None-Match": "*"}


def _value(key: str, file: str | None, text: str | None, form: str | None) -> tuple[Any, str]:
    if (file is None) is (text is None):
        raise typer.BadParameter("give a file (or - for standard input), or --text VALUE")
    if text is not None:
        raw, form = _utf8("the text", os.fsencode(text)), form or "text"
    elif file == "-":
        raw, form = _utf8("standard input", sys.stdin.buffer.read()), form or "text"
    else:
        path = _file(key, str(file))
        raw = _utf8(str(path), path.read_bytes())
        form = form or _FORMATS.get(path.suffix.lower(), "text")
    if form != "json":
        return raw, form
    try:
        return orjson.loads(raw), form
    except orjson.JSONDecodeError as error:
        fail(f"this is not JSON: {error}")


def _file(key: str, name: str) -> Path:
    path = Path(name)
    if path.is_dir():
        fail(f"{name} is a directory; name one file, which becomes the value of {key}")
    if not path.is_file():
        fail(f"there is no file {name}; for the text itself use --text")
    return path


def _utf8(what: str, raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        fail(f"{what} is not UTF-8 text")


def get(
    key: Annotated[str, typer.Argument(help="Name of the key.")],
    version: Annotated[int | None, typer.Option(help="This version.")] = None,
    unit: Annotated[str | None, typer.Option(help="What this device gets, and why.")] = None,
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """Print a value; with --json everything about it."""
    remote = connect(namespace)
    query = {"version": version, "unit": unit}
    found = run(remote.call("GET", remote.key(key), query=query))
    if json or unit is not None:
        show.as_json(found)
    else:
        show.value(found.get("text") or found["value"])


def list_keys(
    prefix: Annotated[str | None, typer.Argument(help="Only keys that begin so.")] = None,
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """List keys with version, format, size and rollout."""
    remote = connect(namespace)
    items = run(remote.items(remote.ns("keys"), {"prefix": prefix}))
    if json:
        show.as_json(items)
        return
    show.table(
        ("KEY", "VERSION", "LATEST", "FORMAT", "SIZE", "ROLLOUT"),
        [
            (
                item["key"],
                item["version"],
                item["latest"],
                item.get("format"),
                item.get("size"),
                show.rollout(item.get("rollout")),
            )
            for item in items
        ],
    )


def remove(
    key: Annotated[str, typer.Argument(help="Name of the key.")],
    if_version: Annotated[
        int | None, typer.Option(help="Only if the latest version is still this one.")
    ] = None,
    supersede: Supersede = False,
    draft: AsDraft = False,
    urgent: Urgent = False,
    comment: Comment = "",
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """Remove a key; a rollback brings it back."""
    remote = connect(namespace)
    if draft:
        operation = {"op": "delete", "key": key, "if_version": if_version}
        make_draft(remote, {"operations": [operation], "comment": comment}, json, supersede)
        return
    query = {"comment": comment or None, **_flags(supersede=supersede, urgent=urgent)}
    headers = {} if if_version is None else {"If-Match": f'"{if_version}"'}
    done = run(remote.call("DELETE", remote.key(key), query=query, headers=headers))
    show.done(done, f"{key}: removed; config-center rollback {key} brings it back", json)


def history(
    key: Annotated[str, typer.Argument(help="Name of the key.")],
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """Every version of a key."""
    remote = connect(namespace)
    items, now = run(_history(remote, key))
    if json:
        show.as_json(items)
        return
    show.table(
        ("VERSION", "SERVED TO", "WHEN", "WHO", "SIZE", "COMMENT"),
        [
            (
                i["version"],
                _served_to(i, now),
                i["published_at"],
                i["author"],
                i["size"],
                _comment(i),
            )
            for i in items
        ],
    )


async def _history(remote: Remote, key: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All versions, and the key as it is now; of a removed key nothing."""
    items = await remote.items(remote.key(key, "versions"))
    try:
        return items, await remote.call("GET", remote.key(key))
    except ApiError as error:
        if error.status != 404:
            raise
        return items, {}


def _served_to(item: dict[str, Any], now: dict[str, Any]) -> str:
    rollout = now.get("rollout")
    if rollout and item["version"] == now["latest"]:
        return show.rollout(rollout)
    if item["version"] == now.get("version"):
        return "the others" if rollout else "everybody"
    return ""


def _comment(item: dict[str, Any]) -> str:
    back = f"[back to {item['rollback_of']}] " if item.get("rollback_of") else ""
    agreed = f"[approved by {item['approved_by']}] " if item.get("approved_by") else ""
    urgent = "[urgent] " if item.get("urgent") else ""
    gone = item.get("shredded")
    lost = f"[secrets destroyed at {gone['at'] or '?'}] " if gone else ""
    return lost + back + agreed + urgent + (item["comment"] or "")


def diff(
    key: Annotated[str, typer.Argument(help="Name of the key.")],
    before: Annotated[int | None, typer.Option("--from", help="Older version.")] = None,
    after: Annotated[int | None, typer.Option("--to", help="Newer version.")] = None,
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """What differs between two versions; secrets are masked."""
    remote = connect(namespace)
    query = {"from": before, "to": after, "format": "structural" if json else "unified"}
    found = run(remote.call("GET", remote.key(key, "diff"), query=query))
    if json:
        show.as_json(found)
    else:
        show.text(str(found.get("diff", found) if isinstance(found, dict) else found))


def rollback(
    key: Annotated[str, typer.Argument(help="Name of the key.")],
    to: Annotated[int | None, typer.Option(help="Version to go back to; none: before.")] = None,
    supersede: Supersede = False,
    comment: Comment = "",
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """
    Go back: abort the canary that runs on the key, else publish the version before again.
    """
    remote = connect(namespace)
    done, words = run(_rollback(remote, key, to, supersede, comment))
    show.done(done, words, json)


async def _rollback(
    remote: Remote, key: str, to: int | None, supersede: bool, comment: str
) -> tuple[Any, str]:
    running = await _running(remote, key) if to is None else None
    if running:
        path = remote.ns("rollouts", running, "abort")
        done = await remote.call("POST", path, {"comment": comment})
        return done, f"{key}: the canary {running} was aborted; everybody has the stable version"
    body = {"to": to, "comment": comment} if to is not None else {"comment": comment}
    query = _flags(supersede=supersede)
    done = await remote.call("POST", remote.key(key, "rollback"), body, query=query)
    version, content = done["latest"], done["rollback_of"]
    return done, f"{key}: version {version} holds the content of version {content} again"


async def _running(remote: Remote, key: str) -> str | None:
    """The id of the rollout on the key; a removed key has none, and can be rolled back."""
    try:
        rollout = (await remote.call("GET", remote.key(key))).get("rollout")
    except ApiError as error:
        if error.status != 404:
            raise
        return None
    return rollout["id"] if rollout else None


def watch(
    prefix: Annotated[str | None, typer.Argument(help="Only keys that begin so.")] = None,
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """Print changes as they happen, until Ctrl-C."""
    remote = connect(namespace)
    run(_watch(remote, prefix, json))


async def _watch(remote: Remote, prefix: str | None, json: bool) -> None:
    query = {"prefix": prefix} if prefix else {}
    async for name, data in remote.events(remote.ns("watch"), query):
        if name != "change":
            continue
        if json:
            typer.echo(data)
            continue
        about = orjson.loads(data)
        what = ", ".join(f"{k['key']} ({k['op']})" for k in about["keys"]) or about["what"]
        why = "" if about["comment"] in what else about["comment"]
        show.line(f"{about['position']}  {about['author']}  {what}  {why}".rstrip())
