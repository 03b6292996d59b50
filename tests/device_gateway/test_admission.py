"""admission.py: who it is, and whether it is wanted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_gateway.admission import (
    CLOCK_SKEW_SECONDS,
    MAX_WAITING,
    TOKEN_SECONDS,
    WaitingRoom,
    admitted,
    client_id,
    device_id,
    make_token,
    token_holds,
)

KEY = b"0123456789abcdef"


def test_a_token_has_the_form_of_the_stock_server():
    # hmac.new(KEY, b"c|d|1700000000", sha256), base64url without padding, as core/auth.py makes it.
    assert make_token(KEY, "c", "d", 1_700_000_000) == (
        "hN3mqfBtMFdU7HgVa6ZOqnZLNBW-j7T22WUjNOwrs9c.1700000000"
    )


@pytest.mark.parametrize(
    ("client", "device", "age", "holds"),
    [
        ("c", "d", 0, True),
        ("c", "d", TOKEN_SECONDS, True),
        ("c", "d", TOKEN_SECONDS + 1, False),
        ("c", "d", -CLOCK_SKEW_SECONDS, True),
        ("c", "d", -CLOCK_SKEW_SECONDS - 1, False),
        ("x", "d", 0, False),
        ("c", "x", 0, False),
    ],
)
def test_a_token_is_for_one_device_and_thirty_days(client, device, age, holds):
    token = make_token(KEY, "c", "d", 1_700_000_000)

    assert token_holds(KEY, token, client, device, 1_700_000_000 + age) is holds


def test_a_token_of_another_key_does_not_hold():
    assert not token_holds(b"x" * 16, make_token(KEY, "c", "d", 9), "c", "d", 9)


@given(st.text())
def test_no_text_is_a_token_and_none_raises(text):
    assert not token_holds(KEY, text, "c", "d", 0)
    assert not token_holds(KEY, f"{text}.0", "c", "d", 0)


def test_ids_are_read_once_at_the_door():
    assert device_id("24:6F:28:A0:00:01") == "24:6f:28:a0:00:01"
    assert client_id("AbC-1") == "AbC-1"
    assert [device_id(text) for text in (None, "", "a b", "x" * 65)] == [None] * 4
    assert client_id('a"b') is None


@pytest.mark.parametrize(
    ("value", "on_loopback", "expected"),
    [
        (None, True, True),
        (None, False, False),
        ({}, False, False),
        ({"devices": {"admit": "all"}}, False, True),
        ({"devices": {"admit": "listed", "list": ["24:6F:*"]}}, True, True),
        ({"devices": {"list": ["ff:*"]}}, False, False),
        ({"devices": {"list": ["ff:*"]}}, True, True),
        ({"devices": {"admit": "al"}}, True, False),
        ({"devices": {"admit": "listed", "list": "*"}}, True, False),
        ({"devices": {"admit": "listed", "list": 3}}, True, False),
        ({"devices": {"admit": "listed", "list": [7, None]}}, True, False),
        ({"devices": "all"}, True, False),
    ],
)
def test_the_key_gateway_decides_and_a_mistake_does_not_open_the_door(value, on_loopback, expected):
    assert admitted(value, "24:6f:28:a0:00:01", on_loopback=on_loopback) is expected


def test_a_code_is_the_same_after_a_restart_and_differs_between_devices():
    room, again = WaitingRoom(KEY), WaitingRoom(KEY)
    codes = [room.code(f"d{number}", 1.0) for number in range(200)]

    assert [room.code("d0", 2.0), again.code("d0", 3.0)] == [codes[0]] * 2
    assert len(set(codes)) == 200
    assert all(len(code) == 6 and code.isdigit() for code in codes)
    assert room.rows()[-1] == {"device": "d0", "code": codes[0], "asked": 2.0}


def test_two_devices_that_wait_never_share_a_code():
    room = WaitingRoom(KEY)
    first = WaitingRoom(KEY).code("b", 1.0)
    room.codes["a"] = (first, 1.0)

    assert room.code("b", 1.0) != first


def test_the_waiting_room_is_bounded_and_can_be_left():
    room = WaitingRoom(KEY)
    room.codes.update((f"d{n}", (f"{n:06d}", 0.0)) for n in range(MAX_WAITING))
    room.code("new", 1.0)
    room.leave("new")

    assert "d0" not in room.codes
    assert len(room.codes) == MAX_WAITING - 1
