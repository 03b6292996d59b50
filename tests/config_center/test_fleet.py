from __future__ import annotations

from typing import Any

import pytest

from client_sdk.reports import Report
from config_center.fleet import DEVICE_SECONDS, INSTANCE_SECONDS, SILENT_SECONDS, Fleet, Standing

CANARY = {"a@canary": {"version": 2, "arm": "canary", "state": "applied"}}


def report(seq: int, body: dict[str, Any], incarnation: str = "i", name: str = "gw") -> Report:
    return Report(name, incarnation, seq, 0, "ns", body)


def test_deltas_add_up_and_replays_are_dropped() -> None:
    fleet = Fleet()
    assert fleet.hear(report(1, {"position": "1-1", "keys": {"a": {"version": 1}}}), 0)
    assert fleet.hear(report(2, {"keys": {"b": {"version": 3}}}), 1)
    assert not fleet.hear(report(2, {"position": "9-9"}), 2)
    (only,) = fleet.instances()

    assert only.to_json() == {
        "instance": "gw",
        "incarnation": "i",
        "position": "1-1",
        "last_seen": "1970-01-01T00:00:01.000Z",
        "keys": {"a": {"version": 1}, "b": {"version": 3}},
        "devices": 0,
    }


def test_full_and_a_new_incarnation_begin_anew() -> None:
    fleet = Fleet()
    fleet.hear(report(1, {"keys": {"a": {"version": 1}}}), 0)
    fleet.hear(report(2, {"full": True, "keys": {"b": {"version": 1}}}), 0)
    assert list(fleet.instances()[0].keys) == ["b"]

    fleet.hear(report(1, {"keys": {"c": {"version": 1}}}, "j"), 0)
    assert list(fleet.instances()[0].keys) == ["c"]


def test_devices_come_go_and_expire_before_their_instance() -> None:
    fleet = Fleet()
    rows = [{"device": "x"}, {"device": "y"}, {"no": "device"}, 3]
    fleet.hear(report(1, {"devices": {"rows": rows}}), 0)
    again = {"rows": [{"device": "y", "turns": 2}], "gone": ["x"]}
    fleet.hear(report(2, {"devices": again}), 0)
    assert [device for device, _, _ in fleet.devices()] == ["y"]

    fleet.expire(DEVICE_SECONDS + 1)
    assert (list(fleet.devices()), len(fleet.instances())) == ([], 1)
    fleet.expire(INSTANCE_SECONDS + 1)
    assert fleet.instances() == []


def test_units_are_counted_by_what_was_said_of_the_canary() -> None:
    fleet = Fleet()
    devices = {"rows": [{"device": "x", "keys": {"a": {"version": 2, "arm": "canary"}}}]}
    refused = {"a@canary": {"version": 2, "state": "refused"}}
    fleet.hear(report(1, {"keys": CANARY, "devices": devices}), 0)
    fleet.hear(report(1, {"keys": refused, "devices": devices}, name="gw-2"), 0)
    fleet.hear(report(1, {"devices": devices}, name="gw-3"), 0)

    assert fleet.units({"a": 2}, "device") == {
        "assigned": 3,
        "applied": 1,
        "refused": 1,
        "silent": 1,
    }
    assert fleet.units({"a": 2}, "instance") == {
        "assigned": 2,
        "applied": 1,
        "refused": 1,
        "silent": 0,
    }


def test_devices_whose_gateway_refused_their_canary_are_counted_as_refused() -> None:
    """They go on with the stable version, and say so: the rollout must not look untouched."""
    fleet = Fleet()
    rows = [{"device": d, "keys": {"a": {"version": 1, "arm": "stable"}}} for d in ("x", "y")]
    refused = {"a@canary": {"version": 2, "state": "refused"}}
    fleet.hear(report(1, {"keys": refused, "devices": {"rows": rows}}), 0)

    found = fleet.units({"a": 2}, "device", lambda device: device == "x")

    assert found == {"assigned": 1, "applied": 0, "refused": 1, "silent": 0}


def test_a_key_that_is_gone_is_gone_and_what_is_no_key_is_not_kept() -> None:
    fleet = Fleet()
    fleet.hear(report(1, {"keys": {"a": {"version": 1}, "b": {"version": 1}, "c": 7}}), 0)

    fleet.hear(report(2, {"keys": {"a": None, "never": None}}), 0)

    assert fleet.instances()[0].keys == {"b": {"version": 1}}


def test_nonsense_costs_a_bound_and_not_the_center(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config_center.fleet.MAX_INSTANCES", 2)
    monkeypatch.setattr("config_center.fleet.MAX_DEVICES", 3)
    fleet = Fleet()
    rows = [{"device": str(number)} for number in range(5)]

    heard = [fleet.hear(report(1, {"devices": {"rows": rows}}, name=n), 0) for n in "abc"]
    assert heard == [True, True, False]
    assert len(list(fleet.devices())) == 3
    assert fleet.hear(report(1, {}, name="c"), INSTANCE_SECONDS + 1)


def test_devices_that_say_nothing_of_keys_are_in_no_canary() -> None:
    fleet = Fleet()
    rows = [{"device": "x"}, {"device": "y", "keys": {"a": "canary"}}]
    fleet.hear(report(1, {"keys": CANARY, "devices": {"rows": rows}}), 0)

    assert fleet.units({"a": 2}, "device")["assigned"] == 0


def test_who_does_not_follow_is_told_by_why_and_who_is_silent_is_nothing_else() -> None:
    fleet = Fleet()
    refused = {"llm": {"state": "refused"}, "tts@canary": {"state": "refused"}, "a": {}}
    told = {
        "fine": {"position": "1-9"},
        "old": {"position": "1-1", "stale": True},
        "refuses": {"position": "1-9", "keys": refused},
        "silent": {"position": "1-1", "stale": True, "keys": refused},
    }
    for name, body in told.items():
        fleet.hear(report(1, body, name=name), 0 if name == "silent" else 1)

    standing = fleet.standing(SILENT_SECONDS + 0.5, lambda position: position == "1-1")

    assert standing == Standing(4, ["old"], ["silent"], ["old"], {"refuses": ["llm", "tts"]})


def test_of_too_many_keys_those_are_kept_that_somebody_looks_for() -> None:
    fleet, plain = Fleet(), {"version": 1, "arm": "stable", "state": "applied"}
    refused = {"version": 2, "arm": "stable", "state": "refused"}
    many = {f"k{number}": plain for number in range(1000)}
    fleet.hear(report(1, {"keys": many}), 0)

    fleet.hear(report(2, {"keys": {"more": plain, "refused": refused, **CANARY}}), 0)
    rows = fleet.instances()[0].keys
    assert (len(rows), rows["refused"], "more" in rows) == (1000, refused, False)
    assert "a@canary" in rows

    fleet.hear(report(3, {"keys": dict.fromkeys(many, refused)}), 0)
    fleet.hear(report(4, {"keys": {"one-more": refused}}), 0)
    assert "one-more" not in fleet.instances()[0].keys


def test_who_may_need_an_old_version_serves_it_or_refused_what_is_newer() -> None:
    fleet = Fleet()
    for name, version, state in (
        ("new", 3, "applied"),
        ("old", 1, "applied"),
        ("no", 3, "refused"),
    ):
        about = {"a": {"version": version, "arm": "stable", "state": state}}
        fleet.hear(report(1, {"keys": about}, name=name), 0)
    fleet.hear(report(1, {"keys": {}}, name="other"), 0)

    assert fleet.may_serve("a", [1, 2]) == ["no", "old"]
    assert fleet.may_serve("b", [1, 2]) == []
