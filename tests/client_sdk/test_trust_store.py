"""Whom a client trusts, and what it pins."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from client_sdk.errors import NotTrusted, TransportDown
from client_sdk.signing import SigningKey, TrustList, Verifier, show_public
from client_sdk.trust_store import MeetingPlace, known_trust, learn_trust, renew_trust
from tests.client_sdk.wire import Wire
from tests.history import KEY, ROOT, STRANGER, TRUST, History

OTHER = TrustList.issue(SigningKey(b"o" * 32), {KEY.kid: KEY.public}, 1)
GIVEN = show_public(TRUST.root)


def place(wire: Wire, *, proves_itself: bool = True) -> MeetingPlace:
    return MeetingPlace(lambda: wire, proves_itself)


def wire(failure: Exception | None = None) -> Wire:
    made = Wire(History())
    if failure is not None:
        made.failures["open"] = failure
    return made


async def test_the_first_contact_is_pinned_and_known_from_then_on(tmp_path: Path) -> None:
    assert known_trust(None, tmp_path) is None

    learned = await learn_trust(None, tmp_path, [place(wire())], 5.0)

    assert learned == TRUST
    assert known_trust(None, tmp_path) == TRUST
    assert stat.S_IMODE((tmp_path / "trust.json").stat().st_mode) == 0o600


async def test_a_path_that_does_not_prove_itself_is_not_asked(tmp_path: Path) -> None:
    far = wire()

    with pytest.raises(NotTrusted, match="config-center trust"):
        await learn_trust(None, tmp_path, [place(far, proves_itself=False)], 5.0)

    assert far.asked == []


async def test_with_a_root_any_path_may_bring_the_list(tmp_path: Path) -> None:
    learned = await learn_trust(GIVEN, tmp_path, [place(wire(), proves_itself=False)], 5.0)

    assert learned == TRUST


async def test_a_list_of_another_root_is_refused_and_not_pinned(tmp_path: Path) -> None:
    with pytest.raises(NotTrusted, match="is pinned"):
        await learn_trust(show_public(OTHER.root), tmp_path, [place(wire())], 5.0)

    assert known_trust(None, tmp_path) is None


async def test_the_next_path_is_asked_when_one_is_away(tmp_path: Path) -> None:
    away = wire(TransportDown("refused"))

    assert await learn_trust(None, tmp_path, [place(away), place(wire())], 5.0) == TRUST
    assert away.asked == ["open", "close"]


async def test_nobody_there_says_what_was_tried(tmp_path: Path) -> None:
    places = [place(wire(TransportDown("one"))), place(wire(TransportDown("two")))]

    with pytest.raises(TransportDown, match="one; two"):
        await learn_trust(None, tmp_path, places, 5.0)


async def test_a_path_that_never_answers_costs_its_share_of_the_time(tmp_path: Path) -> None:
    import asyncio

    class Mute(Wire):
        async def open(self) -> None:
            await asyncio.Event().wait()

    mute = Mute(History())

    with pytest.raises(TransportDown, match="no answer in time"):
        await learn_trust(None, tmp_path, [place(mute)], 0.01)
    assert mute.asked == ["close"]


def test_a_file_that_was_given_is_the_list(tmp_path: Path) -> None:
    file = tmp_path / "given.json"
    file.write_bytes(TRUST.encode())

    assert known_trust(str(file), tmp_path / "state") == TRUST


@pytest.mark.parametrize("raw", [None, b"{}", b"\xff"])
def test_a_file_that_is_none_is_said_so(tmp_path: Path, raw: bytes | None) -> None:
    file = tmp_path / "given.json"
    if raw is not None:
        file.write_bytes(raw)

    with pytest.raises(NotTrusted, match=r"given\.json|trust document"):
        known_trust(str(file), tmp_path)


def test_a_pin_of_another_root_than_the_given_one_does_not_count(tmp_path: Path) -> None:
    tmp_path.joinpath("trust.json").write_bytes(OTHER.encode())

    assert known_trust(GIVEN, tmp_path) is None
    assert known_trust(show_public(OTHER.root), tmp_path) == OTHER


def newer(version: int = 2) -> TrustList:
    return TrustList.issue(ROOT, {STRANGER.kid: STRANGER.public}, version)


async def test_a_newer_list_is_pinned_before_it_is_believed(tmp_path: Path) -> None:
    verifier = Verifier(TRUST)

    await renew_trust(verifier, tmp_path, newer().encode())

    assert verifier.trust == newer()
    assert known_trust(GIVEN, tmp_path) == newer()


async def test_a31_an_older_list_is_taken_from_no_path_and_no_file(tmp_path: Path) -> None:
    verifier = Verifier(TRUST)
    await renew_trust(verifier, tmp_path, newer().encode())
    given = tmp_path / "given.json"
    given.write_bytes(TRUST.encode())

    await renew_trust(verifier, tmp_path, TRUST.encode())

    assert verifier.trust == newer()
    assert known_trust(str(given), tmp_path) == newer()
    given.write_bytes(newer(3).encode())
    assert known_trust(str(given), tmp_path) == newer(3)


async def test_a35_a_list_of_another_root_renews_nothing(tmp_path: Path) -> None:
    verifier = Verifier(TRUST)

    with pytest.raises(NotTrusted, match="is pinned"):
        await renew_trust(verifier, tmp_path, OTHER.encode())

    assert verifier.trust == TRUST
    assert not (tmp_path / "trust.json").exists()
