"""A44: a secret that stays as it is stays with its host."""

from __future__ import annotations

from typing import Any

import pytest

from client_sdk import kinds
from config_center.secrets.destinations import moved_beside, moved_secrets

PLACES = [(("api_key",), ("base_url",))]
KEPT = {"$sealed": {"fp": "f"}}


def settings(url: Any, key: Any = KEPT) -> dict[str, Any]:
    return {"base_url": url, "api_key": key}


BEFORE = settings("https://api.good.example/v1", {"$sealed": {"dek": "d"}})


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v1",
        "http://api.good.example/v1",
        "https://api.good.example:8443/v1",
        "https://api.good.example.evil.example/v1",
        "https://api.good.example\\.evil.example/v1",
        "https://api.good.example:x/",
        "//api.good.example/v1",
        "",
        None,
        7,
    ],
)
@pytest.mark.parametrize("kept", [KEPT, "***", BEFORE["api_key"]])
def test_a44_a_changed_host_asks_for_its_key_again(url: Any, kept: Any) -> None:
    (error,) = moved_secrets(settings(url, kept), BEFORE, PLACES)

    assert error["path"] == ".api_key"
    assert error["message"].endswith(".base_url was changed: send the secret itself")
    assert moved_secrets(settings(url, "sk-new"), BEFORE, PLACES) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://api.good.example/v2?x=1",
        "https://API.good.example:443/",
        "HTTPS://api.good.example./v1",
    ],
)
def test_another_path_on_the_same_host_asks_for_nothing(url: str) -> None:
    assert moved_secrets(settings(url), BEFORE, PLACES) == []


def test_where_nothing_was_before_there_is_nothing_to_keep() -> None:
    assert len(moved_secrets(settings("https://a.example"), None, PLACES)) == 1
    assert moved_secrets({"type": "echo"}, BEFORE, PLACES) == []
    assert moved_secrets("text", BEFORE, PLACES) == []


def test_elements_of_a_list_are_compared_with_those_in_their_place() -> None:
    places = [(("all", "*", "key"), ("all", "*", "url"))]
    before = {"all": [{"url": "https://a", "key": KEPT}, {"url": "https://b", "key": KEPT}]}
    swapped = {"all": [{"url": "https://a", "key": KEPT}, {"url": "https://a", "key": KEPT}]}

    assert moved_secrets(before, before, places) == []
    assert [e["path"] for e in moved_secrets(swapped, before, places)] == [".all[1].key"]


def beside(url: object, key: object = KEPT, **more: object) -> list[str]:
    value = {"models": [settings(url, key) | more]}
    errors = moved_beside(value, {"models": [settings("https://a.example/v1", {"$sealed": {}})]})
    return [error["message"].split(" was ")[0].rpartition(" ")[2] for error in errors]


def test_a44_without_a_kind_every_address_beside_a_secret_is_its_host() -> None:
    assert beside("https://a.example/v2") == []
    assert beside("https://evil.example") == beside(None) == [".models[0].base_url"]
    assert beside("https://a.example", relay="https://evil.example") == [".models[0].relay"]
    assert beside("https://evil.example", "***") == [".models[0].base_url"]
    assert beside("https://evil.example", "sk-new") == []
    assert moved_beside(KEPT, KEPT) == moved_beside({}, None) == []


def test_every_kind_with_an_address_and_a_secret_binds_them() -> None:
    for name in kinds.KINDS:
        kind = kinds.get(name)
        assert {secret for secret, _ in kind.destinations()} == set(kind.secret_fields()), name
