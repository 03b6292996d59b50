"""simulator/rules.py: each rule of a strict ESP32, broken once."""

import json

import pytest

from device_gateway.simulator.rules import Rules, ota_faults

HELLO = {"type": "hello", "transport": "websocket", "session_id": "s-1"}


def judged(*messages, state="listening", mode="auto"):
    rules = Rules(mode=mode)
    rules.connecting()
    rules.state = state
    for message in messages:
        rules.text(message if isinstance(message, bytes) else json.dumps(message).encode())
    return rules


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ([{"type": "hello"}], "crash: hello without transport"),
        ([{"type": "hello", "transport": 1}], "crash: hello without transport"),
        ([{"type": "hello", "transport": "udp"}], "hello of another transport"),
        ([{**HELLO, "session_id": 'a"'}], "session_id with characters outside [A-Za-z0-9_-]"),
        ([HELLO, HELLO], "a second hello: the next connection will not wait for its own"),
        ([{"type": "stt", "text": "x" * 70_000}], "a text of 70027 bytes"),
    ],
)
def test_a_broken_rule_is_a_fault(messages, fault):
    assert judged(*messages).faults == [fault]


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"no", "not JSON with a type"),
        ({"type": 1}, "not JSON with a type"),
        ({"type": "goodbye"}, "type goodbye"),
        ({"type": "alert", "status": "a"}, "alert with a missing field"),
        ({"type": "stt"}, "stt with a missing field"),
        ({"type": "llm"}, "llm with a missing field"),
        ({"type": "system", "command": "halt"}, "system that is not reboot"),
        ({"type": "tts", "state": "sentence_end"}, "tts of another shape"),
        ({"type": "mcp", "payload": []}, "mcp that is not JSON-RPC 2.0"),
        (
            {"type": "mcp", "payload": {"jsonrpc": "2.0"}},
            "mcp without a method, or with odd params",
        ),
        (
            {"type": "mcp", "payload": {"jsonrpc": "2.0", "method": "x", "id": "1"}},
            "mcp without a numeric id",
        ),
    ],
)
def test_what_a_device_drops_is_counted(message, why):
    rules = judged(message)

    assert rules.ignored == {why: 1}
    assert rules.faults == []


def test_speech_moves_the_state_as_in_the_firmware():
    start, stop = {"type": "tts", "state": "start"}, {"type": "tts", "state": "stop"}

    assert judged(start).state == "speaking"
    assert judged(start, stop).state == "listening"
    assert judged(start, stop, mode="manual").state == "idle"
    assert judged(stop, state="idle").state == "idle"
    assert judged(start, state="connecting").ignored == {"tts start while connecting": 1}
    assert judged({"type": "system", "command": "reboot"}).ignored == {}


@pytest.mark.parametrize(
    ("version", "data", "faults"),
    [
        (1, b"x", []),
        (2, bytes(15), ["crash: binary of 15 bytes, shorter than its header"]),
        (3, b"\0\0\0\5x", ["crash: payload_size beyond the end of the message"]),
        (2, bytes(16), []),
    ],
)
def test_binary_headers_are_trusted_by_the_device_and_so_are_checked_here(version, data, faults):
    rules = judged(state="speaking")
    rules.binary(version, data)

    assert rules.faults == faults
    assert rules.ignored == {}


def test_audio_while_listening_is_dropped():
    rules = judged()
    rules.binary(1, b"x")

    assert rules.ignored == {"audio when not speaking": 1}


@pytest.mark.parametrize(
    ("answer", "faults"),
    [
        ({"websocket": {"url": "ws://x", "token": "t"}, "firmware": {"version": "2.0-x"}}, []),
        ([], ["the OTA answer is not a JSON object"]),
        ({"websocket": "ws://"}, ["websocket is not an object"]),
        ({"websocket": {"config_version_": 1}}, []),
        ({"websocket": {"config_version_h": 1}}, ["websocket.config_version_h"]),
        ({"websocket": {"url": "x" * 4000}}, ["websocket.url"]),
        ({"mqtt": {}}, ["an mqtt section wins over websocket"]),
        ({"firmware": {"version": "v2.1"}}, ["'v2.1'"]),
    ],
)
def test_the_answer_at_boot_is_judged_before_it_is_stored(answer, faults):
    found = ota_faults(answer)

    assert len(found) == len(faults)
    assert all(word in fault for word, fault in zip(faults, found, strict=True))
