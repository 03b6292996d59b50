from __future__ import annotations

import pytest

from client_sdk.bodies import FORMATS, decode_body, encode_body
from client_sdk.contents import Content
from client_sdk.errors import NotVerified


def stored(body: bytes | None, form: str) -> Content:
    return Content(1, "00" * 32, 0, form, body=body)


def test_json_is_stored_canonically() -> None:
    body = encode_body({"b": 1, "a": [True, None]}, "json")

    assert body == b'{"a":[true,null],"b":1}'
    assert decode_body(stored(body, "json")) == ({"a": [True, None], "b": 1}, None)


def test_text_is_stored_as_it_is() -> None:
    body = encode_body("你好\n", "text")

    assert decode_body(stored(body, "text")) == ("你好\n", "你好\n")


@pytest.mark.parametrize("form", ["yaml", "toml"])
def test_the_authors_text_is_kept_beside_what_it_means(form: str) -> None:
    body = encode_body({"a": 1}, form, "a: 1  # why\n")

    assert decode_body(stored(body, form)) == ({"a": 1}, "a: 1  # why\n")


@pytest.mark.parametrize("form", FORMATS)
def test_a_body_that_is_not_of_its_format_is_refused(form: str) -> None:
    with pytest.raises(NotVerified):
        decode_body(stored(b"\xff", form))


@pytest.mark.parametrize("body", [b"[]", b'{"text":"x"}'])
def test_a_parsed_body_without_its_parts_is_refused(body: bytes) -> None:
    with pytest.raises(NotVerified):
        decode_body(stored(body, "yaml"))


def test_a_body_that_was_not_fetched_is_refused() -> None:
    with pytest.raises(NotVerified, match="not fetched"):
        decode_body(stored(None, "json"))
