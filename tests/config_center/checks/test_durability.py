"""What a store would lose."""

from __future__ import annotations

from config_center.checks.base import Facts, Level, StoreFacts
from config_center.checks.durability import judge

GOOD = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


def levels(**config: str) -> dict[str, Level]:
    told = GOOD | {name.replace("_", "-"): value for name, value in config.items()}
    store = StoreFacts(config=told, used_bytes=95)
    return {check.sentence: check.level for check in judge(Facts(store=store))}


def test_a_store_that_keeps_everything_is_fine() -> None:
    assert set(levels().values()) == {Level.OK}
    assert len(levels()) == 3


def test_each_way_to_lose_something_must_be_mended_and_the_command_is_told() -> None:
    for name, value in (
        ("appendonly", "no"), ("appendfsync", "everysec"), ("maxmemory-policy", "allkeys-lru"),
    ):  # fmt: skip
        store = StoreFacts(config=GOOD | {name: value})
        (bad,) = [c for c in judge(Facts(store=store)) if c.level is not Level.OK]

        assert (bad.level, bad.fatal) == (Level.FAIL, False)
        assert f"{name} is {value}" in bad.sentence
        assert f"CONFIG SET {name} {GOOD[name]}" in bad.mend


def test_no_center_starts_on_a_store_that_will_throw_configuration_away() -> None:
    for most, fatal in (("1000", True), ("0", False)):
        store = StoreFacts(config=GOOD | {"maxmemory-policy": "allkeys-lru", "maxmemory": most})
        (bad,) = [c for c in judge(Facts(store=store)) if "maxmemory-policy" in c.sentence]

        assert bad.fatal is fatal


def test_a_store_whose_memory_is_nearly_full_must_be_mended() -> None:
    assert Level.FAIL in levels(maxmemory="100").values()
    assert Level.FAIL not in levels(maxmemory="200").values()


def test_what_cannot_be_seen_is_said_and_what_nobody_asked_is_not() -> None:
    (unseen,) = judge(Facts(store=StoreFacts(config=None)))

    assert unseen.level is Level.WARN
    assert list(judge(Facts(store=StoreFacts(config={})))) == []
    assert list(judge(Facts(store="away"))) == []
    assert list(judge(Facts(store=StoreFacts(kept=False)))) == []
