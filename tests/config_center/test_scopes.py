"""How far a token reaches: exact names, prefixes of keys, and nothing in between."""

from __future__ import annotations

import pytest

from config_center.problems import Problem
from config_center.scopes import EVERYTHING, MOST, Reach, Scope, asked_reach

LLM = Reach((Scope("prod", "llm."), Scope("prod", "asr."), Scope("staging")))


def test_a_reach_holds_what_one_of_its_scopes_holds() -> None:
    assert LLM.holds("prod", "llm.cn")
    assert LLM.holds("prod", "asr.")
    assert LLM.holds("staging", "anything")
    assert not LLM.holds("prod", "tts.cn")
    assert not LLM.holds("other", "llm.cn")
    assert [LLM.whole(ns) for ns in ("prod", "staging", "other")] == [False, True, False]
    assert [LLM.sees(ns) for ns in ("prod", "staging", "other")] == [True, True, False]


def test_no_scope_is_everything_but_the_centers_own() -> None:
    assert EVERYTHING.unlimited
    assert EVERYTHING.whole("prod")
    assert EVERYTHING.holds("prod", "anything")
    for reach in (EVERYTHING, Reach((Scope("_system"),))):
        assert not reach.sees("_system")
        assert not reach.whole("_system")
        assert not reach.holds("_system", "token.0")


def test_a_scope_without_a_prefix_makes_the_others_of_its_namespace_needless() -> None:
    both = Reach((Scope("prod", "llm."), Scope("prod")))

    assert both.prefixes("prod") == ("",)
    assert both.whole("prod")
    assert Reach((Scope("prod", "b"), Scope("prod", "a"))).prefixes("prod") == ("a", "b")


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        ("a_b", "axb"),  # SQL's LIKE
        ("a_b", "a-b"),
        ("a.b", "axb"),  # a regular expression
        ("a.b", "a/b"),
        ("a.", "ab"),
        ("llm.", "llm"),
        ("llm.", "llm2.cn"),
        ("llm", "LLM.cn"),
        ("llm", "ｌｌｍ.cn"),  # folds to llm under NFKC
        ("llm", " llm.cn"),
        ("llm", "./llm.cn"),
        ("llm", "_schema.llm"),
    ],
)
def test_a4_no_character_of_a_prefix_means_another(prefix: str, key: str) -> None:
    assert not Reach((Scope("prod", prefix),)).holds("prod", key)


@pytest.mark.parametrize(
    "ns", ["prod2", "pro", "PROD", "Prod", "prod-", "prod/", "prod ", "p*", ""]
)
def test_a4_a_namespace_is_the_one_that_is_written_and_no_other(ns: str) -> None:
    for reach in (Reach((Scope("prod"),)), LLM):
        assert not reach.sees(ns)
        assert not reach.holds(ns, "llm.cn")


def test_a5_a_reach_covers_what_is_not_beyond_it() -> None:
    prod = Reach((Scope("prod"),))
    narrow = Reach((Scope("prod", "llm.cn."),))

    assert EVERYTHING.covers(EVERYTHING)
    assert EVERYTHING.covers(LLM)
    assert prod.covers(narrow)
    assert LLM.covers(narrow)
    assert LLM.covers(LLM)
    assert not prod.covers(EVERYTHING)
    assert not prod.covers(LLM)  # staging is beyond
    assert not narrow.covers(Reach((Scope("prod", "llm."),)))
    assert not narrow.covers(prod)
    assert not LLM.covers(Reach((Scope("prod", "llm"),)))


def test_it_is_read_as_it_was_written_also_before_there_were_prefixes() -> None:
    assert Reach.of({"scopes": LLM.to_json()}) == LLM
    assert Reach.of({"namespaces": ["prod", "staging"]}) == Reach((Scope("prod"), Scope("staging")))
    assert Reach.of({}) == EVERYTHING
    assert [str(reach) for reach in (LLM, EVERYTHING)] == [
        "prod/llm., prod/asr., staging",
        "everything",
    ]


def test_what_is_asked_for_is_taken_once() -> None:
    twice = [{"namespace": "prod", "prefix": ""}, {"namespace": "a", "prefix": "x"}]

    assert asked_reach(twice, ["prod"]) == Reach((Scope("prod"), Scope("a", "x")))
    assert asked_reach([]) == EVERYTHING


@pytest.mark.parametrize(
    ("namespace", "prefix", "words"),
    [
        *((ns, "", "one namespace as it is written") for ns in ("_system", "*", "Prod", "", "a b")),
        *(
            ("prod", prefix, "no wildcards")
            for prefix in ("*", "llm*", "_schema.", "A", "llm/", "%")
        ),
    ],
)
def test_a4_a_scope_that_no_name_can_fit_is_refused(
    namespace: str, prefix: str, words: str
) -> None:
    with pytest.raises(Problem, match=words):
        asked_reach([{"namespace": namespace, "prefix": prefix}])


def test_scopes_are_bounded() -> None:
    many = [f"ns{n}" for n in range(MOST)]

    assert len(asked_reach([], many).scopes) == MOST
    with pytest.raises(Problem, match="at most 100"):
        asked_reach([], [*many, "more"])
