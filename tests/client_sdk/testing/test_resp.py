"""Every message comes out whole, wherever the network cuts the bytes."""

from __future__ import annotations

import pytest

from client_sdk.testing.resp import NotResp, Splitter, is_confirmation, is_push, words

MESSAGES = [
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":42\r\n",
    b"$5\r\nhel\r\n\r\n"[:7] + b"lo\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n$2\r\n\r\n\r\n",
    b"%1\r\n+key\r\n*1\r\n_\r\n",
    b">3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$3\r\nabc\r\n",
    b"#t\r\n",
    b"=5\r\ntxt:a\r\n",
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_messages_come_out_whole_whatever_the_pieces(size: int) -> None:
    stream, splitter = b"".join(MESSAGES), Splitter()

    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [message for piece in pieces for message in splitter.feed(piece)] == MESSAGES


def test_what_is_not_there_yet_is_waited_for() -> None:
    splitter = Splitter()

    assert splitter.feed(b"*2\r\n$1\r\na\r\n$3\r\nab") == []
    assert splitter.feed(b"c\r\n") == [b"*2\r\n$1\r\na\r\n$3\r\nabc\r\n"]


@pytest.mark.parametrize("nonsense", [b"GET / HTTP/1.1\r\n", b"$x\r\n", b"*\r\n"])
def test_what_is_no_resp_is_said(nonsense: bytes) -> None:
    with pytest.raises(NotResp):
        Splitter().feed(nonsense)


def test_a_command_and_a_push_are_read_as_words() -> None:
    push = b"*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$0\r\n\r\n"

    assert words(b"*2\r\n$3\r\nGET\r\n$-1\r\n") == [b"GET", b""]
    assert words(push) == [b"message", b"ch", b""]
    assert words(b"+OK\r\n") == words(b"*1\r\n:1\r\n") == []
    assert (is_push(push), is_confirmation(push)) == (True, False)
    assert is_confirmation(b"*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n")
    assert not is_push(b"*3\r\n$4\r\npong\r\n$2\r\nch\r\n:1\r\n")
