"""protocol.py: lenient towards the device, strict towards ourselves."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_gateway import protocol
from device_gateway.protocol import (
    Abort,
    Audio,
    Hello,
    Listen,
    Malformed,
    Mcp,
    ProtocolFault,
    Unknown,
    encode,
    pack_binary,
    parse_binary,
    parse_text,
)


def test_the_hello_of_the_stock_firmware_is_read():
    raw = (
        '{"type":"hello","version":3,"features":{"mcp":true,"glyph_push":false},'
        '"transport":"websocket","audio_params":{"format":"opus","sample_rate":16000,'
        '"channels":1,"frame_duration":20}}'
    )

    assert parse_text(raw) == Hello(version=3, mcp=True, frame_milliseconds=20)


def test_a_hello_with_odd_fields_falls_back_to_the_defaults():
    raw = '{"type":"hello","transport":"websocket","version":true,"features":[],"audio_params":7}'

    assert parse_text(raw) == Hello(version=1, mcp=False, frame_milliseconds=60)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('{"type":"listen","state":"start","mode":"manual"}', Listen("start", "manual")),
        ('{"type":"listen","state":"detect","text":" hi "}', Listen("detect", "auto", "hi")),
        ('{"type":"abort","reason":"wake_word_detected"}', Abort("wake_word_detected")),
        ('{"type":"abort","reason":5}', Abort()),
        ('{"type":"mcp","payload":{"id":1}}', Mcp({"id": 1})),
        ('{"type":"goodbye"}', Unknown("goodbye")),
        ('{"type":"hello","transport":"udp"}', Malformed("hello without transport websocket")),
        ('{"type":"listen"}', Malformed("listen without a known state")),
        (
            '{"type":"listen","state":"start","mode":"x"}',
            Malformed("listen with an unknown mode"),
        ),
        (
            '{"type":"listen","state":"detect","text":1}',
            Malformed("listen whose text is not a string"),
        ),
        ('{"type":"mcp","payload":"x"}', Malformed("mcp without a payload object")),
        ('{"type":3}', Malformed("no string `type`")),
        ("[1]", Malformed("not a JSON object")),
        ('{"text":"a "quote" inside"}', Malformed("not JSON")),
        ('"\ud800"', Malformed("not JSON")),
    ],
)
def test_each_message_of_a_device_has_one_reading(raw, expected):
    assert parse_text(raw) == expected


@given(st.text())
def test_no_text_makes_the_parser_raise(raw):
    parse_text(raw)


@settings(deadline=None)  # 28 messages an example
@given(st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(), st.lists))
def test_no_field_of_a_known_type_makes_the_parser_raise(value):
    for kind in ("hello", "listen", "abort", "mcp"):
        for name in ("version", "features", "audio_params", "state", "mode", "text", "payload"):
            message = {"type": kind, "transport": "websocket", "state": "start", name: value}
            parse_text(orjson.dumps(message).decode())


@pytest.mark.parametrize("version", [1, 2, 3])
@given(opus=st.binary(max_size=300))
def test_a_packet_survives_its_framing(version, opus):
    assert parse_binary(version, pack_binary(version, opus, 7)) == Audio(opus)


@pytest.mark.parametrize("version", [1, 2, 3])
@given(data=st.binary(max_size=40))
def test_no_binary_message_makes_the_parser_raise(version, data):
    parse_binary(version, data)


@pytest.mark.parametrize(
    ("version", "data", "why"),
    [
        (2, bytes(15), "binary message shorter than its header"),
        (3, bytes(3), "binary message shorter than its header"),
        (3, b"\x01\x00\x00\x00", "binary message that is not Opus"),
        (3, b"\x00\x00\x00\x09x", "binary message whose size field is wrong"),
    ],
)
def test_a_wrong_header_is_malformed(version, data, why):
    assert parse_binary(version, data) == Malformed(why)


@pytest.mark.parametrize(("version", "size"), [(3, 65_536), (4, 1), (0, 1)])
def test_a_packet_that_does_not_fit_is_our_fault(version, size):
    with pytest.raises(ProtocolFault):
        pack_binary(version, bytes(size))


@pytest.mark.parametrize(
    "message",
    [
        protocol.hello("abc-DEF_1"),
        protocol.stt("hi"),
        protocol.llm("happy"),
        protocol.tts("start"),
        protocol.tts("sentence_start", "hi"),
        protocol.alert("a", "b", "c"),
        protocol.system_reboot(),
        protocol.mcp_request(1, "initialize", {}),
        protocol.mcp_notification("config_changed", {"keys": []}),
    ],
)
def test_what_the_builders_make_can_be_sent(message):
    frame = encode(message)

    assert frame[0] == 0x81  # FIN and text, no RSV bit
    assert orjson.loads(frame[4 if frame[1] == 126 else 2 :]) == message


@pytest.mark.parametrize("size", [10, 125, 126, 60_000])
def test_the_frame_header_says_the_true_length(size):
    frame = encode({"type": "stt", "text": "x" * (size - len('{"type":"stt","text":""}'))})

    short = frame[1] < 126
    told = frame[1] if short else int.from_bytes(frame[2:4], "big")
    assert told == len(frame) - (2 if short else 4)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "goodbye"},
        {},
        {"type": "hello", "session_id": "a"},
        {"type": "stt"},
        {"type": "stt", "text": "x", "session_id": 'a"b'},
        {"type": "alert", "status": "a", "message": "b"},
        {"type": "tts", "state": "sentence_end"},
        {"type": "tts", "state": "sentence_start"},
        {"type": "system", "command": "rm"},
        {"type": "mcp", "payload": {"method": "x"}},
        {"type": "mcp", "payload": {"jsonrpc": "2.0", "method": "x", "params": []}},
        {"type": "mcp", "payload": {"jsonrpc": "2.0", "method": "x", "id": "1"}},
        {"type": "stt", "text": "x" * 65_536},
    ],
)
def test_what_a_device_would_choke_on_is_refused(message):
    with pytest.raises(ProtocolFault):
        encode(message)


def test_a_frame_longer_than_the_short_forms_says_so_in_eight_bytes():
    assert protocol._frame_header(70_000) == b"\x81\x7f" + (70_000).to_bytes(8, "big")
