"""Attacks on the HTTP API and on what it answers, each by its number in the threat model."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gzip
import logging
import re
import socket
import time
import zlib
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
import pytest

from client_sdk.keks import Kek, open_source
from client_sdk.listening import Bounds
from client_sdk.plan import Plan
from client_sdk.settings import ClientSettings, parse_url
from client_sdk.signing import SigningKey
from config_center.api import ROUTES
from config_center.keys import load_or_create
from config_center.settings import load
from tests.config_center.api.world import NS, QUICK, Http, http
from tests.until import until

EVIL = "http://evil.example"
PROMPT = f"{NS}/keys/prompt"
YAML = {"Content-Type": "application/yaml"}
CANARY = "SECRET-CANARY-77"


async def sent(api: Http, raw: bytes) -> bytes:
    """The answer to bytes that no library would send."""
    at = urlsplit(api.url)
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        writer.write(raw)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    return answer


def files(home: Path) -> list[str]:
    """The names of all that lies there."""
    return sorted(str(path) for path in home.rglob("*"))


def paths() -> list[tuple[str, str]]:
    """Every route with something in its path."""
    named = {"{ns}": "default", "{key}": "prompt", "{sha256}": "0" * 64}
    found = []
    for route in ROUTES:
        path = route.path
        for name, value in named.items():
            path = path.replace(name, value)
        found.append((route.method, "/".join(p if "{" not in p else "x" for p in path.split("/"))))
    return [*found, ("GET", "/"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/none")]


async def test_a6_no_page_of_another_origin_gets_anything(tmp_path: Path) -> None:
    """Nobody is known by a cookie; nothing may be read across origins, framed, sniffed or kept."""
    async with http(tmp_path, **{"admission.wrong_token_burst": 1000}) as api:
        stranger = api.with_token(None)
        for method, path in paths():
            if path.endswith(("/watch", "/news")):
                continue
            for who in (api, stranger):
                status, _, headers = await who(method, path, Origin=EVIL, Cookie="token=x")
                names = [name.lower() for name in headers]
                assert "set-cookie" not in names, (method, path)
                assert not [name for name in names if name.startswith("access-control")], path
                assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
                assert headers["X-Content-Type-Options"] == "nosniff"
                assert headers["X-Frame-Options"] == "DENY"
                assert headers["Referrer-Policy"] == "no-referrer"
                assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
                if path.startswith("/v1"):
                    assert headers["Cache-Control"] == "no-store", path
        for method, path in [
            (r.method, p)
            for r, (_, p) in zip(ROUTES, paths(), strict=False)
            if r.permission not in ("public",)
        ]:
            status, _, _ = await stranger(method, path, {}, Origin=EVIL, Cookie="token=x")
            assert status == 401, (method, path)


@pytest.mark.parametrize("path", [f"{NS}/watch?after=0-0", "/v1/audit?format=ndjson"])
async def test_who_leaves_before_his_stream_begins_is_no_error(
    tmp_path: Path,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It was logged with a trace, as a bug of ours."""
    begun, gone = asyncio.Event(), asyncio.Event()
    prepare = aiohttp.web.StreamResponse.prepare

    async def late(response: aiohttp.web.StreamResponse, request: aiohttp.web.Request) -> object:
        if not begun.is_set():
            begun.set()
            await gone.wait()
        return await prepare(response, request)

    async with http(tmp_path) as api:
        at = urlsplit(api.url)
        monkeypatch.setattr(aiohttp.web.StreamResponse, "prepare", late)
        _, writer = await asyncio.open_connection(at.hostname, at.port)
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n\r\n"
        writer.write(head.encode())
        await asyncio.wait_for(begun.wait(), 30)
        connections = api.center._metrics.connections
        assert connections is not None
        writer.transport.abort()
        await until(lambda: not len(connections))
        gone.set()
        ledger = api.center.service.ledger("default")
        await until(lambda: not len(ledger.watchers))
        assert (await api("GET", "/healthz"))[0] == 200

    assert [record for record in caplog.records if record.exc_info] == []


async def test_a6_a_stream_is_protected_as_every_answer_is(tmp_path: Path) -> None:
    async with http(tmp_path) as api, aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {api.token}"}
        async with session.get(api.url + NS + "/watch", headers=headers) as stream:
            assert stream.status == 200
            assert "default-src 'none'" in stream.headers["Content-Security-Policy"]
            assert stream.headers["X-Content-Type-Options"] == "nosniff"


async def test_a6_a_preflight_is_answered_with_no_leave(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        asked = {"Origin": EVIL, "Access-Control-Request-Method": "PUT"}
        status, _, headers = await api.with_token(None)("OPTIONS", PROMPT, **asked)

        assert status == 405
        assert not [name for name in headers if name.lower().startswith("access-control")]


FORMS = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/html"]


async def test_a6_what_a_form_of_a_page_can_send_is_no_change(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        for form in FORMS:
            raw = b'{"value":1}'
            for method, path in (
                ("PUT", PROMPT),
                ("POST", NS + "/changes"),
                ("POST", "/v1/tokens"),
            ):
                status, _, _ = await api(method, path, raw=raw, **{"Content-Type": form})
                assert status == 415, (method, path)


async def test_a6_the_page_may_run_nothing_that_stands_in_it(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        for path in ("/", "/docs"):
            _, page, headers = await api.with_token(None)("GET", path)
            policy = dict(
                p.strip().split(" ", 1) for p in headers["Content-Security-Policy"].split(";")
            )
            assert policy["default-src"] == "'none'"
            assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
            assert policy["require-trusted-types-for"] == "'script'"
            assert "unsafe" not in headers["Content-Security-Policy"]
            assert b"<style" not in page
            assert b" style=" not in page
            assert b" on" not in page.replace(b" on ", b"")


LINES = ["a\r\nSet-Cookie: x=1", "a\nX: 1", "a\rb", "a\x00b", "a\u2028b"]


async def test_a8_a_name_with_a_line_in_it_makes_no_header(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        for name in LINES:
            escaped = quote(name, safe="")
            for path in (
                f"/v1/namespaces/{escaped}",
                f"{NS}/keys/{escaped}",
                f"{NS}/rollouts/{escaped}",
                f"{NS}/objects/{escaped}",
                f"/web/{escaped}",
                f"/{escaped}",
                f"{NS}/keys?prefix={escaped}",
                f"{NS}/watch?after={escaped}",
                f"{PROMPT}?{escaped}=1",
            ):
                head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                answer = await sent(
                    api, f"{head}Authorization: Bearer {api.token}\r\n\r\n".encode()
                )
                status, lines = (
                    answer.split(b" ", 2)[1],
                    answer.split(b"\r\n\r\n")[0].split(b"\r\n"),
                )
                assert status in (b"200", b"400", b"404"), (path, answer)
                assert not [line for line in lines if line.startswith((b"Set-Cookie", b"X: "))], (
                    path
                )


def body_of(value: bytes) -> bytes:
    return b'{"value":' + value + b"}"


DEEP_OR_MANY = [
    (body_of(b"[" * 33 + b"]" * 33), "more than 32 levels deep"),
    (body_of(b"[" * 100_000), "levels deep"),
    (body_of(b"[" + b"1," * 50_000 + b"1]"), "more than 50000 parts"),
    (b'{"a":' * 100_000, "levels deep"),
]


async def test_a11_deep_and_many_parts_are_refused_at_the_door(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        for raw, why in DEEP_OR_MANY:
            status, said, _ = await api("PUT", PROMPT, raw=raw)

            assert (status, why in said["detail"]) == (400, True), said


async def test_a11_a_whole_request_of_parts_does_not_hold_the_loop(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        raw = b'{"operations":[' + b"[]," * 340_000 + b"[]]}"
        began = time.monotonic()
        status, said, _ = await api("POST", NS + "/changes", raw=raw)

        assert status == 400
        assert "parts" in said["detail"]
        assert time.monotonic() - began < 30.0  # a slow machine; it is a tenth of a second


READ_IN_TWO_WAYS = [
    (body_of(b"NaN"), "NaN"),
    (body_of(b"-Infinity"), "infinities"),
    (body_of(b"1e999"), "infinities"),
    (body_of(b"9007199254740992"), "2^53"),
    (body_of(b"-9007199254740992"), "2^53"),
    (body_of(b"18446744073709551616"), "2^53"),
    (body_of(b"9" * 5_000), "2^53"),
    (body_of(b'{"a":1,"a":2}'), "stands twice"),
    (b'{"value":1,"value":2}', "stands twice"),
    (body_of(b'"\\ud800"'), "half of a pair"),
    (body_of(b'{"\\udfff":1}'), "half of a pair"),
    (body_of(b'"\xff"'), "UTF-8"),
]


async def test_a12_what_parsers_read_differently_is_refused(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        for raw, why in READ_IN_TWO_WAYS:
            status, said, _ = await api("PUT", PROMPT, raw=raw)

            assert (status, why in said["detail"]) == (400, True), said


async def test_a12_one_and_one_point_nought_stay_what_they_were(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        await api("PUT", PROMPT, raw=body_of(b"[1,1.0,1e2,9007199254740991]"))
        _, raw, _ = await api("GET", PROMPT)

        assert [repr(each) for each in raw["value"]] == ["1", "1.0", "100.0", "9007199254740991"]


YAML_TRICKS = [
    "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "a: &a\n  b: *a\n",
    "a: !!python/object/apply:os.system [id]",
    "a: !!python/name:os.system x",
    "a: !binary aGk=",
    "<<: {a: 1}",
    "%YAML 1.1\n---\na: no",
    "a: 1\n---\nb: 2",
    "[" * 5_000,
    "{a: " * 5_000,
    "? [a]\n: b",
]


async def test_a13_yaml_that_unfolds_runs_or_is_read_in_two_ways_is_refused(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        for text in YAML_TRICKS:
            status, said, _ = await api("PUT", PROMPT, raw=text.encode(), **YAML)

            assert status == 400, said


async def test_a13_yaml_means_what_it_says(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        text = "a: no\nb: 12:30:00\nc: on\nd: 0o14\ne: '1_000'\n"
        await api("PUT", PROMPT, raw=text.encode(), **YAML)
        _, found, _ = await api("GET", PROMPT)

        assert found["value"] == {"a": "no", "b": "12:30:00", "c": "on", "d": 12, "e": "1_000"}


CODINGS = ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x-anything"]


async def test_a14_a_compressed_body_is_refused_before_it_is_unfolded(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        for form in CODINGS:
            packed = {"gzip": gzip.compress, "deflate": zlib.compress}.get(form, bytes)
            bomb = packed(b'{"value":"' + b"x" * 2_000_000 + b'"}')[:500_000]
            status, said, _ = await api("PUT", PROMPT, raw=bomb, **{"Content-Encoding": form})

            assert (status, "not compressed" in said["detail"]) == (415, True)


NAMES = [
    *("../prompt", "..", ".", "/etc/passwd", "a/../b", "a\x00b", "con\\aux", "C:\\x", "~root"),
    *("A", "ａ", "а", "ı", "a\u200bb", "a\u202eb", "e\u0301", "-a", "_a", ".a", "a b", "a*", "a%"),
    *("x" * 129, "a\n", "😀"),
]


async def test_a16_a20_a_name_is_plain_and_is_never_a_path(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        before = files(tmp_path)
        for name in NAMES:
            operations = {"operations": [{"op": "put", "key": name, "value": 1}]}
            status, said, _ = await api("POST", NS + "/changes", operations)
            made, _, _ = await api("PUT", "/v1/namespaces/" + quote(name, safe=""), {})

            assert status == 400, said
            assert made in (400, 404, 405)
        assert files(tmp_path) == before


NO_PAGES = [
    "..%2fapp.py",
    "%2e%2e%2fapp.py",
    "....//app.py",
    "page.js%00.css",
    "%2fetc%2fpasswd",
    "..\\app.py",
    "app.py",
    "index.html%2f..",
]


async def test_a16_no_file_but_the_page_is_served(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        for name in NO_PAGES:
            head = f"GET /web/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            answer = await sent(api, head.encode())

            assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")), answer[:200]


COSTLY_RULES = [
    [{"attribute": "a", "op": "regex", "value": "(a+)+$"}],
    [{"attribute": "a", "op": "glob", "value": "*a" * 9}],
    [{"attribute": "a", "op": "in", "value": list(range(1_001))}],
    [{"attribute": "a", "op": "eq", "value": "x" * 257}],
    [{"attribute": "a", "op": "eq", "value": 1}] * 257,
    [{"all": [{"any": [{"attribute": "a", "op": "eq", "value": 1}] * 16}] * 16}],
    [
        {
            "not": {
                "not": {
                    "not": {
                        "not": {
                            "not": {
                                "not": {
                                    "not": {
                                        "not": {"attribute": "a", "op": "exists", "value": True}
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    ],
]


async def test_a17_a18_rules_that_would_cost_every_device_are_refused(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        for rules in COSTLY_RULES:
            await api("PUT", PROMPT, {"value": 1})
            status, said, _ = await api(
                "PUT", PROMPT, {"value": 2, "rollout": {"percent": 1, "rules": rules}}
            )

            assert status == 400, said


async def test_a18_lists_of_devices_are_bounded(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        await api("PUT", PROMPT, {"value": 1})
        for name in ("allow", "deny"):
            many = [f"24:6f:28:00:00:{i:x}" for i in range(60_000)]
            status, said, _ = await api(
                "PUT", PROMPT, {"value": 2, "rollout": {"percent": 1, name: many}}
            )
            assert status in (400, 413), said


STRANGE = {
    "__proto__": {"admin": True},
    "constructor": {"prototype": {"admin": True}},
    "__class__": "x",
    "$ref": "file:///etc/passwd",
    "text": "{x.__globals__} %s %(name)s ${jndi:ldap://x} {{7*7}} {0.__class__}",
}


async def test_a19_names_and_texts_that_mean_something_elsewhere_are_data(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        text = STRANGE["text"]
        assert (await api("PUT", PROMPT, {"value": STRANGE, "comment": text}))[0] == 200
        _, found, _ = await api("GET", PROMPT)
        _, versions, _ = await api("GET", PROMPT + "/versions")
        status, said, _ = await api("PUT", PROMPT, {"value": 1, text: 1})

        assert found["value"] == STRANGE
        assert versions["items"][0]["comment"] == text
        assert (status, text in said["detail"]) == (400, True)
        for field in ("__class__", "__init__", "model_fields"):
            assert (await api("PUT", PROMPT, {"value": 1, field: 1}))[0] == 400


async def test_a19_a_schema_fetches_nothing(tmp_path: Path) -> None:
    asked = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, http(tmp_path) as api:
        for ref in (f"http://127.0.0.1:{port}/x", "file:///etc/passwd"):
            schema = {"json_schema": {"$ref": ref}}
            status, _, _ = await api("PUT", f"{PROMPT}/schema", schema)
            assert status == 400

    assert asked == []


async def test_a20_free_text_of_any_script_comes_back_as_it_was(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        text = "小智 \u202e abc \u200b e\u0301 İı ﬁ 👩\u200d🚀"
        await api("PUT", PROMPT, {"value": {text: text}, "comment": text})
        _, found, _ = await api("GET", PROMPT)

        assert found["value"] == {text: text}


async def test_a22_a_bug_says_its_number_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with http(tmp_path) as api:

        def bug(*_: object, **__: object) -> None:
            raise RuntimeError(f"a bug with {CANARY}")

        monkeypatch.setattr(api.center.service, "ledger", bug)
        with caplog.at_level(logging.ERROR):
            status, said, headers = await api("GET", NS + "/snapshot")

    assert status == 500
    assert set(said) == {"type", "title", "status", "detail", "request"}
    assert CANARY not in orjson.dumps(said).decode() + str(headers)
    assert said["request"] in caplog.text  # and there the trace is
    assert CANARY in caplog.text


MISPLACED = [
    {"value": 1, "comment": {"a": CANARY}},
    {"value": 1, "comment": [CANARY]},
    {"value": 1, "rollout": {"percent": CANARY}},
    {"value": 1, "rollout": CANARY},
    {"value": 1, "format": [CANARY]},
    {"value": {"a": float("inf")}, "rollout": {"unit": [CANARY]}},
]


async def test_a22_what_was_sent_in_the_wrong_field_is_not_in_the_answer(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        for body in MISPLACED:
            status, said, _ = await api("PUT", PROMPT, body)

            assert status == 400
            assert CANARY not in orjson.dumps(said).decode()


def test_a22_whatever_holds_a_secret_does_not_show_it(tmp_path: Path) -> None:
    url = f"redis://:{CANARY}@127.0.0.1:6379/0"
    settings = load({"redis": url}, environment={}).settings
    environment = {"CONFIG_CENTER_URL": url, "CONFIG_CENTER_TOKEN": CANARY}
    client = ClientSettings.from_environment(environment)
    keys = load_or_create(tmp_path, lambda size: CANARY.encode().ljust(size, b"-")[:size])
    plan = Plan(
        addresses=client.urls, namespace="default", instance="gw", labels={}, token=CANARY,
        trust=None, secret_key=open_source("text", CANARY, "SECRET_KEY"), state=tmp_path,
        timeout=1.0, defaults={},
        timing=None, pace=None, report_every=1.0,  # type: ignore[arg-type]
    )  # fmt: skip
    held: list[object] = [
        settings, client, parse_url(url), plan, keys, keys.keks, plan.secret_key, keys.signing,
        Kek.from_secret(CANARY.encode().ljust(32, b"-")),
        SigningKey(CANARY.encode().ljust(32, b"-")[:32]),
    ]  # fmt: skip

    for each in held:
        seen = f"{each!r} {each} {[each]!r}"
        if dataclasses.is_dataclass(each):
            seen += repr(each)
        raw = CANARY.encode()
        assert CANARY not in seen, type(each)
        assert raw.hex() not in seen, type(each)


async def test_a26_a_key_of_idempotency_stands_for_one_request(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        one = {"Idempotency-Key": "once"}
        first = await api("PUT", PROMPT, {"value": 1}, **one)
        again = await api("PUT", PROMPT, {"value": 1}, **one)
        other = await api("PUT", PROMPT, {"value": 2}, **one)
        elsewhere = await api("PUT", f"{NS}/keys/greeting", {"value": 1}, **one)
        _, found, _ = await api("GET", PROMPT)

        assert (first[0], again[0], other[0], elsewhere[0]) == (200, 200, 422, 422)
        assert first[1] == again[1]
        assert other[1]["type"].endswith(":id-reused")
        assert (found["value"], found["version"]) == (1, 1)


NOT_THE_NEWEST = [
    '"0"',
    '"99"',
    'W/"1"',
    "*, *",
    '"1", "2"',
    "1",
    '"-1"',
    '"1"x',
    '"9' + "9" * 50 + '"',
]


async def test_a26_an_etag_that_is_not_the_newest_changes_nothing(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        for etag in NOT_THE_NEWEST:
            await api("PUT", PROMPT, {"value": 1})
            await api("PUT", PROMPT, {"value": 2})
            status, _, _ = await api("PUT", PROMPT, {"value": 3}, **{"If-Match": etag})
            _, found, _ = await api("GET", PROMPT)

            assert status in (400, 412)
            assert found["value"] == 2


async def test_a9_who_sends_half_a_request_or_never_reads_his_stream_is_gone_in_time(
    tmp_path: Path,
) -> None:
    """
    10 half-open clients and 50 slow readers; benchmarks/hostile.py does it with 1,100. The bounds
    are narrow only for those whom they are to cut: not while the readers come, nor for ourselves.
    """
    async with http(tmp_path, rhythm=replace(QUICK, beat_every=3600)) as api:
        with contextlib.ExitStack() as attackers:

            def attack(text: str) -> None:
                attacker = attackers.enter_context(socket.socket())
                attacker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                attacker.connect((at.hostname, at.port))
                attacker.sendall(text.encode())

            at = urlsplit(api.url)
            head = f"GET {NS}/watch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n"
            ledger = api.center.service.ledger("default")
            connections = api.center._metrics.connections
            assert connections is not None
            for _ in range(50):
                attack(head + "\r\n")
            await until(lambda: len(ledger.watchers) == 50)
            connections.bounds = Bounds(1000, head=1.0, unread=1.0)
            for _ in range(10):
                attack(head)
            await until(lambda: len(connections) + connections.cut == 60)
            connections.bounds = Bounds(1000, unread=1.0)
            rounds = 0
            async with asyncio.timeout(60):
                while len(ledger.watchers):
                    body = {"value": "x" * 1_000, "comment": "c"}
                    assert (await api("PUT", PROMPT, body))[0] == 200
                    rounds += 1
            await until(lambda: connections.cut >= 60)
            metrics = (await api("GET", "/metrics"))[1]
            slow = re.search(rb"slow_connections_total ([0-9.]+)", metrics)

            assert slow is not None
            assert float(slow[1]) == 60
            assert rounds > 1


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="the kernel takes it all")
async def test_a9_who_takes_nothing_of_his_stream_is_sent_nothing_more_and_misses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config_center.center._bounds", lambda _: Bounds(1000, unread=60.0))
    async with http(tmp_path) as api:
        at = urlsplit(api.url)
        head = f"GET {NS}/watch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n\r\n"
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            slow.connect((at.hostname, at.port))
            slow.sendall(head.encode())
            ledger = api.center.service.ledger("default")
            await until(lambda: len(ledger.watchers) == 1)
            for number in range(60):
                body = {"value": number, "comment": f"<{number}>".ljust(200, "x")}
                status, _, _ = await api("PUT", PROMPT, body)
                assert status == 200
            (watcher,) = ledger.watchers._all
            waiting = watcher._queue.qsize()
            slow.setblocking(False)
            loop, heard = asyncio.get_running_loop(), b""
            async with asyncio.timeout(60):
                while b"<59>" not in heard:
                    part = await loop.sock_recv(slow, 65_536)
                    assert part, "he was cut"
                    heard += part

        assert waiting > 45
        assert re.findall(rb"<([0-9]+)>", heard) == [b"%d" % number for number in range(60)]


async def test_a10_each_body_has_its_bound_and_is_not_read_beyond_it(tmp_path: Path) -> None:
    async with http(tmp_path, **{"limits.change_bytes": 100_000}) as api:
        for method, path in (("PUT", PROMPT),):
            said_first = await sent(
                api,
                f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                f"Authorization: Bearer {api.token}\r\n"
                "Content-Length: 99999999999\r\n\r\n".encode(),
            )
            assert said_first.startswith(b"HTTP/1.1 413"), said_first
            chunks = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
            said_late = await sent(
                api,
                f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                f"Authorization: Bearer {api.token}\r\n"
                "Transfer-Encoding: chunked\r\n\r\n".encode()
                + chunks * 3,
            )
            assert said_late.startswith(b"HTTP/1.1 413"), said_late
