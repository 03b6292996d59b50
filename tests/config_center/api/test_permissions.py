"""Who may do what: the whole route table, as everybody who may come."""

from __future__ import annotations

from pathlib import Path

import pytest

from config_center.access import PERMISSIONS
from config_center.api import ROUTES
from config_center.api.route import Route
from tests.config_center.api.world import Http, http

NEEDS_TOKEN = [route for route in ROUTES if route.permission != "public"]
FORGED = "cc_" + "A" * 43


def a_path(route: Route, ns: str = "default") -> str:
    """The path with names that exist nowhere: what is asked is who may ask."""
    parts = {"ns": ns, "key": "no-such-key", "id": "no-such-id", "sha256": "0" * 64}
    path = route.path.format(**parts)
    return path + "?as=records&after=999-999" if path.endswith("/watch") else path


async def asked(api: Http, route: Route, ns: str = "default") -> tuple[int, str]:
    status, body, _ = await api(route.method, a_path(route, ns))
    name = body.get("type", "").rpartition(":")[2] if isinstance(body, dict) else ""
    return status, name


async def token(api: Http, **about: object) -> Http:
    _, made, _ = await api("POST", "/v1/tokens", {"name": "t", **about})
    return api.with_token(made["token"])


async def test_without_a_token_only_what_is_public_answers(tmp_path: Path) -> None:
    async with http(tmp_path, **{"admission.wrong_token_burst": 10_000}) as api:
        for stranger in (None, FORGED, "", "cc_short", api.token + "x"):
            nobody = api.with_token(stranger)
            answers = {route: await asked(nobody, route) for route in ROUTES}
            open_to_all = {route for route, (status, _) in answers.items() if status != 401}

            assert {route.permission for route in open_to_all} == {"public"}
            assert all(name == "unauthorized" for s, name in answers.values() if s == 401)


@pytest.mark.parametrize(
    "scheme", ["Basic YWRtaW46YWRtaW4=", "Bearer", "bearer  ", "Token {token}"]
)
async def test_only_a_bearer_token_opens(tmp_path: Path, scheme: str) -> None:
    async with http(tmp_path) as api:
        header = scheme.format(token=api.token)
        status, _, headers = await api("GET", "/v1/whoami", Authorization=header)

        assert status == 401
        assert headers["WWW-Authenticate"].startswith("Bearer")


async def test_an_instance_may_what_its_role_says_and_nothing_else(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        instance = await token(api, role="instance", instance="gw-1")

        answers = {route: await asked(instance, route) for route in NEEDS_TOKEN}

        refused = {route for route, (status, _) in answers.items() if status == 403}
        assert refused == {r for r in NEEDS_TOKEN if r.permission not in PERMISSIONS["instance"]}
        assert all(status != 401 for status, _ in answers.values())


async def test_a_namespace_one_cannot_see_is_one_that_is_not_there(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        await api("PUT", "/v1/namespaces/other")
        elsewhere = await token(api, role="instance", instance="gw-1", namespaces=["default"])
        inside = [route for route in NEEDS_TOKEN if "{ns}" in route.path]

        answers = {route: await asked(elsewhere, route, "other") for route in inside}
        absent = {route: await asked(elsewhere, route, "nowhere") for route in inside}

        assert {status for status, _ in answers.values()} == {404}
        assert answers == absent


async def test_the_system_namespace_is_nobodys(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        for route in NEEDS_TOKEN:
            if "{ns}" in route.path:
                status, _ = await asked(api, route, "_system")
                assert status in (400, 404), route.path


async def test_a_revoked_token_opens_nothing(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        _, made, _ = await api("POST", "/v1/tokens", {"name": "t", "role": "admin"})
        second = api.with_token(made["token"])
        assert (await second("GET", "/v1/whoami"))[0] == 200

        status, _, _ = await api("DELETE", f"/v1/tokens/{made['id']}")

        assert status == 200
        assert (await second("GET", "/v1/whoami"))[0] == 401


async def test_the_token_of_an_instance_speaks_for_it_alone(tmp_path: Path) -> None:
    from client_sdk.reports import Report, report_key

    async with http(tmp_path) as api:
        one = await token(api, role="instance", instance="gw-1")
        key = report_key(str(one.token))

        def frame(instance: str, ns: str = "default") -> bytes:
            return Report(instance, "inc", 1, 1_700_000_000_000, ns, {"full": True}).encode(key)

        async def report(raw: bytes, ns: str = "default") -> int:
            path = f"/v1/namespaces/{ns}/reports"
            kind = {"Content-Type": "application/octet-stream"}
            return (await one("POST", path, raw=raw, **kind))[0]

        assert await report(frame("gw-1")) == 202
        assert await report(frame("gw-2")) == 403
        assert await report(frame("gw-1", ns="other")) == 403
        good = frame("gw-1")
        assert await report(good[:-1] + bytes([good[-1] ^ 1])) in (400, 403)
        assert await report(b"noise") == 400


async def test_nobody_gets_more_than_the_table_says(tmp_path: Path) -> None:
    """The admin may everything; so every 401 or 403 above is the door's doing."""
    async with http(tmp_path) as api:
        answers = {route: await asked(api, route) for route in NEEDS_TOKEN}

        assert {status for status, _ in answers.values()}.isdisjoint({401, 403})


def test_a_route_without_a_permission_that_exists_cannot_be_declared() -> None:
    async def handler(call: object) -> None:
        """Nothing."""

    with pytest.raises(ValueError, match="declares the permission 'reed'"):
        Route("GET", "/v1/x", "reed", "", handler)  # type: ignore[arg-type]
