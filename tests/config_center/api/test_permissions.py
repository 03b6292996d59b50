"""Who may do what: the whole route table, as everybody who may come."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from client_sdk.errors import SettingInvalid
from client_sdk.keks import Kek
from client_sdk.private_files import write_private
from config_center.access import PERMISSIONS, Actor
from config_center.api import PEER_ROUTES, ROUTES
from config_center.api.matrix import allowed
from config_center.api.route import Route
from config_center.app import make_app
from config_center.metrics import Metrics
from tests.config_center.api.world import Http, center, http

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


async def test_a1_without_a_token_only_what_is_public_answers(tmp_path: Path) -> None:
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
async def test_a1_only_a_bearer_token_opens(tmp_path: Path, scheme: str) -> None:
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


async def test_a4_a_namespace_one_cannot_see_is_one_that_is_not_there(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        await api("PUT", "/v1/namespaces/other")
        elsewhere = await token(api, role="instance", instance="gw-1", namespaces=["default"])
        inside = [r for r in NEEDS_TOKEN if "{ns}" in r.path and r.reach != "new"]

        answers = {route: await asked(elsewhere, route, "other") for route in inside}
        absent = {route: await asked(elsewhere, route, "nowhere") for route in inside}

        assert {status for status, _ in answers.values()} == {404}
        assert answers == absent


async def test_a4_who_may_not_make_a_namespace_hears_so_whichever_are_there(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        await api("PUT", "/v1/namespaces/other")
        limited = await token(api, role="admin", namespaces=["default"])

        answers = [await limited("PUT", f"/v1/namespaces/{ns}") for ns in ("other", "nowhere")]

    (status, problem, _), (_, absent, _) = answers
    assert (status, problem) == (403, absent)
    assert problem["detail"] == (
        "making a namespace takes a token that reaches all of them, and this token is limited to "
        "default; use one without a scope"
    )


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


def test_a1_a_route_without_a_permission_that_exists_cannot_be_declared() -> None:
    async def handler(call: object) -> None:
        """Nothing."""

    with pytest.raises(ValueError, match="declares the permission 'reed'"):
        Route("GET", "/v1/x", "reed", "", handler)  # type: ignore[arg-type]


def test_a_route_that_is_about_what_is_not_known_cannot_be_declared() -> None:
    async def handler(call: object) -> None:
        """Nothing."""

    with pytest.raises(ValueError, match="is about 'all'"):
        Route("GET", "/v1/x", "read", "", handler, about="all")  # type: ignore[arg-type]


def test_a_route_that_says_nothing_needs_a_token_for_all_that_it_may_be_about() -> None:
    async def handler(call: object) -> None:
        """Nothing."""

    def reach(path: str) -> str:
        return Route("GET", path, "read", "", handler).reach  # type: ignore[arg-type]

    assert [reach(p) for p in ("/v1/x", "/v1/{ns}/x", "/v1/{ns}/{key}")] == [
        "center",
        "whole",
        "key",
    ]


# What answers without the door: the page, its parts, and what tells about the center as a whole.
OPEN = {"/", "/web/{name}", "/openapi.json", "/metrics"}


async def test_a1_no_handler_stands_beside_the_door(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        service, settings = api.center.service, api.center.settings
        app = make_app(service, settings, Metrics())
        found = {
            (route.method, route.resource.canonical): route.handler
            for route in app.router.routes()
            if route.resource is not None
        }

    declared = {(route.method, route.path) for route in (*ROUTES, *PEER_ROUTES)}
    beside = {(method, path) for method, path in found if (method, path) not in declared}
    assert declared <= found.keys()
    assert beside == {(method, path) for path in OPEN for method in ("GET", "HEAD")}
    assert {found[each].__qualname__ for each in declared} == {"Door.handler.<locals>.handle"}


TRICKS = [
    *("//v1/tokens", "/v1//tokens", "/v1/tokens/", "/v1/./tokens", "/v1/x/../tokens"),
    *("/V1/tokens", "/v1/Tokens", "/v1/tokens;a=b", "/v1;/tokens", "/v1/trust/..;/tokens"),
    *("/%76%31/tokens", "/v1%2ftokens", "/v1/tokens%00", "/v1/tokens#", "/v1/tokens.json"),
    *("/web/../v1/tokens", "/web/%2e%2e/v1/tokens", "/healthz/../v1/tokens"),
    *("/v1/tokens?token={token}", "/v1/tokens?access_token={token}"),
]
POSING: list[dict[str, str]] = [
    {"User-Agent": "Nacos-Server"},
    {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"},
    {"X-Original-URL": "/healthz", "X-Rewrite-URL": "/healthz"},
    {"X-HTTP-Method-Override": "OPTIONS"},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer null"},
    {"Authorization": "Center a.1.b"},
    {"Cookie": "token={token}"},
    {"X-Api-Key": "{token}"},
]


async def raw(api: Http, target: str, **headers: str) -> int:
    """The status of a GET whose target is sent as it is: no client tidies it up."""
    host, port = api.url.removeprefix("http://").split(":")
    lines = [f"GET {target} HTTP/1.1", "Host: a", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    async with asyncio.timeout(30.0):
        head = await reader.readline()
    writer.close()
    return int(head.split()[1])


async def test_a1_neither_the_path_nor_a_header_gets_past_the_door(tmp_path: Path) -> None:
    async with http(tmp_path, **{"admission.wrong_token_burst": 10_000}) as api:
        assert await raw(api, "/v1/tokens", Authorization=f"Bearer {api.token}") == 200
        for target in TRICKS:
            assert await raw(api, target.format(token=api.token)) in (400, 401, 404), target
        for posing in POSING:
            sent = {name: value.format(token=api.token) for name, value in posing.items()}
            assert await raw(api, "/v1/tokens", **sent) == 401, posing


async def test_a5_each_role_does_on_each_route_what_the_matrix_says(tmp_path: Path) -> None:
    """Whoever may gets no 401 and no 403, whoever may not gets 403: every route, every role."""
    async with http(tmp_path) as api:
        for role in PERMISSIONS:
            one = await token(api, role=role, **({"instance": "gw"} if role == "instance" else {}))
            answers = {route: await asked(one, route) for route in ROUTES}

            refused = {route for route, (status, _) in answers.items() if status == 403}
            assert refused == {route for route in ROUTES if not allowed(role, route)}, role
            assert {name for status, name in answers.values() if status == 403} <= {"forbidden"}
            assert 401 not in {status for status, _ in answers.values()}
            if role != "admin":
                assert refused


async def test_a3_who_guesses_tokens_is_slowed_down_and_who_has_one_is_not(tmp_path: Path) -> None:
    limits = {"admission.wrong_token_burst": 5, "admission.wrong_token_rate": 0.01}
    async with http(tmp_path, **limits) as api:
        guesses = [api.with_token(f"cc_{number:043}") for number in range(12)]
        answers = [await guess("GET", "/v1/whoami") for guess in guesses]

        assert [status for status, _, _ in answers][:5] == [401] * 5
        assert {status for status, _, _ in answers[6:]} == {429}
        assert "Retry-After" in answers[-1][2]
        assert (await api("GET", "/v1/whoami"))[0] == 200


@pytest.mark.parametrize("token", ["changeme", "cc_" + "A" * 43, "cc_XXXX"])
async def test_a2_a_center_does_not_start_on_an_admin_token_that_can_be_guessed(
    tmp_path: Path, token: str
) -> None:
    write_private(tmp_path / "admin.token", token + "\n")

    with pytest.raises(SettingInvalid, match=r"admin\.token is .*remove the file"):
        async with center(tmp_path):
            pass


async def test_a2_a_center_does_not_start_on_a_key_that_can_be_guessed(tmp_path: Path) -> None:
    write_private(tmp_path / "secrets.key", Kek.from_secret(bytes(range(32))).line + "\n")

    with pytest.raises(SettingInvalid, match=r"secrets\.key follows a pattern"):
        async with center(tmp_path):
            pass


async def test_a_data_directory_opens_again_when_no_admin_is_left(tmp_path: Path) -> None:
    """All are revoked or limited: the next start makes a new one, and what ended stays ended."""
    async with http(tmp_path) as api:
        first, tokens = api.token, api.center.service.tokens
        limited = {"name": "l", "role": "admin", "namespaces": ["default"]}
        assert (await api("POST", "/v1/tokens", limited))[0] == 201
        assert tokens.has_admin()
        mine = (await api("GET", "/v1/whoami"))[1]["id"]
        await tokens.revoke(mine, Actor("somebody", "admin"))
        assert not tokens.has_admin()
    async with http(tmp_path) as api:
        assert api.token not in (first, "")
        assert (await api("GET", "/v1/health/checks"))[0] == 200
        assert (await api.with_token(first)("GET", "/v1/whoami"))[0] == 401
