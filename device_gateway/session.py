"""One conversation as a state machine: events in, effects out. Pure.

        listen start          text heard            first words            last words
  IDLE ─────────────► LISTENING ─────────► THINKING ───────────► SPEAKING ───────────► rest
   ▲                     ▲                     │                     │
   └─────────────────────┴──── abort, failure ─┴─────────────────────┘
  rest = LISTENING in the modes auto and realtime, IDLE in manual mode (as the firmware does).

The laws kept here:

1. *The dialogue outlives the configuration.* It belongs to the session, not to a module; a new LLM
   under a new prompt gets the earlier turns in its next request.
2. *A turn is in the dialogue if some of its answer was spoken.* An answer that was cut is kept as
   far as the person heard it; a turn that failed before its first word leaves no trace, so a broken
   provider cannot fill the dialogue with questions nobody answered.
3. *A turn that was replaced is deaf.* `Delta`, `Done` and `Failed` carry the number of their turn;
   what a cancelled task still says is dropped.
4. *Between turns the whole state is one small JSON document* (`to_json`), with a version, so that
   another process can go on with the conversation. A turn under way is not part of it.

Both sizes are bounded: `MAX_TURNS` and `MAX_DIALOGUE_CHARS` for the dialogue, `MAX_ANSWER_CHARS`
for one answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Final

from device_gateway import protocol
from device_gateway.protocol import Abort, Audio, Hello, Listen, Malformed, Mcp, Unknown
from device_gateway.sentences import cut_sentences

MAX_TURNS: Final = 20
MAX_DIALOGUE_CHARS: Final = 24_000
MAX_ANSWER_CHARS: Final = 8_000
APOLOGY: Final = "抱歉，我现在无法回答。Sorry, I cannot answer right now."

FORMAT: Final = 1
_MCP_INITIALIZE: Final = 1


class State(StrEnum):
    """Where the conversation is."""

    IDLE = "idle"
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"


@dataclass(frozen=True, slots=True)
class Heard:
    """Speech recognition gave this text."""

    text: str


@dataclass(frozen=True, slots=True)
class Greet:
    """Say this without being asked (the key `greeting`)."""

    text: str


@dataclass(frozen=True, slots=True)
class Delta:
    """Some more of the answer of turn `turn`."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The answer of turn `turn` is whole."""

    turn: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The provider could not answer turn `turn`."""

    turn: int


Event = protocol.Inbound | Heard | Greet | Delta | Done | Failed


@dataclass(frozen=True, slots=True)
class Send:
    """Send this message to the device."""

    message: protocol.Message


@dataclass(frozen=True, slots=True)
class Run:
    """Ask the LLM; `dialogue`: the earlier turns and the new words, no system prompt."""

    turn: int
    dialogue: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop asking the LLM for this turn."""

    turn: int


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Speech ended: `frames` Opus frames of `milliseconds` in all. Answer with `Heard`."""

    frames: int
    milliseconds: int


@dataclass(frozen=True, slots=True)
class AskGreeting:
    """The conversation begins: answer with `Greet` if there is a greeting."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What the device told about itself over MCP: firmware and board."""

    attributes: Mapping[str, str]


Effect = Send | Run | Cancel | Transcribe | AskGreeting | Learned


@dataclass(slots=True)
class Session:
    """The state of one conversation; `handle` is its only verb."""

    id: str
    device: str
    client: str = ""
    state: State = State.IDLE
    mode: str = "auto"
    version: int = 0
    """Framing of binary messages; 0 until the device has said hello."""
    frame_milliseconds: int = protocol.FRAME_MILLISECONDS
    turns: int = 0
    dialogue: list[tuple[str, str]] = field(default_factory=list)
    """What was said and what was answered, oldest first."""
    greeted: bool = False
    frames: int = 0
    """Opus frames of the current utterance."""
    question: str = ""
    spoken: str = ""
    unspoken: str = ""

    _HANDLERS: ClassVar[dict[type, Callable[[Session, Any], list[Effect]]]]

    def handle(self, event: Event) -> list[Effect]:
        """Take one event, change the state, say what is to be done. Never raises."""
        if not self.version and not isinstance(event, Hello):
            return []  # before its hello a device gets no word, and costs no provider a request
        return self._HANDLERS[type(event)](self, event)

    @property
    def in_turn(self) -> bool:
        """Whether an answer is under way."""
        return self.state in (State.THINKING, State.SPEAKING)

    def to_json(self) -> dict[str, Any]:
        """The conversation as it is between turns; a turn under way is left out."""
        return {
            "format": FORMAT,
            "id": self.id,
            "device": self.device,
            "client": self.client,
            "state": str(self._rest() if self.in_turn else self.state),
            "mode": self.mode,
            "version": self.version,
            "frame_milliseconds": self.frame_milliseconds,
            "turns": self.turns,
            "greeted": self.greeted,
            "frames": self.frames,
            "dialogue": [list(turn) for turn in self.dialogue],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Session:
        """Go on with a conversation that `to_json` wrote.

        Raises:
            ValueError: the document is of another format, or not whole.
        """
        if document.get("format") != FORMAT:
            raise ValueError(f"a session of format {document.get('format')!r}: this is {FORMAT}")
        fields = {name: document[name] for name in _PLAIN_FIELDS if name in document}
        if len(fields) != len(_PLAIN_FIELDS):
            raise ValueError("a session document that is not whole")
        dialogue = [(str(said), str(answered)) for said, answered in document.get("dialogue", ())]
        return cls(**fields, state=State(document.get("state", "idle")), dialogue=dialogue)

    def _on_hello(self, event: Hello) -> list[Effect]:
        if self.version:  # a second answer would poison the device's NEXT connection
            return []
        self.version = event.version
        self.frame_milliseconds = event.frame_milliseconds
        effects: list[Effect] = [Send(protocol.hello(self.id))]
        if event.mcp:
            effects.append(Send(_INITIALIZE))
        return effects

    def _on_listen(self, event: Listen) -> list[Effect]:
        if event.state == "detect":
            return self._begin(event.text) if event.text else []
        if event.state == "start":
            return self._start_listening(event.mode)
        return self._stop_listening()

    def _start_listening(self, mode: str) -> list[Effect]:
        self.mode = mode
        self.frames = 0
        if self.in_turn:
            return []
        self.state = State.LISTENING
        if self.greeted or self.turns:
            return []
        self.greeted = True
        return [AskGreeting()]

    def _stop_listening(self) -> list[Effect]:
        frames, self.frames = self.frames, 0
        if self.state is not State.LISTENING:
            return []
        self.state = State.IDLE
        return [Transcribe(frames, frames * self.frame_milliseconds)] if frames else []

    def _on_audio(self, event: Audio) -> list[Effect]:
        if self.state is State.LISTENING:
            self.frames += 1
        return []

    def _on_heard(self, event: Heard) -> list[Effect]:
        return self._begin(event.text) if event.text else []

    def _on_greet(self, event: Greet) -> list[Effect]:
        if self.in_turn or not event.text:
            return []
        return _say(event.text)

    def _begin(self, text: str) -> list[Effect]:
        effects = self._interrupt()
        self.turns += 1
        self.state = State.THINKING
        self.question = text
        said = [_message(*pair) for turn in self.dialogue for pair in _roles(turn)]
        dialogue = (*said, _message("user", text))
        return [*effects, Send(protocol.stt(text)), Run(self.turns, dialogue)]

    def _on_delta(self, event: Delta) -> list[Effect]:
        if event.turn != self.turns or not self.in_turn:
            return []
        effects: list[Effect] = []
        if self.state is State.THINKING:
            self.state = State.SPEAKING
            effects = [Send(protocol.llm("neutral")), Send(protocol.tts("start"))]
        room = MAX_ANSWER_CHARS - len(self.spoken) - len(self.unspoken)
        self.unspoken += event.text[:room]
        sentences, self.unspoken = cut_sentences(self.unspoken)
        effects += self._speak(sentences)
        if len(event.text) > room:
            effects += [Cancel(self.turns), *self._finish()]
        return effects

    def _on_done(self, event: Done) -> list[Effect]:
        return self._finish() if event.turn == self.turns and self.in_turn else []

    def _on_failed(self, event: Failed) -> list[Effect]:
        if event.turn != self.turns or not self.in_turn:
            return []
        if self.state is State.SPEAKING:
            *spoken, stop = self._finish()
            return [*spoken, Send(protocol.tts("sentence_start", APOLOGY)), stop]
        self._rest_now()
        return _say(APOLOGY)

    def _on_abort(self, event: Abort) -> list[Effect]:
        return self._interrupt()

    def _interrupt(self) -> list[Effect]:
        if not self.in_turn:
            return []
        self.unspoken = ""
        return [Cancel(self.turns), *self._finish()]

    def _finish(self) -> list[Effect]:
        effects = self._speak([self.unspoken] if self.unspoken else [])
        if self.spoken:
            self.dialogue.append((self.question, self.spoken))
            self.dialogue = bounded(self.dialogue)
        self._rest_now()
        return [*effects, Send(protocol.tts("stop"))]

    def _speak(self, sentences: Sequence[str]) -> list[Effect]:
        self.spoken += "".join(sentences)
        return [Send(protocol.tts("sentence_start", sentence)) for sentence in sentences]

    def _rest(self) -> State:
        return State.IDLE if self.mode == "manual" else State.LISTENING

    def _rest_now(self) -> None:
        self.state = self._rest()
        self.question = self.spoken = self.unspoken = ""
        self.frames = 0

    def _on_mcp(self, event: Mcp) -> list[Effect]:
        result = event.payload.get("result")
        server = result.get("serverInfo") if isinstance(result, dict) else None
        if event.payload.get("id") != _MCP_INITIALIZE or not isinstance(server, dict):
            return []
        known = {"board": server.get("name"), "firmware": server.get("version")}
        named = {name: value[:64] for name, value in known.items() if isinstance(value, str)}
        return [Learned(named)] if named else []

    def _on_nothing(self, event: Unknown | Malformed) -> list[Effect]:
        return []


Session._HANDLERS = {
    Hello: Session._on_hello,
    Listen: Session._on_listen,
    Abort: Session._on_abort,
    Audio: Session._on_audio,
    Mcp: Session._on_mcp,
    Unknown: Session._on_nothing,
    Malformed: Session._on_nothing,
    Heard: Session._on_heard,
    Greet: Session._on_greet,
    Delta: Session._on_delta,
    Done: Session._on_done,
    Failed: Session._on_failed,
}

_PLAIN_FIELDS: Final = (
    "id",
    "device",
    "client",
    "mode",
    "version",
    "frame_milliseconds",
    "turns",
    "greeted",
    "frames",
)

# The result names board and firmware, at every connection: what targeting rules are written on.
_INITIALIZE: Final = protocol.mcp_request(
    _MCP_INITIALIZE,
    "initialize",
    {
        "protocolVersion": "2024-11-05",
        "capabilities": {},
        "clientInfo": {"name": "device-gateway", "version": "1"},
    },
)


def bounded(dialogue: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The newest turns that fit both bounds; the last one always stays."""
    kept = dialogue[-MAX_TURNS:]
    size = sum(len(said) + len(answered) for said, answered in kept)
    while size > MAX_DIALOGUE_CHARS and len(kept) > 1:
        said, answered = kept.pop(0)
        size -= len(said) + len(answered)
    return kept


def _say(text: str) -> list[Effect]:
    sentence = protocol.tts("sentence_start", text)
    return [Send(protocol.tts("start")), Send(sentence), Send(protocol.tts("stop"))]


def _roles(turn: tuple[str, str]) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("user", turn[0]), ("assistant", turn[1])


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
