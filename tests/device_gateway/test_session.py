"""session.py: one conversation, event by event."""

import json

import pytest

from device_gateway import protocol
from device_gateway.protocol import Abort, Audio, Hello, Listen, Malformed, Mcp, Unknown
from device_gateway.session import (
    APOLOGY,
    MAX_ANSWER_CHARS,
    MAX_TURNS,
    AskGreeting,
    Cancel,
    Delta,
    Done,
    Failed,
    Greet,
    Heard,
    Learned,
    Run,
    Send,
    Session,
    State,
    Transcribe,
    bounded,
)


def new_session(mode="auto"):
    session = Session("s-1", "24:6f:28:a0:00:01")
    session.handle(Hello())
    session.handle(Listen("start", mode))
    return session


def said(effects):
    return [effect.message for effect in effects if isinstance(effect, Send)]


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def test_hello_is_answered_once_even_when_it_comes_twice():
    session = Session("s-1", "d")

    first, second = session.handle(Hello(version=3)), session.handle(Hello())

    assert first == [Send(protocol.hello("s-1"))]
    assert second == []
    assert session.version == 3


def test_a_device_that_speaks_mcp_is_asked_who_it_is():
    effects = Session("s-1", "d").handle(Hello(mcp=True))

    assert [message["type"] for message in said(effects)] == ["hello", "mcp"]
    protocol.encode(effects[1].message)


def test_its_answer_gives_board_and_firmware():
    server = {"name": "bread-compact", "version": "2.0.5"}
    answer = Mcp({"id": 1, "result": {"serverInfo": server}})

    assert new_session().handle(answer) == [
        Learned({"board": "bread-compact", "firmware": "2.0.5"})
    ]


@pytest.mark.parametrize(
    "payload",
    [{}, {"id": 2, "result": {"serverInfo": {}}}, {"id": 1, "result": {"serverInfo": {"name": 1}}}],
)
def test_other_answers_teach_nothing(payload):
    assert new_session().handle(Mcp(payload)) == []


def test_a_turn_from_words_to_silence():
    session = new_session()

    begun = session.handle(Listen("detect", text="hello"))
    spoken = session.handle(Delta(1, "Good day. How"))
    more = session.handle(Delta(1, " are you?"))
    ended = session.handle(Done(1))

    assert begun == [Send(protocol.stt("hello")), Run(1, (user("hello"),))]
    assert said(spoken) == [
        protocol.llm("neutral"),
        protocol.tts("start"),
        protocol.tts("sentence_start", "Good day. "),
    ]
    assert more == []
    assert said(ended) == [protocol.tts("sentence_start", "How are you?"), protocol.tts("stop")]
    assert session.state is State.LISTENING
    assert session.dialogue == [("hello", "Good day. How are you?")]


def test_the_next_turn_carries_the_earlier_ones():
    session = new_session()
    for number, words in enumerate(("one", "two"), 1):
        session.handle(Listen("detect", text=words))
        session.handle(Delta(number, words.upper()))
        session.handle(Done(number))

    effects = session.handle(Heard("three"))

    assert effects[-1] == Run(
        3, (user("one"), assistant("ONE"), user("two"), assistant("TWO"), user("three"))
    )


def test_abort_stops_the_answer_and_keeps_what_was_heard():
    session = new_session()
    session.handle(Heard("tell me a story"))
    session.handle(Delta(1, "Once upon a time. There"))

    effects = session.handle(Abort())

    assert effects == [Cancel(1), Send(protocol.tts("stop"))]
    assert session.dialogue == [("tell me a story", "Once upon a time. ")]
    assert session.handle(Delta(1, " was")) == session.handle(Done(1)) == []


def test_abort_without_an_answer_is_nothing():
    assert new_session().handle(Abort()) == []


def test_new_words_replace_the_answer_under_way():
    session = new_session()
    session.handle(Heard("first"))

    effects = session.handle(Heard("second"))

    assert effects == [
        Cancel(1),
        Send(protocol.tts("stop")),
        Send(protocol.stt("second")),
        Run(2, (user("second"),)),
    ]
    assert [session.handle(late) for late in (Delta(1, "x"), Done(1), Failed(1))] == [[]] * 3


def test_a_turn_that_fails_before_its_first_word_apologises_and_leaves_no_trace():
    session = new_session()
    session.handle(Heard("hi"))

    effects = session.handle(Failed(1))

    assert protocol.tts("sentence_start", APOLOGY) in said(effects)
    assert said(effects)[-1] == protocol.tts("stop")
    assert session.dialogue == []
    assert session.state is State.LISTENING
    assert session.handle(Failed(1)) == []


def test_a_turn_that_fails_in_the_middle_keeps_what_was_said():
    session = new_session()
    session.handle(Heard("hi"))
    session.handle(Delta(1, "Well"))

    effects = session.handle(Failed(1))

    assert said(effects) == [
        protocol.tts("sentence_start", "Well"),
        protocol.tts("sentence_start", APOLOGY),
        protocol.tts("stop"),
    ]
    assert session.dialogue == [("hi", "Well")]


def test_an_answer_without_end_is_ended():
    session = new_session()
    session.handle(Heard("hi"))

    effects = session.handle(Delta(1, "x" * (MAX_ANSWER_CHARS + 1)))

    assert Cancel(1) in effects
    assert effects[-1] == Send(protocol.tts("stop"))
    assert not session.in_turn


def test_speech_in_manual_mode_is_counted_and_transcribed_at_its_end():
    session = new_session("manual")
    session.handle(Audio(b"x"))
    session.handle(Audio(b"y"))

    effects = session.handle(Listen("stop", "manual"))

    assert effects == [Transcribe(frames=2, milliseconds=120)]
    assert session.state is State.IDLE
    assert session.handle(Listen("stop")) == []


def test_manual_mode_rests_idle():
    session = new_session("manual")
    session.handle(Heard("hi"))
    session.handle(Done(1))

    assert session.state is State.IDLE
    assert session.handle(Audio(b"x")) == []
    assert session.frames == 0


def test_the_greeting_is_asked_for_once_and_said():
    session = Session("s-1", "d")
    session.handle(Hello())

    first, second = session.handle(Listen("start")), session.handle(Listen("start"))
    effects = session.handle(Greet("Welcome"))

    assert (first, second) == ([AskGreeting()], [])
    assert said(effects) == [
        protocol.tts("start"),
        protocol.tts("sentence_start", "Welcome"),
        protocol.tts("stop"),
    ]
    assert session.dialogue == []


def test_who_begins_to_speak_is_not_greeted_over():
    session = Session("s-1", "d")
    session.handle(Hello())
    session.handle(Listen("detect", text="wake up"))

    assert session.handle(Listen("start")) == []
    assert session.handle(Greet("Welcome")) == []


@pytest.mark.parametrize(
    "event", [Unknown("x"), Malformed("x"), Listen("detect"), Heard(""), Greet("")]
)
def test_what_means_nothing_changes_nothing(event):
    session = new_session()
    before = session.to_json()

    assert session.handle(event) == []
    assert session.to_json() == before


def test_the_state_travels_as_json_without_the_turn_under_way():
    session = new_session()
    session.handle(Heard("one"))
    session.handle(Delta(1, "ONE"))
    session.handle(Done(1))
    resting = json.loads(json.dumps(session.to_json()))
    session.handle(Heard("two"))

    other = Session.from_json(resting)

    assert other.to_json() == resting
    assert session.to_json() == {**resting, "turns": 2}
    assert other.handle(Heard("two")) == [
        Send(protocol.stt("two")),
        Run(2, (user("one"), assistant("ONE"), user("two"))),
    ]


@pytest.mark.parametrize("document", [{}, {"format": 2}, {"format": 1, "id": "a"}])
def test_a_document_of_another_shape_is_refused(document):
    with pytest.raises(ValueError, match="session"):
        Session.from_json(document)


def test_the_dialogue_is_bounded_in_turns_and_size():
    many = [(str(n), "x") for n in range(MAX_TURNS + 5)]
    huge = [("a", "x" * 20_000), ("b", "y" * 20_000)]

    assert bounded(many) == many[5:]
    assert bounded(huge) == [("b", "y" * 20_000)]


@pytest.mark.parametrize(
    "event", [Listen("start"), Listen("detect", text="hi"), Abort(), Audio(b"x"), Mcp({"id": 1})]
)
def test_before_its_hello_a_device_gets_no_word(event):
    session = Session("s-1", "d")
    fresh = session.to_json()

    assert session.handle(event) == []
    assert session.to_json() == fresh


def test_one_huge_piece_is_cut_at_the_same_bound_as_many_small_ones():
    session = new_session()
    session.handle(Heard("hi"))

    effects = session.handle(Delta(1, "a. " * MAX_ANSWER_CHARS))

    spoken = "".join(message.get("text", "") for message in said(effects))
    assert len(spoken) == MAX_ANSWER_CHARS
    assert Cancel(1) in effects
    assert effects[-1] == Send(protocol.tts("stop"))
    assert session.state is State.LISTENING
