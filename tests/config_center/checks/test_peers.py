"""The other centers."""

from __future__ import annotations

from config_center.checks.base import Facts, Level, PeerFacts
from config_center.checks.peers import judge


def test_a_peer_that_is_away_is_told_with_why() -> None:
    peers = (PeerFacts("http://b"), PeerFacts("http://c", "it answers 401"))

    good, bad = judge(Facts(peers=peers))

    assert (good.level, bad.level) == (Level.OK, Level.WARN)
    assert "http://c does not help: it answers 401" in bad.sentence
    assert list(judge(Facts())) == []
