"""Verbs for after a loss: export, restore, orphans."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from client_sdk.errors import NotVerified
from client_sdk.private_files import write_private
from client_sdk.snapshot import newest_image
from config_center.cli import show
from config_center.cli.hints import Verbs
from config_center.cli.remote import connect, fail, run
from config_center.cli.show import AsJson, Comment, Namespace, Urgent

orphans = typer.Typer(
    cls=Verbs, help="Acknowledged changes that the store lost.", no_args_is_help=True
)

Ident = Annotated[str, typer.Argument(help="The id that `orphans ls` shows.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("export", epilog="Example: config-center export default.ccx")(export)
    app.command("restore", epilog="Example: config-center restore --from-journal")(restore)
    app.add_typer(orphans, name="orphans")


def export(
    file: Annotated[Path, typer.Argument(help="Where to write; secrets in it stay sealed.")],
    namespace: Namespace = None,
) -> None:
    """Write a whole namespace to a file, signed: `restore` puts it back."""
    if not file.parent.is_dir():
        fail(f"there is no directory {file.parent}")
    remote = connect(namespace)
    raw = run(remote.fetch(remote.ns("snapshot")))
    write_private(file, raw)
    typer.echo(f"{file}: {len(raw)} bytes of {remote.namespace}")


def restore(
    file: Annotated[
        Path | None, typer.Argument(help="An export, or the .base file of a client's snapshot.")
    ] = None,
    from_journal: Annotated[
        bool, typer.Option("--from-journal", help="From what the center itself knows.")
    ] = False,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Go on without what nobody has any more.")
    ] = False,
    comment: Comment = "",
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """Put a namespace back into a store that lost it."""
    if (file is not None) + from_journal + accept_loss != 1:
        raise typer.BadParameter("give a FILE, --from-journal, or --accept-loss")
    remote = connect(namespace)
    path = remote.ns("restore")
    if file is not None:
        if not file.is_file():
            fail(f"there is no file {file}")
        done = run(remote.send(path, _image_of(file), {"comment": comment or None}))
    elif from_journal:
        done = run(remote.call("POST", path, {"from": "journal", "comment": comment}))
    else:
        done = run(remote.call("POST", path, {"accept_loss": True, "comment": comment}))
        lost = "; ".join(done["lost"])
        words = f"{remote.namespace}: goes on at {done['position']} without {lost}"
        show.done(done, words, json)
        return
    left = f"; {len(done['orphans'])} changes are newer: orphans ls" if done["orphans"] else ""
    if not done["replicated"]:
        left += "; fewer replicas than ack_replicas have them: a failover now would lose them again"
    words = f"{remote.namespace}: {done['keys']} keys as of {done['restored']} are back{left}"
    show.done(done, words, json)


def _image_of(file: Path) -> bytes:
    """An export as it is, or a client's snapshot with all that it followed since."""
    raw = file.read_bytes()
    if raw.startswith(b"CC1I"):  # by what is in it: people rename what they put away
        return raw
    try:
        return newest_image(file).encode()
    except NotVerified as error:
        fail(error)


@orphans.command("ls", epilog="Example: config-center orphans ls")
def list_orphans(namespace: Namespace = None, json: AsJson = False) -> None:
    """What was acknowledged, was lost by the store, and waits for somebody to decide."""
    remote = connect(namespace)
    items = run(remote.call("GET", remote.ns("orphans"), query={"limit": 1000}))["items"]
    if json:
        show.as_json(items)
        return
    show.table(
        ("ID", "KEYS", "WHEN", "WHO", "COMMENT"),
        [(i["id"], _keys(i["keys"]), i["at"], i["author"], i["comment"]) for i in items],
    )


@orphans.command(epilog="Example: config-center orphans replay 5e0c...")
def replay(
    ident: Ident,
    urgent: Urgent = False,
    comment: Comment = "",
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """Publish it again, as a new version, under its id; the rules that hold now judge it."""
    query = {"urgent": "true"} if urgent else {}
    _decide(ident, {"decision": "replay", "comment": comment}, query, namespace, json)


@orphans.command(epilog="Example: config-center orphans drop 5e0c...")
def drop(ident: Ident, namespace: Namespace = None, json: AsJson = False) -> None:
    """Let it go: it can never come back."""
    _decide(ident, {"decision": "drop"}, {}, namespace, json)


def _decide(
    ident: str, body: dict[str, str], query: dict[str, str], namespace: str | None, json: bool
) -> None:
    remote = connect(namespace)
    done = run(remote.call("POST", remote.ns("orphans", ident), body, query=query))
    show.done(done, f"{ident}: {body['decision']} at {done['epoch']}-{done['revision']}", json)


def _keys(keys: list[dict[str, Any]]) -> str:
    words = []
    for key in keys:
        now = key["now"]
        words.append(f"{key['key']} {key['version'] or '-'} (now {now['latest'] if now else '-'})")
    return ", ".join(words)
