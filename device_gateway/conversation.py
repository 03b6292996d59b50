"""Runs one session: messages in, effects out, and the one task that asks the LLM.

The reading loop never waits for an answer: a turn is a task of its own, at most one per session,
owned here and ended with it. What a device sends faster than it is handled stays in its socket.

*A turn holds one view.* Prompt and LLM are of the same position, whatever is published meanwhile;
the next turn takes the next view. The judge of a rollout hears `turn` with ok and seconds; a turn
that the person cut short, or that ended with the connection, says nothing about the provider and
is not reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from device_gateway import protocol, session
from device_gateway.config import Client
from device_gateway.errors import ProviderFailed
from device_gateway.flood import Flood
from device_gateway.hub import Live
from device_gateway.metrics import Metrics
from device_gateway.providers.echo import EchoLlm, transcribe

logger = logging.getLogger(__name__)

_CLOSE_SECONDS = 10.0

_ECHO = EchoLlm()


class Conversation:
    """The driver of one `Live` session."""

    def __init__(
        self,
        live: Live,
        client: Client,
        metrics: Metrics,
        turn_seconds: float,
        learned: Callable[[dict[str, str]], None],
    ) -> None:
        self._live = live
        self._client = client
        self._metrics = metrics
        self._turn_seconds = turn_seconds
        self._learned = learned
        self._flood = Flood.watch(time.monotonic())
        self._turn: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    def receive(self, data: str | bytes) -> bool:
        """Take one message of the device; False: it was one too many, and the connection is cut."""
        now = time.monotonic()
        if self._flood.message(now) and self._take(data, now):
            return True
        logger.warning("device %s: cut, it says too much", self._live.session.device)
        self._live.link.cut("flood")
        return False

    def _take(self, data: str | bytes, now: float) -> bool:
        if isinstance(data, str):
            event = protocol.parse_text(data)
        else:
            event = protocol.parse_binary(self._live.session.version or 1, data)
        self._metrics.messages.labels(type(event).__name__.lower()).inc()
        if isinstance(event, protocol.Malformed):
            logger.debug("device %s: %s", self._live.session.device, event.why)
        self.feed(event)
        return self._flood.turn(self._live.session.turns, now)

    def feed(self, event: session.Event) -> None:
        """Hand an event to the session and do what it says."""
        for effect in self._live.session.handle(event):
            self._do(effect)

    def _do(self, effect: session.Effect) -> None:
        match effect:
            case session.Send(message):
                self._live.link.send(protocol.encode(message))
            case session.Run(turn, dialogue):
                earlier = tuple(self._under_way)
                self._turn = asyncio.create_task(self._run(turn, dialogue, earlier))
                self._under_way.add(self._turn)
                self._turn.add_done_callback(self._under_way.discard)
            case session.Cancel():
                if self._turn and self._turn is not asyncio.current_task():
                    self._turn.cancel()
            case session.Transcribe(frames, milliseconds):
                self.feed(session.Heard(transcribe(frames, milliseconds)))
            case session.AskGreeting():
                greeting = self._live.unit.get("greeting", None)
                self.feed(session.Greet(greeting if isinstance(greeting, str) else ""))
            case session.Learned(attributes):
                self._learned(dict(attributes))

    async def _run(
        self,
        turn: int,
        dialogue: tuple[dict[str, str], ...],
        earlier: tuple[asyncio.Task[None], ...],
    ) -> None:
        # Cancelled by the session, and still saying goodbye to their provider: one conversation
        # never runs two turns at once.
        for task in earlier:
            await _ended(task)
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._turn_seconds):
                await self._ask(turn, dialogue)
            ok = True
        except asyncio.CancelledError:
            self._metrics.turns.labels("aborted").inc()
            raise
        except Exception as failure:  # the boundary: no provider may end a conversation
            self._say_why(failure)
            ok = False
        seconds = time.monotonic() - started
        self._metrics.turns.labels("ok" if ok else "failed").inc()
        self._metrics.turn_seconds.observe(seconds)
        self._live.unit.report("turn", ok=ok, seconds=seconds)
        self.feed(session.Done(turn) if ok else session.Failed(turn))

    async def _ask(self, turn: int, dialogue: tuple[dict[str, str], ...]) -> None:
        async with self._client.turn(self._live.unit) as view:
            prompt = view.get("prompt", None)
            system = [{"role": "system", "content": prompt}] if isinstance(prompt, str) else []
            async with contextlib.aclosing(_llm(view).stream([*system, *dialogue])) as pieces:
                async for piece in pieces:
                    self.feed(session.Delta(turn, piece))
                    if not self._live.session.in_turn:  # the session had enough
                        return
        if self._live.session.state is session.State.THINKING:
            raise ProviderFailed("answer", "the answer has no words")

    def _say_why(self, failure: Exception) -> None:
        device = self._live.session.device
        if isinstance(failure, ProviderFailed):
            logger.warning("device %s: no answer (%s): %s", device, failure.kind, failure)
        elif isinstance(failure, TimeoutError):
            logger.warning("device %s: no answer within %s s", device, self._turn_seconds)
        else:
            logger.exception("device %s: a turn failed", device)

    @property
    def in_turn(self) -> bool:
        """Whether the turn's task still runs."""
        return self._turn is not None and not self._turn.done()

    async def settle(self) -> None:
        """Wait until no turn is under way."""
        while self._turn and not self._turn.done():
            await asyncio.wait([self._turn])

    async def close(self) -> None:
        """End the turn under way; one that does not end is left to itself, and said."""
        if self._turn:
            self._turn.cancel()
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=_CLOSE_SECONDS)
            if late:
                logger.error("device %s: a turn does not end", self._live.session.device)


async def _ended(task: asyncio.Task[None]) -> None:
    """Wait until it has ended, also when cancelled: whoever comes next waits for us alone."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


def _llm(view: Any) -> Any:
    """The LLM of this view; where the key `llm` is absent, the echo that says it is one."""
    try:
        return view.module("llm")
    except KeyError:
        return _ECHO
