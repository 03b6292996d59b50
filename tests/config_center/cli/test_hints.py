"""Verbs of other tools, and what is answered to them."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from config_center.__main__ import app
from config_center.cli.hints import HINTS
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
