"""Letting go of live objects."""

from __future__ import annotations

import asyncio

import pytest

from client_sdk.modules.doing import Steps
from client_sdk.modules.instance import Instance, let_go
from client_sdk.modules.spec import Deadlines, ModuleSpec


class Both:
    def __init__(self):
        self.calls = []

    async def aclose(self):
        self.calls.append("aclose")

    def close(self):
        self.calls.append("close")


class Plain:
    def __init__(self):
        self.calls = []

    def close(self):
        self.calls.append("close")


@pytest.mark.parametrize(("live", "called"), [(Both(), ["aclose"]), (Plain(), ["close"])])
async def test_an_object_is_closed_by_its_own_method(live, called):
    await let_go(ModuleSpec("llm", Both), live, frozenset(), Steps())
    assert live.calls == called


async def test_an_object_without_a_way_to_close_is_left():
    await let_go(ModuleSpec("llm", Both), object(), frozenset(), Steps())


async def test_the_given_close_comes_first():
    live, closed = Both(), []
    await let_go(ModuleSpec("llm", Both, close=closed.append), live, frozenset(), Steps())
    assert (closed, live.calls) == ([live], [])


async def test_a_close_that_fails_or_hangs_is_logged_without_secrets(caplog):
    def fails(_):
        raise OSError("cannot reach sk-secret")

    async def hangs(_):
        await asyncio.sleep(60)

    steps = Steps()
    await let_go(ModuleSpec("llm", Both, close=fails), 1, frozenset({"sk-secret"}), steps)
    spec = ModuleSpec("tts", Both, close=hangs, deadlines=Deadlines(close=0.01))
    await let_go(spec, 1, frozenset(), steps)

    assert [record.getMessage() for record in caplog.records] == [
        "closing module llm failed: OSError: cannot reach ***",
        "closing module tts failed: Overdue: it was not done after 0.01 s",
    ]


def test_an_instance_shows_its_module_and_no_settings():
    instance = Instance(ModuleSpec("llm", Both), b"\x01" * 32, object(), frozenset({"s"}))
    assert repr(instance) == "Instance(llm, 01010101)"
