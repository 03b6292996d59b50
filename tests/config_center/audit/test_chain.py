"""The chain: whatever is done to it without the key is found, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from client_sdk.errors import NotVerified
from client_sdk.signing import (
    RETIRED,
    REVOKED,
    Refusal,
    SigningKey,
    TrustList,
    Verifier,
    draft,
)
from config_center.audit.chain import End, Finding, Seal, Walk, beginning, follow
from config_center.audit.entries import Entry

KEY = SigningKey(b"k" * 32)
STRANGER = SigningKey(b"s" * 32)
VERIFIER = Verifier(TrustList.issue(SigningKey(b"r" * 32), {KEY.kid: KEY.public}, 1))
CHAIN = "c0ffee"

Link = tuple[bytes, bytes]


def links(count: int, start: End | None = None) -> list[Link]:
    """So many entries, chained."""
    end, found = start or beginning(CHAIN), []
    for _ in range(count):
        raw = Entry(at=1, actor=f"alice {end.n}").encode(end.n + 1)
        end = follow(end, raw)
        found.append((raw, end.hash))
    return found


def chained(raws: Sequence[bytes]) -> list[Link]:
    """What somebody without the key makes of these entries."""
    end, found = beginning(CHAIN), []
    for raw in raws:
        end = follow(end, raw)
        found.append((raw, end.hash))
    return found


def seal_of(entries: Sequence[Link], key: SigningKey = KEY, after: End | None = None) -> Seal:
    start = after or beginning(CHAIN)
    end = End(start.n + len(entries), entries[-1][1]) if entries else start
    return Seal.issue(CHAIN, start, end, 5, key)


def walk(entries: Sequence[Link], seal: Seal | None, after: End | None = None) -> Finding:
    walking = Walk(CHAIN, after or beginning(CHAIN))
    for raw, hash_ in entries:
        walking.take(raw, hash_)
    return walking.finish(seal, VERIFIER)


def edited(link: Link) -> Link:
    return link[0].replace(b"alice", b"mallo"), link[1]


TEN = links(10)
SEAL = seal_of(TEN)


@pytest.mark.parametrize("why", [RETIRED, REVOKED])
def test_what_a_stolen_key_sealed_proves_nothing_and_what_a_replaced_one_did_holds(
    why: str,
) -> None:
    root = SigningKey(b"r" * 32)
    refused = {KEY.kid: Refusal(KEY.public, 1, why)}
    raw = draft({STRANGER.kid: STRANGER.public}, 2, refused=refused)

    assert SEAL.verify(Verifier(TrustList.sign(root, raw))) is (why == RETIRED)


def test_a_chain_that_nobody_touched_is_intact() -> None:
    found = walk(TEN, SEAL)

    assert found == Finding(CHAIN, 0, End(10, TEN[-1][1]))
    assert found.count == 10


@pytest.mark.parametrize(
    ("entries", "first"),
    [
        pytest.param([*TEN[:4], *TEN[5:]], 5, id="one is deleted"),
        pytest.param([*TEN[:4], edited(TEN[4]), *TEN[5:]], 5, id="one is edited"),
        pytest.param([*TEN[:4], TEN[5], TEN[4], *TEN[6:]], 5, id="two are exchanged"),
        pytest.param([*TEN[:5], TEN[4], *TEN[5:]], 6, id="one stands twice"),
        pytest.param(TEN[1:], 1, id="the first is gone"),
        pytest.param(TEN[:7], 8, id="the end is cut off"),
        pytest.param([*TEN, *links(1, End(10, TEN[-1][1]))], 11, id="one is put behind the end"),
        pytest.param([*TEN[:4], (b"no entry", TEN[4][1]), *TEN[5:]], 5, id="noise"),
        pytest.param([*TEN[:4], (b'{"n":"5"}', TEN[4][1])], 5, id="a number that is none"),
        pytest.param([*TEN[:4], (TEN[4][0], b""), *TEN[5:]], 5, id="a hash is gone"),
    ],
)
def test_the_first_entry_that_is_not_intact_is_named(entries: list[Link], first: int) -> None:
    found = walk(entries, SEAL)

    assert found.entry == first
    assert found.broken


def test_an_entry_whose_hash_was_made_to_fit_breaks_the_next() -> None:
    forged = chained([raw for raw, _ in (*TEN[:4], edited(TEN[4]))])

    found = walk([*forged, *TEN[5:]], SEAL)

    assert found.entry == 6


@pytest.mark.parametrize("key", [None, STRANGER], ids=["the old seal", "a seal of another key"])
def test_chaining_anew_without_the_key_is_found(key: SigningKey | None) -> None:
    forged = chained([raw for raw, _ in (*TEN[:4], edited(TEN[4]), *TEN[5:])])

    found = walk(forged, SEAL if key is None else seal_of(forged, key))

    assert found.broken
    assert ("chained anew" in found.broken) is (key is None)


def test_cutting_the_end_and_the_seal_leaves_nothing_that_signs_it() -> None:
    found = walk(TEN[:7], None)

    assert "nothing signs its end" in found.broken


def test_an_edited_seal_is_no_seal() -> None:
    shorter = Seal.issue(CHAIN, beginning(CHAIN), End(7, TEN[6][1]), 5, KEY)

    found = walk(TEN[:7], replace(shorter, raw=shorter.raw.replace(b'"at":5', b'"at":6')))

    assert "not signed" in found.broken


def test_a_seal_of_another_chain_or_part_does_not_count() -> None:
    other = Seal.issue("other", beginning(CHAIN), SEAL.last, 5, KEY)
    part = Seal.issue(CHAIN, End(2, TEN[1][1]), SEAL.last, 5, KEY)

    assert [bool(walk(TEN, seal).broken) for seal in (other, part)] == [True, True]


def test_a_chain_that_begins_elsewhere_is_not_this_one() -> None:
    begun = beginning("other")
    entries = links(3, begun)

    found = walk(entries, seal_of(entries, after=begun), begun)

    assert "does not begin" in found.broken


def test_what_is_left_after_the_oldest_went_proves_itself() -> None:
    after = End(4, TEN[3][1])

    found = walk(TEN[4:], seal_of(TEN[4:], after=after), after)

    assert (found.broken, found.count, found.after) == ("", 6, 4)


def test_an_end_that_was_noted_down_elsewhere_has_to_be_in_it() -> None:
    """The whole file replaced by an older copy of itself, or by one of the signing key's thief."""
    noted = End(7, TEN[6][1])

    def has(contains: End, entries: Sequence[Link]) -> str:
        walking = Walk(CHAIN, beginning(CHAIN), contains)
        for link in entries:
            walking.take(*link)
        return walking.finish(seal_of(entries), VERIFIER).broken

    assert has(noted, TEN) == ""
    assert has(beginning(CHAIN), TEN) == ""
    assert "noted elsewhere" in has(noted, TEN[:6])
    assert "noted elsewhere" in has(End(7, TEN[5][1]), TEN)


def test_the_first_thing_that_is_wrong_is_what_is_said() -> None:
    walking = Walk(CHAIN, beginning(CHAIN))
    walking.take(*TEN[1])
    walking.refuse("later")

    assert "entry 1 is missing" in walking.finish(SEAL, VERIFIER).broken


def test_an_end_is_read_as_it_is_shown() -> None:
    end = End(17, b"\x01" * 32)

    assert End.parse(str(end)) == end
    for text in ("", "17", "x:" + "00" * 32, "17:00", "17:" + "zz" * 32, "²:" + "00" * 32):
        with pytest.raises(ValueError, match="NUMBER:HASH"):
            End.parse(text)


def test_a_seal_is_read_as_it_was_signed_and_noise_is_none() -> None:
    assert Seal.decode(SEAL.raw, SEAL.sig) == SEAL
    for raw in (b"", b"{}", b"[]", SEAL.raw.replace(b'"at":5', b'"at":-5')):
        with pytest.raises(NotVerified):
            Seal.decode(raw, SEAL.sig)
