from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_sdk.contents import Op, Rollout
from client_sdk.errors import NotVerified
from client_sdk.image import Image, decode_row, encode_row
from tests.history import STRANGER, History, content, put, verifier


def image_of(history: History) -> Image:
    head = replace(history.head, bodies={})
    entries = tuple(history.state.entries.values())
    return Image(head, entries, {"dek": "kek:AAAA"}, history.beat(5))


def world() -> History:
    history = History()
    history.add(put("prompt", "hello"), put("gone", 1))
    rollout = Rollout("r", 5, "device", "r", ("prompt",), content("canary", 2), deny=("x",))
    history.add(Op("prompt", "set", 2, content("hello", 1), rollout), Op("gone", "del", 1, None))
    return history


def test_an_image_comes_back_and_proves_its_state() -> None:
    history = world()

    image = Image.decode(image_of(history).encode())

    assert image == image_of(history)
    assert image.prove("ns", verifier()).digest == history.state.digest
    assert all(c.body is not None for entry in image.entries for c in entry.contents)


def test_an_image_with_one_edited_row_proves_nothing() -> None:
    image = image_of(world())
    edited = replace(image.entries[0], content=content("evil", 1))
    forged = replace(image, entries=(edited, *image.entries[1:]))

    with pytest.raises(NotVerified, match="do not hash"):
        forged.prove("ns", verifier())


def test_an_image_of_another_namespace_or_a_stranger_proves_nothing() -> None:
    with pytest.raises(NotVerified, match="not signed"):
        image_of(world()).prove("other", verifier())
    with pytest.raises(NotVerified, match="not signed"):
        image_of(History(key=STRANGER)).prove("ns", verifier())


def test_large_bodies_are_left_out_of_a_row_and_can_be_put_back() -> None:
    history = History()
    history.add(put("big", "x" * 100))
    entry = history.state.entries["big"]

    bare = decode_row(encode_row(entry, inline_limit=50))
    image = Image(replace(history.head, bodies={}), (bare,))
    whole = image.with_bodies({entry.content.sha256: entry.content.body})

    assert image.missing() == {entry.content.sha256}
    assert whole.missing() == set()
    assert whole.entries[0].content.body == entry.content.body


def test_a_row_with_two_equal_bodies_comes_back() -> None:
    same = content("same", 1)
    history = History()
    rollout = Rollout("r", 5, "device", "r", ("k",), replace(same, version=2))
    history.add(Op("k", "set", 2, same, rollout))
    entry = history.state.entries["k"]

    assert decode_row(encode_row(entry)) == entry


@given(st.binary(max_size=100))
def test_noise_is_refused_and_never_crashes(noise: bytes) -> None:
    for prefix in (b"", b"CC1E", b"CC1I"):
        with pytest.raises(NotVerified):
            Image.decode(prefix + noise)
        with pytest.raises(NotVerified):
            decode_row(prefix + noise)


@pytest.mark.parametrize("cut", [5, 40, -1])
def test_an_image_that_ends_early_is_refused(cut: int) -> None:
    raw = image_of(world()).encode()

    with pytest.raises(NotVerified):
        Image.decode(raw[:cut])


def test_an_image_that_goes_on_is_refused() -> None:
    with pytest.raises(NotVerified, match="goes on"):
        Image.decode(image_of(world()).encode() + b"x")
