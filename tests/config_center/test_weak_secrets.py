"""What is no secret: examples, defaults, patterns."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from client_sdk.errors import SettingInvalid
from config_center.weak_secrets import EXAMPLES, is_example, refuse_weak, why_weak

ROOT = Path(__file__).parent.parent.parent
SHOWN = re.compile(r"cc_[A-Za-z0-9_.-]+")


def test_what_a_center_makes_is_always_good() -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for _ in range(500):
        assert why_weak(rng.randbytes(32)) is None
        assert why_weak("cc_" + "".join(rng.choices(letters, k=43))) is None
        assert why_weak(f"{rng.getrandbits(128):032x}") is None


@pytest.mark.parametrize("secret", sorted(EXAMPLES))
def test_a2_an_example_that_everybody_knows_is_refused(secret: str) -> None:
    assert is_example(secret.upper())
    assert why_weak(secret) == "is an example that everybody knows"


@pytest.mark.parametrize(
    "secret",
    [
        *("", "a", "cc_XXXX", "cc_" + "A" * 43, "correct horse", "aA1!aA1!aA1!", "0" * 64),
        *(b"", bytes(32), b"k" * 32, b"ab" * 16),
    ],
)
def test_a2_what_is_short_or_regular_is_refused(secret: str | bytes) -> None:
    assert why_weak(secret) == "is too short or too regular to be a secret"


@pytest.mark.parametrize(
    "secret",
    [
        bytes(range(32)),
        bytes(range(64, 0, -2)),
        "0123456789abcdef" * 2,
        b"0123456789abcdef0123456789abcdef",
    ],
)
def test_a2_what_counts_or_repeats_itself_is_refused(secret: str | bytes) -> None:
    assert why_weak(secret) == "follows a pattern"


def test_a2_no_token_that_our_own_pages_show_would_open() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "docker-compose.yml"]
    shown = {token for page in pages for token in SHOWN.findall(page.read_text("utf-8"))}

    assert shown
    assert {token for token in shown if why_weak(token) is None} == set()


def test_a2_the_refusal_says_where_and_what_to_do() -> None:
    refuse_weak("data/admin.token", "vX8-2kQpZr0LmN5tYwB7uJ", "no")
    with pytest.raises(SettingInvalid, match=r"^data/admin.token is an example .*: remove it$"):
        refuse_weak("data/admin.token", " ChangeMe\n", "remove it")
