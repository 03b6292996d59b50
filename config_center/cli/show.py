"""
How the command line prints: JSON when asked for it, a table or a few words otherwise.

What others wrote (comments, names, values) is shown with every character that a terminal would act
upon written out: an approver must not be shown another text than the one that is approved.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from client_sdk.log_lines import shown
from config_center.cli.remote import fail

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace; none: CONFIG_CENTER_NAMESPACE.")
]
Urgent = Annotated[
    bool, typer.Option("--urgent", help="Pass over a rule in an emergency; needs --comment.")
]
Comment = Annotated[str, typer.Option("--comment", "-c", help="Why.")]


def at_terminal() -> bool:
    """True where somebody is there to be asked."""
    return sys.stdin.isatty()


def prints_to_terminal() -> bool:
    """True where somebody reads what is printed, and no script."""
    return sys.stdout.isatty()


def confirm(question: str, otherwise: str) -> None:
    """
    Go on when somebody says yes, else end with status 1. ``otherwise`` is what to give where nobody
    can be asked: it is said when the input ends without an answer.
    """
    try:
        agreed = typer.confirm(question)
    except typer.Abort:
        if at_terminal():  # Ctrl-C is an answer
            raise
        typer.echo("", err=True)
        fail(f"nobody answered, and nothing was done; where nobody can be asked give {otherwise}")
    if not agreed:
        raise typer.Abort


def as_json(plain: Any) -> None:
    """JSON on stdout."""
    typer.echo(orjson.dumps(plain, option=orjson.OPT_INDENT_2).decode("utf-8"))


def value(plain: Any) -> None:
    """A value: a text as it is, anything else as JSON."""
    if isinstance(plain, str):
        typer.echo(plain)
    else:
        as_json(plain)


def done(plain: Any, words: str, json: bool) -> None:
    """What a change answered: in words, or all of it."""
    if json:
        as_json(plain)
    else:
        text(words)


def line(words: str) -> None:
    """One line, whatever is in it."""
    typer.echo(shown(words))


def text(words: str) -> None:
    """Several lines."""
    typer.echo(shown(words, keep="\n\t"))


_PIPED = 1000


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A plain table."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # What is copied from here stays in one piece.
        made.add_column(column, overflow="fold", no_wrap=column == "ID")
    for row in rows:
        made.add_row(*("-" if cell is None else shown(str(cell), keep="\n") for cell in row))
    console = Console(soft_wrap=True, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = _PIPED  # whoever reads it there wants whole lines
    console.print(made)


def rollout(about: dict[str, Any] | None) -> str:
    """A rollout in a few words."""
    if not about:
        return "-"
    return f"{about['percent']:g} % {about['state']}"
