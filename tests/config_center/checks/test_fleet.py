"""Clients that do not follow."""

from __future__ import annotations

from config_center.checks.base import Facts, Level
from config_center.checks.fleet import judge
from config_center.fleet import Standing


def test_a_fleet_that_follows_is_fine_and_an_empty_one_is_not_judged() -> None:
    (check,) = judge(Facts(fleets={"default": Standing(3), "empty": Standing()}))

    assert (check.level, check.sentence) == (Level.OK, "3 instances follow default")
    (alone,) = judge(Facts(fleets={"default": Standing(1)}))
    assert alone.sentence == "1 instance follows default"
    assert list(judge(Facts())) == []


def test_refusing_must_be_mended_and_the_rest_be_looked_at() -> None:
    standing = Standing(9, ["s"], ["q"], ["b"], {"gw-2": ["llm"], "gw-1": ["llm", "tts"]})

    refusing, *others = judge(Facts(fleets={"default": standing}))

    assert refusing.level is Level.FAIL
    assert refusing.sentence == "gw-1, gw-2 refuse llm, tts in default"
    assert [check.level for check in others] == [Level.WARN] * 3
    assert all(check.mend for check in (refusing, *others))


def test_many_names_are_cut() -> None:
    standing = Standing(9, [f"gw-{n}" for n in range(7)])

    (check,) = judge(Facts(fleets={"default": standing}))

    assert check.sentence.endswith("gw-4 and 2 more")
