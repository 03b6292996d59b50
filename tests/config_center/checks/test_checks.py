"""The table, and what is made of all checks together."""

from __future__ import annotations

from config_center.checks import CHECKS, Check, Facts, Level, judge, worst
from config_center.checks.base import StoreFacts, fail, ok, warn


def test_every_member_is_asked_in_the_order_of_the_table_and_nothing_is_fine() -> None:
    checks = judge(Facts(keys="", open_files=1, store=StoreFacts(kept=False)))

    assert [check.subject for check in checks] == ["keys", "limits", "server"]
    assert {check.subject for check in checks} <= CHECKS.keys()
    assert judge(Facts()) == []


def test_of_a_cluster_each_node_is_judged_by_name() -> None:
    node = StoreFacts("Valkey", (9, 1), denied=("get",), clustered=True, as_cluster=True)
    checks = judge(
        Facts(open_files=1, store={"10.0.0.1:6379": node, "10.0.0.2:6379": "it is away"})
    )

    told = [(check.subject, check.sentence.partition(": ")[0]) for check in checks]
    assert told[0][0] == "limits"
    assert told[1:3] == [("server", "10.0.0.1:6379"), ("server", "10.0.0.2:6379")]
    assert {name for _, name in told[3:]} == {"10.0.0.1:6379"}
    assert checks[2].level is Level.FAIL


def test_the_gravest_counts() -> None:
    a, b, c = ok("s", "fine"), warn("s", "look", "at it"), fail("s", "bad", "mend it")

    assert [worst(each) for each in ([], [a], [b, a], [a, c, b])] == [
        Level.OK, Level.OK, Level.WARN, Level.FAIL,
    ]  # fmt: skip


def test_a_check_is_shown_without_what_only_a_start_needs() -> None:
    check = Check("s", Level.FAIL, "bad", "mend it", fatal=True)

    assert check.to_json() == {
        "subject": "s", "level": "fail", "sentence": "bad", "mend": "mend it",
    }  # fmt: skip
