"""ota.py: what a device stores, and what would reboot it for ever."""

import pytest

from device_gateway import ota


@pytest.mark.parametrize(
    ("public", "host", "expected"),
    [
        ("wss://gw.example/x/", "ignored", "wss://gw.example/x/"),
        (None, "10.0.0.2:8000", "ws://10.0.0.2:8000/xiaozhi/v1/"),
        (None, "[::1]:8000", "ws://127.0.0.1:1/xiaozhi/v1/"),
        (None, 'evil"host', "ws://127.0.0.1:1/xiaozhi/v1/"),
        (None, None, "ws://127.0.0.1:1/xiaozhi/v1/"),
    ],
)
def test_a_device_is_sent_where_it_can_go(public, host, expected):
    assert ota.websocket_url(public, host, "127.0.0.1:1") == expected


@pytest.mark.parametrize(
    ("firmware", "told"),
    [("2.0.5", "2.0.5"), ("2.0.5-esp32", "2.0.5-esp32"), ("v2.1", ""), ("2.x", ""), ("", "")],
)
def test_only_a_version_that_the_firmware_can_read_is_told(firmware, told):
    assert ota.answer(firmware, 1.5, 480) == {
        "server_time": {"timestamp": 1500, "timezone_offset": 480},
        "firmware": {"version": told, "url": ""},
    }


def test_the_report_of_a_device_gives_attributes():
    body = {
        "application": {"version": "2.0.5"},
        "board": {"type": "bread"},
        "chip_model_name": "esp32s3",
        "language": 7,
    }

    assert ota.attributes(body) == {"firmware": "2.0.5", "board": "bread", "chip": "esp32s3"}
    assert ota.attributes({"application": 1, "board": []}) == ota.attributes("x") == {}


def test_what_does_not_fit_into_nvs_is_refused():
    with pytest.raises(ValueError, match=r"websocket\.url"):
        ota.websocket_section("ws://" + "x" * 4000, "t")


def test_an_activation_names_the_command_to_type():
    assert ota.activation_section("d", "123456") == {
        "message": "config-center devices admit 123456",
        "code": "123456",
        "challenge": "d",
        "timeout_ms": 30_000,
    }
