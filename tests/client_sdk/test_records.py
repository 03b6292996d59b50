from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_sdk.errors import NotVerified
from client_sdk.records import (
    GENESIS,
    Beat,
    Header,
    Position,
    Record,
    chain,
    change_id,
    decode,
    pack,
    unpack,
)
from tests.history import KEY, STRANGER, History, put, verifier


def test_a_record_comes_back_from_its_frame_as_it_was_signed() -> None:
    record = History().add(put("prompt", "hello"))

    again = Record.decode(record.encode())

    assert again == record
    assert again.verify(verifier())


def test_a_frame_without_bodies_names_them_all_the_same() -> None:
    record = History().add(put("prompt", "hello"))

    bare = Record.decode(record.encode(bodies=False))

    assert bare.bodies == {}
    assert bare.c == record.c


def test_one_changed_byte_of_the_header_breaks_signature_and_chain() -> None:
    record = History().add(put("prompt", "hello"))
    raw = record.raw.replace(b'"author":"tester"', b'"author":"TESTER"')
    header = Header.decode(raw)
    forged = dataclasses.replace(record, header=header, raw=raw, c=chain(header.ns, header.p, raw))

    assert not forged.verify(verifier())
    assert forged.c != record.c


def test_a_record_of_a_stranger_is_not_verified() -> None:
    assert not History(key=STRANGER).head.verify(verifier())


def test_a_beat_comes_back_and_cannot_pass_for_a_record() -> None:
    beat = History().beat(5)

    assert decode(beat.encode()) == beat
    assert beat.verify(verifier())
    with pytest.raises(NotVerified):
        Record.decode(beat.encode())


@pytest.mark.parametrize("cut", [0, 3, 7, 20, -70, -10, -1])
def test_a_frame_that_ends_early_is_refused(cut: int) -> None:
    frame = History().add(put("prompt", "hello")).encode()

    with pytest.raises(NotVerified):
        Record.decode(frame[:cut])


def test_a_frame_that_goes_on_after_its_end_is_refused() -> None:
    frame = History().add(put("prompt", "hello")).encode()

    with pytest.raises(NotVerified, match="goes on"):
        Record.decode(frame + b"x")


def test_a38_a_frame_beyond_its_bound_is_not_looked_at() -> None:
    frame = History().head.encode()

    assert decode(frame, len(frame)).position == History().head.position
    with pytest.raises(NotVerified, match="more than"):
        decode(frame, len(frame) - 1)


@given(st.binary(max_size=200))
def test_noise_is_refused_and_never_crashes(noise: bytes) -> None:
    for frame in (noise, b"CC1R" + noise, b"CC1B" + noise):
        with pytest.raises(NotVerified):
            decode(frame)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"e":1', b'"e":-1'),
        (b'"e":1', b'"e":9007199254740992'),
        (b'"e":1', b'"e":true'),
        (b'"ns":"ns"', b'"ns":7'),
        (b'"type":"put"', b'"type":"drop"'),
        (b'"crit":[]', b'"crit":["quorum"]'),
        (b'"key":"prompt"', b'"key":"Pr/mpt"'),
        (b'"state":"', b'"state":"zz'),
        (b'"p":"', b'"p":"00'),
        (b'"op":"set"', b'"op":"merge"'),
    ],
)
def test_a_header_of_the_wrong_shape_is_refused(old: bytes, new: bytes) -> None:
    raw = History().add(put("prompt", "hello")).raw
    assert old in raw

    with pytest.raises(NotVerified):
        Header.decode(raw.replace(old, new))


@pytest.mark.parametrize("broken", [b"[]", b"{}", b"7", b"{", b'{"ns":"ns"}'])
def test_a_beat_of_the_wrong_shape_is_refused(broken: bytes) -> None:
    frame = b"CC1B" + len(broken).to_bytes(4, "big") + broken + bytes(64)

    with pytest.raises(NotVerified):
        Beat.decode(frame)


@given(st.integers(0, 2**53 - 1), st.integers(0, 2**53 - 1))
def test_a_position_comes_back_from_its_text(e: int, v: int) -> None:
    assert Position.parse(str(Position(e, v))) == Position(e, v)


@pytest.mark.parametrize("text", ["", "-", "1", "1-", "-1", "a-b", "1-2-3", "1-²", f"1-{2**53}"])
def test_a_text_that_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="position"):
        Position.parse(text)


def test_positions_are_ordered_by_epoch_then_revision() -> None:
    assert Position(1, 9) < Position(2, 1) < Position(2, 2)


def test_the_chain_depends_on_namespace_predecessor_and_bytes() -> None:
    values = {
        chain("a", GENESIS, b"x"),
        chain("b", GENESIS, b"x"),
        chain("a", b"\1" * 32, b"x"),
        chain("a", GENESIS, b"y"),
    }

    assert len(values) == 4


def test_a_change_id_is_the_same_for_every_retry_and_for_nobody_else() -> None:
    first = change_id("ns", "alice", "k")

    assert first == change_id("ns", "alice", "k")
    assert len({first, change_id("ns", "bob", "k"), change_id("n", "alice", "k")}) == 3
    alike = [("a", "b|c"), ("a|b", "c"), ("a\\", "b|c"), ("a\\|b", "c")]
    assert len({change_id("ns", *each) for each in alike}) == len(alike)


def test_origin_comment_and_request_survive() -> None:
    header = dataclasses.replace(
        History().add(put("a", 1)).header,
        origin=(1, 2, "ab" * 32),
        comment="why",
        request="req-1",
        kid=KEY.kid,
    )

    assert Header.decode(header.encode()).origin == (1, 2, "ab" * 32)
    assert Header.decode(header.encode()).comment == "why"


@given(st.lists(st.binary(max_size=50)))
def test_frames_come_apart_as_they_were_put_together(frames: list[bytes]) -> None:
    assert unpack(pack(frames)) == frames


@pytest.mark.parametrize("cut", [1, 5, 6, 9, 11])
def test_bytes_that_end_inside_a_frame_are_refused(cut: int) -> None:
    with pytest.raises(NotVerified, match="ends inside"):
        unpack(pack([b"whole", b"second"])[:-cut])
