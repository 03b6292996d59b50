"""Verbs of the audit: look at it, take it away, prove it."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from client_sdk.errors import ConfigError, NotVerified
from client_sdk.signing import TrustList, Verifier, parse_public
from config_center.audit import book, pages
from config_center.audit.chain import End
from config_center.audit.entries import printable
from config_center.cli import show
from config_center.cli.hints import Verbs
from config_center.cli.remote import connect, fail, run
from config_center.cli.show import AsJson

if TYPE_CHECKING:
    from config_center.audit.chain import Finding

app = typer.Typer(cls=Verbs, help="Who changed what, or tried to.", no_args_is_help=True)

_ROUTE = "/v1/audit"
_TRUST_FILE = Path("data", "trust.json")
_SQLITE = b"SQLite format 3\0"


@app.command("ls", epilog="Example: config-center audit ls --outcome refused --since 2026-01-31")
def list_entries(
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Only this namespace.")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Only this token, by name or id.")] = None,
    key: Annotated[str | None, typer.Option(help="Only calls that name this key.")] = None,
    outcome: Annotated[str | None, typer.Option(help="accepted, refused or unknown.")] = None,
    since: Annotated[str | None, typer.Option(help="As 2026-01-31T12:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="The same.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 50,
    json: AsJson = False,
) -> None:
    """The newest entries of the audit of one center, the newest first."""
    query = {
        "namespace": namespace,
        "actor": actor,
        "key": key,
        "outcome": outcome,
        "since": since,
        "until": until,
        "limit": limit,
    }
    items = run(connect().call("GET", _ROUTE, query=query))["items"]
    if json:
        show.as_json(items)
        return
    columns = ("N", "WHEN", "WHO", "FROM", "WHAT", "OUTCOME", "WHY")
    show.table(columns, [[printable(cell, 300) for cell in _row(item)] for item in items])


@app.command("export", epilog="Example: config-center audit export audit.ndjson")
def export(
    file: Annotated[Path, typer.Argument(help="Where to write: a JSON object a line.")],
    after: Annotated[int, typer.Option(min=0, help="Only what comes after this entry.")] = 0,
) -> None:
    """Write the whole audit of one center to a file that `audit verify` can prove."""
    try:
        size = run(connect().download(_ROUTE, file, {"format": "ndjson", "after": str(after)}))
    except OSError as error:
        fail(f"{file} cannot be written ({error.strerror})")
    typer.echo(f"{file}: {size} bytes; prove it with: config-center audit verify {file}")


@app.command("verify", epilog="Example: config-center audit verify audit.ndjson --trust trust.json")
def verify(
    file: Annotated[Path, typer.Argument(help="An export, or a center's audit.sqlite3.")] = Path(
        "data", "audit.sqlite3"
    ),
    trust: Annotated[
        Path, typer.Option(help="The list of signing keys: a center's trust.json.")
    ] = _TRUST_FILE,
    root: Annotated[
        str | None, typer.Option(help="ed25519:BASE64: believe a list of this root only.")
    ] = None,
    contains: Annotated[
        str | None, typer.Option(help="NUMBER:HASH that was noted down; it has to be in it.")
    ] = None,
    json: AsJson = False,
) -> None:
    """
    Prove an audit with the trust list alone, without a center. Says that it is intact, or the
    first entry that is not; exit status 1.
    """
    try:
        noted = None if contains is None else End.parse(contains)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        pinned = None if root is None else parse_public(root)
        verifier = Verifier(TrustList.parse(trust.read_bytes(), pinned))
        found = _look_through(file, verifier, noted)
    except NotVerified as error:
        fail(f"{file} is not intact: {error}")
    except ConfigError as error:
        fail(f"{trust}: {error}")
    except (OSError, sqlite3.Error) as error:
        fail(_unreadable(file, trust, error))
    if json:
        show.as_json(_found_json(found))
    else:
        _say(file, found)
    if found.broken:
        raise typer.Exit(1)


def _unreadable(file: Path, trust: Path, error: Exception) -> str:
    away = getattr(error, "filename", None) or file
    hint = "; --trust names a copy of a center's trust.json" if str(away) == str(trust) else ""
    return f"{away} cannot be read ({getattr(error, 'strerror', None) or error}){hint}"


def _look_through(file: Path, verifier: Verifier, contains: End | None) -> Finding:
    with file.open("rb") as lines:
        if lines.read(len(_SQLITE)) != _SQLITE:
            lines.seek(0)
            return pages.examine(lines, verifier, contains)
    with closing(book.reader(file)) as db:
        return book.examine(db, verifier, contains)


def _found_json(found: Finding) -> dict[str, Any]:
    return {
        "intact": not found.broken,
        "chain": found.chain,
        "entries": found.count,
        "last": str(found.last),
        "broken": found.broken or None,
        "first_broken": found.entry,
    }


def _say(file: Path, found: Finding) -> None:
    if found.broken:
        where = "" if found.entry is None else f" at entry {found.entry}"
        print(f"error: {file} is not intact{where}: {found.broken}", file=sys.stderr)
        return
    typer.echo(
        f"{file}: intact, {found.count} entries ({found.after + 1} to {found.last.n}) of the chain "
        f"{found.chain}\nnote down for later: --contains {found.last}"
    )


def _why(item: dict[str, Any]) -> str:
    told = (item.get("comment"), item.get("detail"), item.get("asked", {}).get("reason"))
    return next((str(each) for each in told if each), "")


def _row(item: dict[str, Any]) -> list[str]:
    """The cells of one entry."""
    who = item.get("actor", "") or "-"
    keys = ", ".join(item.get("keys", []))
    what = " ".join(str(part) for part in (item.get("route"), item.get("namespace"), keys) if part)
    times = f" {item['times']} more" if item.get("times") else ""
    outcome = " ".join(
        str(part)
        for part in (item.get("status"), item.get("problem"), item.get("position"))
        if part
    )
    why = _why(item)
    event = "" if item["event"] == "call" else f"{item['event']} "
    return [
        str(item["n"]), item["at"], who, item.get("address", "-"), (event + what).strip() or "-",
        (outcome + times).strip() or "-", why,
    ]  # fmt: skip
