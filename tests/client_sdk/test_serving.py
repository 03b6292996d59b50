"""What serves: whole changes, older ones when the new fails, canaries by unit, modules let go."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from client_sdk.errors import ClientClosed, NotReady, SealedValue, UnknownKey, UsageError
from client_sdk.greyscale import bucket
from client_sdk.holding import Holding
from client_sdk.records import START, Position
from client_sdk.serving import (
    MISSING,
    Applied,
    Deadlines,
    KeyChange,
    ModuleSpec,
    Outcome,
    Resolution,
    Serving,
)
from tests.client_sdk.serving_world import Maker, World


async def until(condition):
    async def poll():
        while not condition():  # noqa: ASYNC110  # what is waited for happens in other threads too
            await asyncio.sleep(0.001)

    await asyncio.wait_for(poll(), 30)


def replaced(op, **members):
    return replace(op, content=replace(op.content, **members))


def told_to(outcomes):
    async def tell(outcome):
        outcomes.append(outcome)

    return tell


async def close(world):
    await world.serving.close(30.0)


async def ready_world(value=None, **options):
    world, maker = World(**options), Maker()
    world.serving.declare(maker.spec())
    await world.publish(world.put("llm", value or {"m": 1}), world.put("prompt", "old"))
    await world.serving.ready(5)
    return world, maker


# --- values -------------------------------------------------------------------------------------


async def test_a_change_is_served_and_told():
    world = World()

    outcome = await world.publish(world.put("a", {"x": [1]}), world.put("b", 2))

    assert world.serving.get("a") == {"x": (1,)}
    assert world.serving.position == Position(1, 1)
    assert outcome == Outcome(
        applied=(Applied("a", 1, "stable"), Applied("b", 1, "stable")),
        changes=(
            KeyChange("a", MISSING, None, {"x": (1,)}, 1, Position(1, 1), "start"),
            KeyChange("b", MISSING, None, 2, 1, Position(1, 1), "start"),
        ),
        touched=frozenset("ab"),
    )


async def test_a_change_says_why_and_every_key_it_touched():
    world = World()
    await world.publish(world.put("a", 1), world.put("b", 1))

    said = []
    put = await world.publish(world.put("a", 2))
    back = await world.publish(replaced(world.put("a", 1), rollback_of=1))
    canary = await world.publish(*world.canary("ro", {"b": 2}))
    gone = await world.publish(world.remove("a"))
    over = await world.publish(world.put("b", 3))  # the rollout was superseded
    await world.publish(*world.canary("ro-2", {"b": 4}))
    promoted = await world.publish(*world.promoted("b"))
    for outcome in (put, back, canary, gone, over, promoted):
        said.append((outcome.touched, [(one.key, one.reason) for one in outcome.changes]))

    assert said == [
        ({"a"}, [("a", "publish")]),
        ({"a"}, [("a", "rollback")]),
        ({"b"}, []),
        ({"a"}, [("a", "delete")]),
        ({"b"}, [("b", "publish")]),
        ({"b"}, [("b", "rollout")]),
    ]


async def test_what_a_group_lets_go_is_told_with_the_key_that_let_it_go():
    world, _ = await ready_world()
    held = await world.publish(world.put("llm", {"bad": "build"}), world.put("prompt", "new"))
    assert (held.touched, held.changes) == (frozenset(), ())

    released = await world.publish(world.put("llm", {"m": 3}))

    assert released.touched == {"llm", "prompt"}
    assert [(one.key, one.previous, one.value) for one in released.changes] == [
        ("llm", {"m": 1}, {"m": 3}),
        ("prompt", "old", "new"),
    ]
    await close(world)


async def test_a_state_that_was_given_up_half_way_is_caught_up_with_by_the_next():
    world, maker = await ready_world()
    begun = asyncio.Event()
    changed = world.change(world.put("tts", 1), world.put("prompt", "new"))

    async def stuck(*_):
        begun.set()
        await asyncio.sleep(60)

    world.serving.declare(maker.spec("tts", build=stuck))
    step = asyncio.create_task(world.serving.advance(world.state, changed))
    await begun.wait()
    step.cancel()
    await asyncio.wait({step})
    begun.clear()
    changed = world.change(world.remove("tts"), world.put("other", 1))
    outcome = await world.serving.advance(world.state, changed)

    assert (world.serving.get("prompt"), world.serving.get("other")) == ("new", 1)
    assert {one.key for one in outcome.changes} == {"prompt", "other"}
    await close(world)


async def test_an_unknown_key_names_the_nearest_and_a_default_serves_instead():
    world = World(defaults={"greeting": "hi"})
    await world.publish(world.put("prompt", "x"))
    unit = world.serving.unit("d1")

    for read in (world.serving, unit):
        with pytest.raises(UnknownKey, match="did you mean prompt"):
            read.get("promt")
        assert read.get("promt", None) is None
        assert read.get("greeting") == "hi"
    assert unit.explain("greeting") == Resolution("hi", None, "stable", "default")


async def test_a_removed_key_falls_back_to_its_default():
    world = World(defaults={"a": "packaged"})
    await world.publish(world.put("a", "sent"))

    outcome = await world.publish(world.remove("a"))

    assert world.serving.get("a") == "packaged"
    assert outcome.changes == (
        KeyChange("a", "sent", 1, "packaged", None, Position(1, 2), "delete"),
    )
    assert outcome.applied == (Applied("a", None, "stable"),)


async def test_values_are_read_only():
    world = World()
    await world.publish(world.put("a", {"x": {"y": 1}}))

    with pytest.raises(TypeError, match="read-only"):
        world.serving.get("a")["x"]["y"] = 2


async def test_reserved_keys_are_not_served():
    world = World()
    outcome = await world.publish(world.put("_schema.a", {"kind": "llm"}))

    assert outcome == Outcome()
    assert world.serving.get("_schema.a", None) is None
    assert world.serving.position == Position(1, 1)


async def test_a_body_that_cannot_be_read_holds_its_whole_change():
    world = World()
    await world.publish(world.put("a", 1), world.put("b", 1))
    served = world.serving.get("a")

    outcome = await world.publish(world.put("a", b"{not json"), world.put("b", 2))

    (refusal,) = outcome.refused
    assert (refusal.key, refusal.version, refusal.arm, refusal.step) == ("a", 2, "stable", "decode")
    assert refusal.keys == frozenset("ab")
    assert outcome.held
    assert (world.serving.get("a"), world.serving.get("b")) == (served, 1)
    assert [group.keys for group in world.serving.holding.groups] == [frozenset("ab")]
    assert world.serving.refused() == (refusal,)

    outcome = await world.publish(world.put("a", 3))

    assert (world.serving.get("a"), world.serving.get("b")) == (3, 2)
    assert outcome.held
    assert world.serving.holding.older == {}
    assert world.serving.refused() == ()


async def test_what_cannot_be_read_at_first_contact_holds_nothing_else():
    world = World()
    world.change(world.put("a", b"\xff"))
    world.change(world.put("b", 1))

    await world.serving.advance(world.state, None)

    assert world.serving.get("b") == 1
    with pytest.raises(NotReady, match="decode of version 1"):
        world.serving.get("a")


async def test_a_jump_is_one_change():
    world = World()
    await world.publish(world.put("a", 1), world.put("b", 1), world.put("c", 1))
    world.change(world.put("a", b"\xff"))
    world.change(world.put("b", 2))
    world.change(world.remove("c"))

    await world.serving.advance(world.state)

    assert [world.serving.get(key) for key in "abc"] == [1, 1, 1]
    assert [group.keys for group in world.serving.holding.groups] == [frozenset("abc")]


async def test_big_values_are_read_off_the_loop():
    world = World()
    await world.publish(world.put("big", {"text": "x" * 100_000}))

    assert len(world.serving.get("big")["text"]) == 100_000


# --- canaries -----------------------------------------------------------------------------------


async def test_a_canary_serves_exactly_the_units_of_its_buckets():
    world = World()
    await world.publish(world.put("llm", "old"), world.put("prompt", "old"))
    units = [world.serving.unit(f"d{n}") for n in range(200)]
    assert {unit.get("llm") for unit in units} == {"old"}

    outcome = await world.publish(*world.canary("ro", {"llm": "new", "prompt": "new"}, percent=30))

    for unit in units:
        expected = "new" if bucket("ro", unit.id) < 30_000 else "old"
        assert (unit.get("llm"), unit.get("prompt")) == (expected, expected)
    assert world.serving.get("llm") == "old"
    assert outcome.applied == (
        Applied("llm", 2, "canary", "ro"),
        Applied("prompt", 2, "canary", "ro"),
    )
    assert outcome.changes == ()
    seats = {id(unit.seat(world.serving.current).overlay) for unit in units}
    assert len(seats) == 2


async def test_explain_says_version_arm_reason_bucket_and_rollout():
    world = World()
    await world.publish(world.put("a", 1), world.put("b", 1))
    await world.publish(*world.canary("ro", {"a": 2}, percent=0, allow=("d1",), deny=("d2",)))
    d1, d2, d3 = (world.serving.unit(f"d{n}") for n in (1, 2, 3))

    assert d1.explain("a") == Resolution(2, 2, "canary", "allow", bucket("ro", "d1"), "ro")
    assert d2.explain("a") == Resolution(1, 1, "stable", "deny", bucket("ro", "d2"), "ro")
    assert d3.explain("a") == Resolution(1, 1, "stable", "stable", bucket("ro", "d3"), "ro")
    assert d1.explain("b") == Resolution(1, 1, "stable", "no-rollout")
    with pytest.raises(UnknownKey):
        d1.explain("c")


async def test_a_rollout_by_instance_decides_for_the_instance_and_all_its_devices():
    world = World(instance="gw-7")
    await world.publish(world.put("a", 1))
    outcome = await world.publish(
        *world.canary("ro", {"a": 2}, percent=0, unit="instance", allow=("gw-7",))
    )

    unit = world.serving.unit("d1")
    assert (world.serving.get("a"), unit.get("a")) == (2, 2)
    assert unit.explain("a") == Resolution(2, 2, "canary", "allow", bucket("ro", "gw-7"), "ro")
    assert outcome.changes == (KeyChange("a", 1, 1, 2, 2, world.serving.position, "rollout"),)


async def test_a_rollout_by_instance_that_leaves_this_one_out_changes_nothing_here():
    world = World(instance="gw-8")
    await world.publish(world.put("a", 1))
    outcome = await world.publish(
        *world.canary("ro", {"a": 2}, percent=0, unit="instance", allow=("gw-7",))
    )

    assert world.serving.get("a") == 1
    assert outcome.changes == ()


async def test_attributes_are_looked_at_by_rules():
    world = World()
    await world.publish(world.put("a", 1))
    rules = [{"attribute": "firmware", "op": "version_gte", "value": "2.0"}]
    await world.publish(*world.canary("ro", {"a": 2}, percent=100, rules=rules))

    assert world.serving.unit("d1", firmware="2.1").get("a") == 2
    assert world.serving.unit("d1", firmware="1.9").get("a") == 1
    assert world.serving.unit("d1").explain("a").reason == "rule"


async def test_a_canary_that_removes_a_key_gives_its_units_the_default_or_nothing():
    world = World(defaults={"b": "packaged"})
    await world.publish(world.put("a", 1), world.put("b", 1))
    await world.publish(*world.canary("ro", {"a": None, "b": None}, percent=0, allow=("d1",)))
    d1, d2 = world.serving.unit("d1"), world.serving.unit("d2")

    assert (d1.get("a", "none"), d1.get("b")) == ("none", "packaged")
    assert (d2.get("a"), d2.get("b")) == (1, 1)
    assert d1.explain("b").version is None
    with pytest.raises(UnknownKey):
        d1.explain("a")
    with world.serving.turn(d1) as view, pytest.raises(UnknownKey):
        view.get("a")


async def test_a_canary_of_a_key_that_has_no_stable_version():
    world = World()
    await world.publish(*world.canary("ro", {"a": 1}, percent=0, allow=("d1",)))

    assert world.serving.unit("d1").get("a") == 1
    assert world.serving.unit("d2").get("a", None) is None


async def test_a_rollout_that_cannot_be_compiled_is_refused():
    world = World()
    await world.publish(world.put("a", 1))
    outcome = await world.publish(
        *world.canary("ro", {"a": 2}, rules=[{"attribute": "x", "op": "?"}])
    )

    (refusal,) = outcome.refused
    assert (refusal.arm, refusal.version, refusal.step, refusal.rollout) == (
        "canary",
        2,
        "decode",
        "ro",
    )
    assert world.serving.unit("d1").explain("a").reason == "no-rollout"


async def test_promotion_and_abort_move_everybody():
    world = World()
    await world.publish(world.put("a", 1))
    await world.publish(*world.canary("r1", {"a": 2}, percent=50))
    outcome = await world.publish(*world.promoted("a"))
    assert outcome.changes == (KeyChange("a", 1, 1, 2, 2, world.serving.position, "rollout"),)
    assert world.serving.unit("d1").get("a") == 2

    await world.publish(*world.canary("r2", {"a": 3}, percent=100))
    assert world.serving.unit("d1").get("a") == 3
    outcome = await world.publish(*world.aborted("a"))
    assert (outcome.changes, outcome.applied) == ((), ())
    assert world.serving.unit("d1").get("a") == 2


async def test_a_report_carries_the_arms_of_the_unit():
    world, told = World(), []
    world.serving.on_measured = told.append
    await world.publish(world.put("a", 1))
    await world.publish(*world.canary("ro", {"a": 2}, percent=0, allow=("d1",)))
    unit = world.serving.unit("d1")

    unit.report("turn", ok=True, seconds=0.5)
    with world.serving.turn(unit) as view:
        await world.publish(*world.aborted("a"))
        view.report("turn", ok=False)

    assert [(m.unit, m.ok, m.seconds, m.arms) for m in told] == [
        ("d1", True, 0.5, (("ro", "canary"),)),
        ("d1", False, 0.0, (("ro", "canary"),)),
    ]
    with world.serving.turn() as view, pytest.raises(UsageError, match="no unit"):
        view.report("turn", ok=True)


# --- modules ------------------------------------------------------------------------------------


async def test_a_module_is_built_off_the_loop_proven_and_reached_through_a_turn():
    world, names = World(), []

    def build(settings, previous):
        names.append(threading.current_thread().name)
        return ("engine", settings, previous)

    handle = world.serving.declare(ModuleSpec("llm", build, probe=lambda _: True))
    await world.publish(world.put("llm", {"m": 1}))
    await world.serving.ready(5)

    async with world.serving.turn() as view:
        assert view.module("llm") == ("engine", {"m": 1}, None)
        assert view.position == Position(1, 1)
        assert view.explain("llm").version == 1
    assert names == ["config-module"]
    assert (handle.ready, handle.version, handle.refusal) == (True, 1, None)
    await close(world)


async def test_an_asynchronous_build_gets_the_object_before_it():
    world, made = World(), []

    async def build(settings, previous):
        made.append((settings, previous))
        return settings

    world.serving.declare(ModuleSpec("llm", build))
    await world.publish(world.put("llm", 1))
    await world.publish(world.put("llm", 2))

    assert made == [(1, None), (2, 1)]
    await close(world)


async def test_the_old_object_is_closed_after_its_last_turn():
    world, maker = await ready_world()
    turn = world.serving.turn()
    view = turn.__enter__()
    old = view.module("llm")

    await world.publish(world.put("llm", {"m": 2}))

    assert view.module("llm") is old
    assert view.get("llm") == {"m": 1}
    assert old.closed == 0
    with world.serving.turn() as newer:
        assert newer.module("llm").settings == {"m": 2}
    turn.__exit__(None, None, None)
    await until(lambda: old.closed)
    assert [part.closed for part in maker.built] == [1, 0]
    with pytest.raises(UsageError, match="turn is over"):
        view.module("llm")
    view.end()
    turn.__exit__(None, None, None)
    await close(world)
    assert [part.closed for part in maker.built] == [1, 1]


async def test_an_open_turn_is_not_entered_twice():
    turn = World().serving.turn()
    with turn, pytest.raises(UsageError, match="open already"):
        turn.__enter__()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("build", "ValueError: cannot use ***"),
        ("probe", "RuntimeError: no answer"),
        ("falsy", "the probe answered False; a fit module answers True"),
    ],
)
async def test_a_module_that_fails_holds_its_change_and_the_same_old_object_serves(bad, reason):
    world, maker = await ready_world()
    with world.serving.turn() as view:
        old = view.module("llm")

    outcome = await world.publish(
        world.put("llm", {"bad": bad, "api_key": "sk-very-secret"}), world.put("prompt", "new")
    )

    (refusal,) = outcome.refused
    step = "probe" if bad == "falsy" else bad
    assert (refusal.step, refusal.reason, refusal.version) == (step, reason, 2)
    assert refusal.keys == {"llm", "prompt"}
    with world.serving.turn() as view:
        assert view.module("llm") is old
        assert view.get("prompt") == "old"
    assert outcome.changes == ()
    await until(lambda: len(maker.open) == 1)

    outcome = await world.publish(world.put("llm", {"m": 3}))
    with world.serving.turn() as view:
        assert view.module("llm").settings == {"m": 3}
        assert view.get("prompt") == "new"
    assert outcome.held
    await close(world)
    assert [part.closed for part in maker.built] == [1] * len(maker.built)


async def test_a_later_change_of_a_held_key_joins_the_group():
    world, _ = await ready_world()
    await world.publish(world.put("llm", {"bad": "build"}), world.put("prompt", "new"))

    await world.publish(world.put("prompt", "newer"), world.put("tts", 1))

    assert world.serving.get("prompt") == "old"
    assert world.serving.get("tts", None) is None
    assert [group.keys for group in world.serving.holding.groups] == [
        frozenset({"llm", "prompt", "tts"})
    ]
    assert [one.version for one in world.serving.refused()] == [2]
    await world.publish(world.put("other", 1))
    assert world.serving.get("other") == 1
    await close(world)


async def test_what_failed_is_not_built_again_until_it_is_published_again_or_asked_for():
    world, builds = World(), []

    def build(settings, _previous):
        builds.append(settings)
        if len(builds) in (2, 3):
            raise OSError("not now")
        return settings

    world.serving.declare(ModuleSpec("llm", build))
    await world.publish(world.put("llm", 1))
    await world.publish(world.put("llm", 2))
    await world.publish(world.put("llm-extra", 1))
    await world.publish(*world.canary("ro", {"prompt": 1}))
    assert builds == [1, 2]

    await world.publish(world.put("llm", 2))
    assert builds == [1, 2, 2]
    outcome = await world.serving.retry()

    assert builds == [1, 2, 2, 2]
    assert world.serving.get("llm") == 2
    assert outcome.applied == (Applied("llm", 3, "stable"),)
    assert outcome.held
    await close(world)


async def test_equal_settings_share_one_object_whatever_they_look_like():
    world, maker = await ready_world({"a": 1, "b": 2})

    await world.publish(world.put("llm", b'{"b": 2,  "a": 1}'))
    await world.publish(*world.canary("ro", {"llm": {"b": 2, "a": 1}}, percent=100))

    assert len(maker.built) == 1
    with world.serving.turn(world.serving.unit("d1")) as one, world.serving.turn() as two:
        assert one.module("llm") is two.module("llm")
    await close(world)
    assert maker.built[0].closed == 1


async def test_equal_settings_in_both_arms_are_built_once():
    world, maker = World(), Maker()
    world.serving.declare(maker.spec())
    world.change(world.put("llm", {"m": 1}))
    world.change(*world.canary("ro", {"llm": {"m": 1}}))
    await world.serving.advance(world.state)

    assert len(maker.built) == 1
    await close(world)


async def test_rollouts_of_many_keys_make_no_product_of_modules():
    world, makers = World(), {f"m{n}": Maker() for n in range(4)}
    for key, maker in makers.items():
        world.serving.declare(maker.spec(key))
    await world.publish(*(world.put(key, {"v": 1}) for key in makers))
    for key in makers:
        await world.publish(*world.canary(f"ro-{key}", {key: {"v": 2}}, percent=50))

    seen = set()
    for n in range(300):
        with world.serving.turn(world.serving.unit(f"d{n}")) as view:
            seen.add(tuple(view.module(key).use()["v"] for key in makers))

    assert len(seen) == 16
    assert [len(maker.built) for maker in makers.values()] == [2] * 4
    await close(world)
    assert all(part.closed == 1 for maker in makers.values() for part in maker.built)


async def test_a_canary_that_fails_to_build_leaves_the_stable_arm_alone():
    world, _ = await ready_world()
    outcome = await world.publish(
        *world.canary("ro", {"llm": {"bad": "build"}, "prompt": "new"}, percent=100)
    )

    (refusal,) = outcome.refused
    assert (refusal.arm, refusal.version, refusal.rollout) == ("canary", 2, "ro")
    unit = world.serving.unit("d1")
    assert (unit.get("prompt"), unit.explain("llm").reason) == ("old", "no-rollout")
    await world.publish(world.put("other", 1))
    assert unit.get("other") == 1
    await close(world)


async def test_a_canary_of_a_module_serves_its_own_object_and_promotes_without_building():
    world, maker = await ready_world()
    await world.publish(*world.canary("ro", {"llm": {"m": 2}}, percent=0, allow=("d1",)))
    d1, d2 = world.serving.unit("d1"), world.serving.unit("d2")
    with world.serving.turn(d1) as one, world.serving.turn(d2) as two:
        assert (one.module("llm").use(), two.module("llm").use()) == ({"m": 2}, {"m": 1})

    await world.publish(*world.promoted("llm"))

    assert len(maker.built) == 2
    with world.serving.turn(d2) as two:
        assert two.module("llm").use() == {"m": 2}
    await until(lambda: maker.built[0].closed)
    await close(world)


async def test_a_first_version_that_fails_serves_nothing_and_says_why():
    world, maker = World(), Maker()
    handle = world.serving.declare(maker.spec())
    await world.publish(world.put("prompt", "p"))
    outcome = await world.publish(world.put("llm", {"bad": "build"}))

    assert outcome.refused[0].step == "build"
    with pytest.raises(NotReady, match=r"llm: build of version 1 \(stable\): ValueError"):
        await world.serving.ready(5)
    with pytest.raises(NotReady):
        world.serving.get("llm")
    assert world.serving.get("llm", None) is None
    with world.serving.turn() as view, pytest.raises(NotReady):
        view.module("llm")
    assert (handle.ready, handle.version, handle.refusal.step) == (False, None, "build")
    await close(world)


async def test_a_module_without_a_key_is_not_ready_and_its_view_says_unknown():
    world, maker = World(), Maker()
    world.serving.declare(maker.spec())
    await world.publish(world.put("prompt", "p"))

    with pytest.raises(NotReady, match="no such key"):
        await world.serving.ready(5)
    with world.serving.turn() as view:
        with pytest.raises(UnknownKey):
            view.module("llm")
        with pytest.raises(UsageError, match="declare it"):
            view.module("prompt")
    await close(world)


async def test_a_default_makes_a_module_until_the_key_comes_and_after_it_went():
    world, maker = World(defaults={"llm": {"type": "echo"}}), Maker()
    world.serving.declare(maker.spec())
    await world.serving.ready(5)
    await world.publish(world.put("llm", {"m": 1}))
    with world.serving.turn() as view:
        assert view.module("llm").use() == {"m": 1}

    await world.publish(world.remove("llm"))

    with world.serving.turn() as view:
        assert view.module("llm").use() == {"type": "echo"}
    await until(lambda: len(maker.open) == 1)
    await close(world)


async def test_a_default_that_fails_is_told_and_serves_nothing():
    world, maker = World(defaults={"llm": {"bad": "build"}}), Maker()
    told = []
    world.serving.on_outcome = told_to(told)
    world.serving.declare(maker.spec())

    await until(lambda: told)
    with pytest.raises(NotReady, match=r"build of the default \(stable\)"):
        await world.serving.ready(0.01)
    assert world.serving.get("llm", None) is None
    assert [one.version for one in told[0].refused] == [None]
    gone = KeyChange("llm", {"bad": "build"}, None, MISSING, None, START, "start")
    assert told[0].changes == (gone,)
    assert [one.version for one in world.serving.refused()] == [None]
    await close(world)


async def test_a_canary_that_removes_a_module_gives_its_units_the_default_one():
    world, maker = await ready_world(defaults={"llm": {"type": "echo"}})
    await world.publish(*world.canary("ro", {"llm": None}, percent=0, allow=("d1",)))

    with world.serving.turn(world.serving.unit("d1")) as one, world.serving.turn() as two:
        assert (one.module("llm").use(), two.module("llm").use()) == ({"type": "echo"}, {"m": 1})
    await close(world)
    assert all(part.closed == 1 for part in maker.built)


async def test_declaring_late_builds_in_the_background():
    world, maker = World(), Maker()
    await world.publish(world.put("llm", {"m": 1}))
    told = []
    world.serving.on_outcome = told_to(told)

    handle = world.serving.declare(maker.spec())
    with world.serving.turn() as view, pytest.raises(UsageError):
        view.module("llm")
    assert not handle.ready
    await world.serving.ready(5)

    assert handle.ready
    assert told == [Outcome()]
    with pytest.raises(UsageError, match="declared already"):
        world.serving.declare(maker.spec())
    await close(world)


async def test_a_late_module_that_fails_takes_only_its_own_value_out():
    world, maker = World(), Maker()
    await world.publish(world.put("llm", {"bad": "probe"}), world.put("prompt", "p"))
    world.serving.declare(maker.spec())

    with pytest.raises(NotReady, match="probe of version 1"):
        await world.serving.ready(5)
    assert world.serving.get("prompt") == "p"
    assert world.serving.get("llm", None) is None
    await close(world)


async def test_a_late_module_whose_canary_fails_drops_that_rollout_only():
    world, maker = World(), Maker()
    await world.publish(world.put("llm", {"m": 1}), world.put("prompt", "old"))
    await world.publish(
        *world.canary("ro", {"llm": {"bad": "build"}, "prompt": "new"}, percent=100)
    )
    world.serving.declare(maker.spec())
    await world.serving.ready(5)

    unit = world.serving.unit("d1")
    assert (unit.get("llm"), unit.get("prompt")) == ({"m": 1}, "old")
    assert [group.keys for group in world.serving.holding.groups] == [frozenset({"llm", "prompt"})]
    await close(world)


async def test_a_module_may_be_declared_before_there_is_a_loop_turn_for_it():
    world, maker = World(), Maker()
    done = threading.Thread(target=lambda: world.serving.declare(maker.spec()))
    done.start()
    done.join()

    await world.publish(world.put("llm", {"m": 1}))

    with world.serving.turn() as view:
        assert view.module("llm").use() == {"m": 1}
    await close(world)


async def test_ready_waits_for_the_first_state_and_ends_at_its_timeout():
    world, maker = World(), Maker()
    world.serving.declare(maker.spec())
    with pytest.raises(NotReady, match="no such key"):
        await world.serving.ready(0.05)

    waiting = asyncio.create_task(world.serving.ready(5))
    await world.publish(world.put("llm", {"m": 1}))
    await waiting
    await close(world)


async def test_a_sealed_field_is_opened_for_the_module_only():
    sealed = {"api_key": {"$sealed": {"fp": "1"}}}
    world, maker = World(open_sealed=lambda _k, _v: {"api_key": "sk-secret"}), Maker()
    world.serving.declare(maker.spec())
    await world.publish(world.put("llm", sealed))

    with world.serving.turn() as view:
        assert view.get("llm") == sealed
        assert view.module("llm").settings == {"api_key": "sk-secret"}
    await close(world)


async def test_a_sealed_field_without_a_key_refuses_the_module():
    def no_key(key, _value):
        raise SealedValue(f"{key} has sealed fields and there is no key")

    world, maker = World(open_sealed=no_key), Maker()
    await world.publish(world.put("llm", {"api_key": {"$sealed": {}}}))
    assert world.serving.get("llm") == {"api_key": {"$sealed": {}}}
    world.serving.declare(maker.spec())

    with pytest.raises(NotReady, match=r"sealed of version 1 \(stable\): llm has sealed fields"):
        await world.serving.ready(5)
    await close(world)


async def test_a_build_beyond_its_deadline_is_refused_and_its_late_object_closed():
    world, maker, go = World(), Maker(), threading.Event()

    def slow(settings, previous):
        go.wait(5)
        return maker.build(settings, previous)

    spec = maker.spec(build=slow, deadlines=Deadlines(build=0.02))
    world.serving.declare(spec)
    outcome = await world.publish(world.put("llm", {"m": 1}))
    assert "not done after 0.02 s" in outcome.refused[0].reason

    go.set()
    await until(lambda: maker.built and maker.built[0].closed)
    await close(world)


@pytest.mark.parametrize("at", ["build", "probe"])
async def test_cancelling_a_step_leaves_the_old_whole_and_closes_what_was_built(at):
    world, maker = await ready_world()
    reached, other = asyncio.Event(), Maker()

    async def stuck(*_):
        reached.set()
        await asyncio.sleep(60)

    async def build(settings, previous):
        if at == "build" and settings == 2:
            await stuck()
        return other.build(settings, previous)

    async def probe(part):
        if at == "probe" and part.settings == 2:
            await stuck()
        return True

    world.serving.declare(other.spec("tts", build=build, probe=probe))
    await world.publish(world.put("tts", 1))
    served = world.serving.current
    changed = world.change(world.put("tts", 2), world.put("llm", {"m": 2}))

    step = asyncio.create_task(world.serving.advance(world.state, changed))
    await reached.wait()
    await until(lambda: len(maker.built) == 2)
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step

    assert world.serving.current is served
    await until(lambda: len(maker.open) == 1 and len(other.open) == 1)
    assert (maker.built[0].closed, other.built[0].closed) == (0, 0)
    await close(world)
    assert all(part.closed == 1 for part in maker.built + other.built)


# --- restart ------------------------------------------------------------------------------------


async def test_a_restart_keeps_what_was_held_and_tries_it_once_its_module_is_declared():
    world, _ = await ready_world()
    await world.publish(world.put("llm", {"bad": "build"}), world.put("prompt", "new"))
    held = Holding(tuple(replace(one, asleep=True) for one in world.serving.holding.groups))
    await close(world)

    again, maker = World(), Maker()
    again.state, again.revision, again.latest = world.state, world.revision, world.latest
    await again.serving.restore(world.state, held)
    assert again.serving.get("prompt") == "old"
    await again.publish(again.put("prompt", "newer"))
    assert again.serving.get("prompt") == "old"
    again.serving.declare(maker.spec())
    await again.serving.ready(5)

    with again.serving.turn() as view:
        assert (view.module("llm").use(), view.get("prompt")) == ({"m": 1}, "old")
    assert again.serving.refused()[0].step == "build"
    await again.publish(again.put("llm", {"m": 3}))
    assert again.serving.get("prompt") == "newer"
    await close(again)


async def test_after_a_restart_what_is_good_now_is_let_go_when_ready_is_asked():
    world, _ = await ready_world()
    await world.publish(world.put("llm", {"bad": "build"}), world.put("prompt", "new"))
    again = World()
    asleep = replace(*world.serving.holding.groups, asleep=True)
    await again.serving.restore(world.state, Holding((asleep,)))
    assert [group.keys for group in again.serving.holding.groups] == [frozenset({"llm", "prompt"})]

    await again.serving.ready(5)
    await until(lambda: again.serving.get("prompt") == "new")
    assert again.serving.holding.older == {}
    await close(world)
    await close(again)


# --- the end ------------------------------------------------------------------------------------


async def test_close_waits_for_turns_and_then_begins_none():
    world, maker = await ready_world()
    turn = world.serving.turn()
    turn.__enter__()
    closing = asyncio.create_task(world.serving.close(5))
    await asyncio.sleep(0)
    with pytest.raises(ClientClosed):
        world.serving.turn().__enter__()
    assert not maker.built[0].closed

    turn.__exit__(None, None, None)
    await closing

    assert maker.built[0].closed == 1
    assert world.serving.get("prompt") == "old"
    with pytest.raises(ClientClosed):
        await world.publish(world.put("a", 1))
    with pytest.raises(ClientClosed):
        world.serving.declare(maker.spec("other"))


async def test_close_waits_for_turns_also_when_others_ended_long_before():
    world, maker = await ready_world()
    with world.serving.turn():
        await world.publish(world.put("llm", {"m": 2}))
    await world.publish(world.put("llm", {"m": 3}))
    turn = world.serving.turn()
    turn.__enter__()

    closing = asyncio.create_task(world.serving.close(5))
    done, _ = await asyncio.wait({closing}, timeout=0.05)
    assert (done, maker.built[-1].closed) == (set(), 0)

    turn.__exit__(None, None, None)
    await closing
    await world.serving.close(5)  # again: nothing
    assert [part.closed for part in maker.built] == [1, 1, 1]


async def test_close_ends_at_its_deadline(caplog):
    world, maker = await ready_world()
    with world.serving.turn():
        await world.serving.close(0.05)
        await until(lambda: maker.built[0].closed == 1)
    assert "while 1 turns are still open" in caplog.text


async def test_close_ends_a_build_in_the_background():
    world, maker = World(), Maker()
    begun = asyncio.Event()

    async def stuck(*_):
        begun.set()
        await asyncio.sleep(60)

    await world.publish(world.put("llm", 1))
    world.serving.declare(maker.spec(build=stuck))
    await begun.wait()
    await world.serving.close(1)


def test_a_pin_that_leaves_after_its_loop_is_gone_is_quiet():
    async def run():
        world, _ = await ready_world()
        turn = world.serving.turn()
        turn.__enter__()
        await world.publish(world.put("llm", {"m": 2}))
        return turn

    turn = asyncio.run(run())
    turn.__exit__(None, None, None)


async def test_before_anything_is_known_the_defaults_serve():
    serving = Serving(instance="i", labels={}, defaults={"a": 1}, open_sealed=lambda _k, v: v)
    unit = serving.unit("d1")
    assert (serving.position, serving.get("a"), repr(unit)) == (START, 1, "Unit('d1')")
    assert repr(MISSING) == "MISSING"


async def test_an_outcome_nobody_can_take_does_not_end_the_background(caplog):
    world, maker = World(defaults={"llm": 1, "tts": 2}), Maker()

    async def broken(_outcome):
        raise RuntimeError("a listener's own error")

    world.serving.on_outcome = broken
    world.serving.declare(maker.spec())
    await world.serving.ready(5)
    world.serving.declare(maker.spec("tts"))
    await world.serving.ready(5)
    assert "could not be taken into service" in caplog.text
    await close(world)


async def test_a_turn_whose_unit_cannot_be_decided_leaves_no_pin():
    world = World()
    unit = world.serving.unit("d1", firmware="1")
    await world.publish(world.put("a", 1))
    rules = [{"attribute": "firmware", "op": "eq", "value": "1"}]
    await world.publish(*world.canary("ro", {"a": 2}, rules=rules))
    unit.attributes = None

    with pytest.raises(AttributeError):
        world.serving.turn(unit).__enter__()
    assert world.serving.current.open == set()


async def test_a_key_that_comes_while_it_is_looked_for_is_found():
    world = World()
    await world.publish(world.put("a", 1))
    served = world.serving.current

    assert served.missing("a", served.values, None) == 1


async def test_a_rollout_by_instance_builds_only_the_arm_this_instance_is_in():
    world, maker = await ready_world()
    options = {"percent": 0, "unit": "instance", "allow": ("gw-1",)}
    await world.publish(*world.canary("ro", {"llm": {"m": 2}}, **options))
    with world.serving.turn(world.serving.unit("d1")) as view:
        assert view.module("llm").use() == {"m": 2}
        assert view.explain("llm").arm == "canary"
    await until(lambda: len(maker.open) == 1)

    outcome = await world.publish(*world.aborted("llm"))
    assert [change.value for change in outcome.changes] == [{"m": 1}]

    outcome = await world.publish(*world.canary("r2", {"llm": {"bad": "build"}}, **options))
    assert (outcome.refused[0].arm, outcome.refused[0].rollout) == ("canary", "r2")
    with world.serving.turn() as view:
        assert view.module("llm").use() == {"m": 1}
    await close(world)


async def test_a_canary_left_with_a_default_that_fails_says_so_to_its_units():
    world, _ = await ready_world(defaults={"llm": {"bad": "build"}})
    await world.publish(*world.canary("ro", {"llm": None}, percent=0, allow=("d1",)))

    with world.serving.turn() as view:
        assert view.module("llm").use() == {"m": 1}
    one = world.serving.turn(world.serving.unit("d1"))
    with one as view, pytest.raises(NotReady, match="build of the default"):
        view.module("llm")
    await close(world)


async def test_a_turn_that_ends_during_a_step_closes_nothing_the_step_has_built():
    world, maker = await ready_world()
    other, reached, go = Maker(), asyncio.Event(), asyncio.Event()

    async def build(settings, previous):
        reached.set()
        await go.wait()
        return other.build(settings, previous)

    world.serving.declare(other.spec("tts", build=build))
    turn = world.serving.turn()
    turn.__enter__()
    await world.publish(world.put("llm", {"m": 2}))
    changed = world.change(world.put("llm", {"m": 3}), world.put("tts", 1))
    step = asyncio.create_task(world.serving.advance(world.state, changed))
    await reached.wait()
    await until(lambda: len(maker.built) == 3)

    turn.__exit__(None, None, None)
    await until(lambda: maker.built[0].closed)
    go.set()
    await step

    with world.serving.turn() as view:
        assert view.module("llm").use() == {"m": 3}
    await close(world)
    assert [part.closed for part in maker.built] == [1, 1, 1]
