from __future__ import annotations

import pytest

from client_sdk import fields


@pytest.mark.parametrize("value", [-1, 2**53, True, 1.0, "1", None])
def test_what_is_no_count_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="count"):
        fields.count(value)


@pytest.mark.parametrize("value", ["1", True, None])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="number"):
        fields.number(value)


@pytest.mark.parametrize("value", [1, None, b"x"])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="text"):
        fields.text(value)


@pytest.mark.parametrize("value", ["", "zz", "ab", "00" * 33])
def test_what_is_no_hash_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="hex"):
        fields.hash32(value)


def test_what_fits_comes_back() -> None:
    assert (fields.count(0), fields.number(1.5), fields.text("a")) == (0, 1.5, "a")
    assert fields.one_of("a", ("a", "b")) == "a"
    assert fields.hex64("ab" * 32) == "ab" * 32
    with pytest.raises(ValueError, match="one of"):
        fields.one_of("c", ("a", "b"))
