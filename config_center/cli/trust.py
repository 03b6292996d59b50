"""
Verbs about signing keys: show, rotate, retire, revoke; and request, sign, install for a root that
lies in a drawer. `sign` needs no center, and is for the machine where the root is.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from client_sdk.errors import ConfigError
from client_sdk.private_files import write_private
from config_center.cli import show
from config_center.cli.hints import Verbs
from config_center.cli.remote import connect, fail, run
from config_center.cli.show import AsJson

app = typer.Typer(
    cls=Verbs, help="The keys that sign what a fleet runs.", invoke_without_command=True
)

Kid = Annotated[str, typer.Argument(help="The key's name, as `trust show` prints it.")]
Days = Annotated[
    int | None, typer.Option("--valid-days", help="For how long the new key counts at most.")
]
Keep = Annotated[
    bool, typer.Option("--keep", help="Do not retire the old key: another center signs with it.")
]


@app.callback(epilog="Example: config-center trust")
def trust(context: typer.Context, json: AsJson = False) -> None:
    """The root key that clients pin: give it to them as `trust`."""
    if context.invoked_subcommand is None:
        found = run(connect().call("GET", "/v1/trust"))
        show.done(found, found["root"], json)


@app.command("show", epilog="Example: config-center trust show")
def show_keys(json: AsJson = False) -> None:
    """Every signing key, what it is, and what the center waits for."""
    _print(run(connect().call("GET", "/v1/trust/keys")), json)


@app.command(epilog="Example: config-center trust rotate")
def rotate(keep: Keep = False, valid_days: Days = None, json: AsJson = False) -> None:
    """Replace this center's signing key; nothing restarts."""
    _print(run(connect().call("POST", "/v1/trust/rotate", _plain(keep, valid_days))), json)


@app.command(epilog="Example: config-center trust retire 1f2e3d4c5b6a7988")
def retire(kid: Kid, json: AsJson = False) -> None:
    """Refuse a key that no center signs with any more."""
    _print(run(connect().call("POST", "/v1/trust/retire", {"kid": kid})), json)


@app.command(epilog="Example: config-center trust revoke 1f2e3d4c5b6a7988")
def revoke(kid: Kid, json: AsJson = False) -> None:
    """Refuse a stolen key at once; the center goes on with a new one."""
    _print(run(connect().call("POST", "/v1/trust/revoke", {"kid": kid})), json)
    if not json:
        typer.echo(f"Now look at what it signed: config-center trust records {kid}")


@app.command(epilog="Example: config-center trust records 1f2e3d4c5b6a7988 --days 7")
def records(
    kid: Kid,
    days: Annotated[int, typer.Option(help="How far back.")] = 90,
    json: AsJson = False,
) -> None:
    """What a key signed, as far as the center's journal goes back."""
    path = f"/v1/trust/keys/{kid}/records"
    items = run(connect().call("GET", path, query={"days": days}))["items"]
    if json:
        show.as_json(items)
        return
    show.table(
        ("NAMESPACE", "POSITION", "TYPE", "KEYS", "WHEN", "WHO"),
        [
            (i["namespace"], i["position"], i["type"], ", ".join(i["keys"]), i["at"], i["author"])
            for i in items
        ],
    )


@app.command(epilog="Example: config-center trust request new-key.json")
def request(
    file: Annotated[Path, typer.Argument(help="Where to write what the root has to sign.")],
    retire_kid: Annotated[
        str | None, typer.Option("--retire", help="Only refuse this key.")
    ] = None,
    revoke_kid: Annotated[
        str | None, typer.Option("--revoke", help="Refuse this stolen key at once.")
    ] = None,
    new_center: Annotated[
        Path | None,
        typer.Option("--new-center", help="For one more center, with this data directory."),
    ] = None,
    keep: Keep = False,
    valid_days: Days = None,
) -> None:
    """Write down what the root has to sign, for a root that is kept offline."""
    if sum(each is not None for each in (retire_kid, revoke_kid, new_center)) > 1:
        raise typer.BadParameter("give one of --retire, --revoke and --new-center")
    if new_center is not None:
        raw = _newcomer(new_center)
    else:
        kid = retire_kid or revoke_kid
        what = "rotate" if kid is None else "retire" if retire_kid else "revoke"
        body = {"what": what, "kid": kid, **_plain(keep, valid_days)}
        asked = {name: value for name, value in body.items() if value is not None}
        found = run(connect().call("POST", "/v1/trust/request", asked))
        raw = orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"
    write_private(file, raw, 0o644)
    typer.echo(f"{file}: carry it to the root, and there: config-center trust sign {file} "
               "--root root.key")  # fmt: skip


@app.command(epilog="Example: config-center trust sign new-key.json --root /media/usb/root.key")
def sign(
    file: Annotated[Path, typer.Argument(help="What `trust request` wrote.")],
    root: Annotated[Path, typer.Option(help="The root key.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to write the signed lists; else FILE.signed.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Sign what a center asks for; says first what it would change. Needs no center."""
    from config_center import succession
    from config_center.keys import load_root

    try:
        asked = succession.Request.decode(_read(file))
        signed = succession.sign(asked, load_root(root))
    except ConfigError as error:
        fail(error)
    before = asked.base
    for each in signed:
        for words in succession.in_words(before, each):
            typer.echo(f"list {each.version}: {words}")
        before = each
    if not yes and not typer.confirm("Sign this?"):
        fail("nothing was signed")
    target = out or file.with_name(file.name + ".signed")
    write_private(target, succession.encode_signed(signed), 0o644)
    typer.echo(f"{target}: carry it back, and there: config-center trust install {target}")


@app.command(epilog="Example: config-center trust install new-key.json.signed")
def install(
    file: Annotated[Path, typer.Argument(help="What `trust sign` wrote.")], json: AsJson = False
) -> None:
    """Bring in what the root has signed."""
    try:
        plain = orjson.loads(_read(file))
        lists, is_signed = plain["lists"], "request" not in plain
    except (orjson.JSONDecodeError, KeyError, TypeError):
        fail(f"{file} is not what `config-center trust sign` wrote")
    if not is_signed:
        fail(f"{file} is not signed yet: config-center trust sign {file} --root root.key")
    _print(run(connect().call("POST", "/v1/trust", {"lists": lists})), json)


def _newcomer(data: Path) -> bytes:
    from config_center import succession
    from config_center.keys import prepare_newcomer

    try:
        base, key = prepare_newcomer(data, secrets.token_bytes)
    except (ConfigError, OSError) as error:
        fail(error)
    return succession.newcomer(base, key.public, time.time_ns() // 1_000_000).encode()


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")


def _plain(keep: bool, days: int | None) -> dict[str, Any]:
    return {"keep": keep} if days is None else {"keep": keep, "days": days}


def _print(found: dict[str, Any], json: bool) -> None:
    if json:
        show.as_json(found)
        return
    where = "is here" if found["root_here"] else "is kept elsewhere"
    typer.echo(f"root {found['root']} {where}; list {found['version']}")
    rows = [(k["kid"], k["state"], k.get("until") or k.get("since") or "-") for k in found["keys"]]
    show.table(("KEY", "STATE", "UNTIL, OR SINCE"), rows)
    if found["waits_for"]:
        typer.echo(f"waits for {found['waits_for']}")
