"""Made once, shared, closed exactly once."""

from __future__ import annotations

import asyncio

import pytest

from client_sdk.errors import InvalidValue
from client_sdk.modules.builder import StepFailed, open_settings
from client_sdk.modules.spec import ModuleSpec, Order
from client_sdk.modules.workshop import Workshop
from tests.client_sdk.serving_world import Maker, content


def order(spec, value, version=1):
    return Order(spec, content(version, value), value)


def plain(_key, value):
    return value


async def test_the_same_settings_are_built_once_also_at_the_same_time():
    shop, maker = Workshop(plain), Maker()
    spec = maker.spec()

    one, two = await asyncio.gather(
        shop.get(order(spec, {"m": 1}, 1), None), shop.get(order(spec, {"m": 1}, 2), None)
    )

    assert one is two
    assert (await shop.get(order(spec, {"m": 1}), None)) is one
    assert len(maker.built) == 1
    await shop.close(30)
    assert maker.built[0].closed == 1


async def test_a_sweep_spares_what_is_used_or_kept_for_a_step():
    shop, maker = Workshop(plain), Maker()
    used = await shop.get(order(maker.spec(), {"m": 1}), None)
    shop.release()
    kept = await shop.get(order(maker.spec(), {"m": 2}), None)

    shop.sweep([used])
    assert await shop.get(order(maker.spec(), {"m": 2}), None) is kept
    assert len(maker.built) == 2
    shop.release()
    shop.sweep([used])
    shop.sweep([used])
    await shop.close(30)
    assert [part.closed for part in maker.built] == [1, 1]
    assert kept.live.closed == 1


async def test_what_was_swept_is_built_anew():
    shop, maker = Workshop(plain), Maker()
    await shop.get(order(maker.spec(), {"m": 1}), None)
    shop.release()
    shop.sweep(())
    await shop.get(order(maker.spec(), {"m": 1}), None)
    assert len(maker.built) == 2
    await shop.close(30)


async def test_the_memory_of_failures_is_bounded():
    shop, calls = Workshop(plain), []

    async def build(settings, _previous):
        calls.append(settings)
        raise ValueError

    spec = ModuleSpec("llm", build)
    for number in (*range(300), 299, 0):
        with pytest.raises(StepFailed, match="ValueError"):
            await shop.get(order(spec, number), None)
    assert len(calls) == 301
    assert calls[-1] == 0
    await shop.close(30)


async def test_closing_ends_at_its_deadline(caplog):
    go = asyncio.Event()

    async def hangs(_):
        await go.wait()

    shop = Workshop(plain)
    maker = Maker()
    await shop.get(order(maker.spec(close=hangs), {"m": 1}), None)
    await shop.close(0.02)
    assert "closing module llm failed: RuntimeError: it was cancelled" in caplog.text


def test_settings_that_cannot_be_opened_are_a_sealed_failure():
    def broken(_key, _value):
        raise InvalidValue("odd")

    with pytest.raises(StepFailed) as caught:
        open_settings("llm", 1, broken)
    assert (caught.value.step, caught.value.reason) == ("sealed", "InvalidValue: odd")
