"""Verbs of other tools, and what is answered to them."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from config_center.__main__ import app
from config_center.cli.hints import HINTS, OPTIONS
from tests.config_center.cli.test_verbs import verbs


@pytest.mark.parametrize("tried", HINTS)
def test_what_is_no_verb_is_answered_with_one_that_is(tried: str) -> None:
    done = CliRunner().invoke(app, tried.split(), env={"COLUMNS": "200"})

    assert (done.exit_code, f"Try: config-center {HINTS[tried]}" in done.output) == (2, True)
    said = tuple(HINTS[tried].split())
    assert any(said[: len(verb)] == verb for verb in (*verbs(), ("instances",)))


def test_a_verb_that_is_spelt_alike_is_still_named_and_one_like_none_is_not() -> None:
    near = CliRunner().invoke(app, ["rollbak"], env={"COLUMNS": "200"})
    none = CliRunner().invoke(app, ["xyzzy"], env={"COLUMNS": "200"})

    assert (near.exit_code, "Did you mean 'rollback'?" in near.output) == (2, True)
    assert (none.exit_code, "No such command 'xyzzy'." in none.output) == (2, True)


@pytest.mark.parametrize("verb", OPTIONS)
def test_what_a_verb_does_not_take_is_answered_with_the_way_it_is_typed(verb: str) -> None:
    words = verb.split()

    done = CliRunner().invoke(app, [*words, "--nonsense"], env={"COLUMNS": "200"})

    assert (done.exit_code, f"Try: config-center {OPTIONS[verb]}" in done.output) == (2, True)
    options = {word for word in OPTIONS[verb].split() if word.startswith("-")}
    taken = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200"}).output
    assert [option for option in options if option not in taken] == []


def test_what_is_given_without_its_option_is_answered_with_it() -> None:
    done = CliRunner().invoke(app, ["diff", "prompt", "1", "4"], env={"COLUMNS": "200"})

    assert (done.exit_code, "Try: config-center diff KEY --from 1 --to 4" in done.output) == (
        *(2, True),
    )
