"""Turns of one conversation: one at a time, and none outlives it."""

import asyncio
import contextlib
from types import SimpleNamespace

from device_gateway.conversation import Conversation
from device_gateway.metrics import Metrics
from device_gateway.session import Heard, Session
from tests.device_gateway.world import MemoryClient
from tests.until import until


class SlowToEnd:
    """A provider whose stream says goodbye for as long as ``leave`` is not set."""

    def __init__(self):
        self.running, self.begun, self.most = [], [], 0
        self.leave = asyncio.Event()

    async def stream(self, dialogue):
        name = dialogue[-1]["content"]
        self.begun.append(name)
        self.running.append(name)
        self.most = max(self.most, len(self.running))
        try:
            yield "word "
            await asyncio.Event().wait()
        finally:
            for _ in range(3):  # however often it is cancelled; but a test that fails has to end
                with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                    await asyncio.wait_for(self.leave.wait(), 2.0)
                    break
            self.running.remove(name)


def conversation(llm):
    class Client(MemoryClient):
        @contextlib.asynccontextmanager
        async def turn(self, unit):
            yield SimpleNamespace(get=lambda key, default=None: default, module=lambda key: llm)

    client = Client()
    link = SimpleNamespace(send=lambda data: True)
    live = SimpleNamespace(session=Session("s", "d", version=1), link=link, unit=client.unit("d"))
    return Conversation(live, client, Metrics(), 60.0, lambda attributes: None)


async def test_who_interrupts_twice_waits_for_the_turn_that_is_slow_to_end():
    llm = SlowToEnd()
    talk = conversation(llm)
    talk.feed(Heard("one"))
    await until(lambda: llm.begun == ["one"])
    talk.feed(Heard("two"))
    talk.feed(Heard("three"))
    for _ in range(10):  # whoever was let go on would have begun by now
        await asyncio.sleep(0)

    assert llm.running == ["one"]
    llm.leave.set()
    await until(lambda: "three" in llm.begun)
    await talk.close()

    assert llm.most == 1
    assert llm.running == []


async def test_no_turn_outlives_its_conversation():
    llm = SlowToEnd()
    talk = conversation(llm)
    for words in ("one", "two", "three"):
        talk.feed(Heard(words))
    await until(lambda: llm.begun)
    closing = asyncio.ensure_future(talk.close())
    await until(lambda: llm.running)
    llm.leave.set()
    await closing

    assert llm.running == []
