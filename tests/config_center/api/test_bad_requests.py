"""Requests that are none: the right status, a sentence, nothing stored, and never a 500."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from tests.config_center.api.world import NS, Http, http

PROMPT = f"{NS}/keys/prompt"
CHANGES = f"{NS}/changes"
DEEP = b'{"value":' + b"[" * 33 + b"]" * 33 + b"}"
INSTANCE = {"name": "t", "role": "instance"}
YAML = {"Content-Type": "application/yaml"}
TOML = {"Content-Type": "application/toml"}
TEXT = {"Content-Type": "text/plain"}
BOMB = b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


async def head(api: Http) -> str:
    _, about, _ = await api("GET", NS)
    return str(about["position"])


async def sent(api: Http, method: str, path: str, header: bytes, body: bytes = b"") -> bytes:
    """What a request answers whose headers no library would send."""
    at = urlsplit(api.url)
    lines = [
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close".encode(),
        f"Content-Length: {len(body)}".encode(),
        header,
    ]
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    return answer


BODIES: list[tuple[bytes, dict[str, str], int, str]] = [
    (b"{", {}, 400, "line 1 column 2 is not JSON"),
    (b"[]", {}, 400, "send a JSON object"),
    (b"{}", {}, 400, "/value: Field required"),
    (b'{"valeu":1}', {}, 400, "did you mean value?"),
    (b'{"value":1,"value":2}', {}, 400, "stands twice"),
    (b'{"value":{"a":1,"a":2}}', {}, 400, ".value.a: the name stands twice"),
    (b'{"value":NaN}', {}, 400, "NaN"),
    (b'{"value":[-Infinity]}', {}, 400, "NaN and infinities"),
    (b'{"value":1e999}', {}, 400, "NaN and infinities"),
    (b'{"value":18446744073709551616}', {}, 400, "beyond 2^53"),
    (b'{"value":' + b"9" * 5000 + b"}", {}, 400, "beyond 2^53"),
    (b'{"value":"\xff"}', {}, 400, "is not UTF-8"),
    (b'{"value":"\\ud800"}', {}, 400, "half of a pair"),
    (b'{"value":{"\\ud800":1}}', {}, 400, "half of a pair"),
    (DEEP, {}, 400, "more than 32 levels deep"),
    (b'{"value":' + b"[" * 100_000, {}, 400, "levels deep"),
    (b'{"value":1,"format":"jsno"}', {}, 400, "did you mean json?"),
    (b'{"value":1,"format":7}', {}, 400, "/format"),
    (b'{"value":1,"format":"text"}', {}, 400, "sent as the text itself"),
    (b'{"value":1,"comment":"' + b"c" * 1001 + b'"}', {}, 400, "1000 characters"),
    (b'{"value":1,"rollout":{"percent":101}}', {}, 400, "/rollout/percent"),
    (b'{"value":1,"rollout":{"percent":"10"}}', {}, 400, "/rollout/percent"),
    (b'{"value":1,"rollout":{"percent":true}}', {}, 400, "/rollout/percent"),
    (b'{"value":1,"rollout":{"percent":1,"unit":"user"}}', {}, 400, "device or instance"),
    (b'{"value":"' + b"v" * 300_000 + b'"}', {}, 413, "262144"),
    (b'{"value":"' + b"v" * 2_000_000 + b'"}', {}, 413, "1048576"),
    (b"v" * 300_000, TEXT, 413, "262144"),
    (b"\xff\xfe", TEXT, 400, "byte 0 is not UTF-8"),
    (b"a", {"Content-Type": "text/plain; charset=latin-1"}, 415, "UTF-8"),
    (b"<a/>", {"Content-Type": "application/xml"}, 415, "application/json"),
    (b"a=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "application/json"),
    (BOMB, YAML, 400, "aliases"),
    (b"a: !!python/object:os.system x", YAML, 400, "tags"),
    (b"%YAML 1.1\n---\na: no", YAML, 400, "directives"),
    (b"a: 1\na: 2", YAML, 400, "stands twice"),
    (b"a: [", YAML, 400, "line 1"),
    (b"a: 1\n---\nb: 2", YAML, 400, "one document"),
    (b"a: .nan", YAML, 400, "NaN"),
    (b"1: a", YAML, 400, "is not a text"),
    (b"[" * 33 + b"]" * 33, YAML, 400, "more than 32 levels deep"),
    (b"a = ", TOML, 400, "not TOML"),
    (b"a = 1\na = 2", TOML, 400, "not TOML"),
    (b"a = 18446744073709551616", TOML, 400, "beyond 2^53"),
    (b"a = 2026-01-01", TOML, 400, "is not a JSON value"),
]


async def test_a_body_that_cannot_be_used_is_refused_with_a_reason(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        before = await head(api)
        for raw, headers, wanted, why in BODIES:
            for method, path in (("PUT", PROMPT), ("POST", PROMPT + "/validate")):
                status, said, _ = await api(method, path, raw=raw, **headers)
                assert status == wanted, (method, raw[:60], said)
                assert why in said["detail"], (raw[:60], said["detail"])
        assert await head(api) == before


QUESTIONS: list[tuple[str, str, Any, str]] = [
    ("PUT", f"{NS}/keys/UPPER", {"value": 1}, "lower-case"),
    ("PUT", f"{NS}/keys/_schema.x", {"value": 1}, "the center's own"),
    ("PUT", f"{NS}/keys/{'k' * 129}", {"value": 1}, "at most 128"),
    ("PUT", f"{NS}/keys/a%00", {"value": 1}, "lower-case"),
    ("PUT", f"{PROMPT}?percnt=10", {"value": 1}, "did you mean percent?"),
    ("PUT", f"{PROMPT}?percent=10", {"value": 1}, "rollout.percent"),
    ("PUT", f"{PROMPT}?comment=why", {"value": 1}, "the body's field comment"),
    ("PUT", f"{PROMPT}?supersede=yes", {"value": 1}, "true or false"),
    ("PUT", f"{PROMPT}?supersede=true&supersede=false", {"value": 1}, "send supersede once"),
    ("GET", f"{PROMPT}?version=0", None, "whole number"),
    ("GET", f"{PROMPT}?version=1.0", None, "whole number"),
    ("GET", f"{PROMPT}?version=99999999999999999999", None, "whole number"),
    ("GET", f"{PROMPT}?version=1&version=2", None, "send version once"),
    ("GET", f"{PROMPT}?version=1&unit=a", None, "not both"),
    ("GET", f"{PROMPT}?unit=", None, "the id of a device"),
    ("GET", f"{PROMPT}?attr.firmware=2", None, "goes with unit"),
    ("GET", f"{PROMPT}?at_least=now", None, "EPOCH-REVISION"),
    ("GET", f"{PROMPT}/diff?format=html", None, "structural"),
    ("GET", f"{NS}/keys?limit=0", None, "from 1 to 1000"),
    ("GET", f"{NS}/keys?limit=1001", None, "from 1 to 1000"),
    ("GET", f"{NS}/keys?limit=-1", None, "from 1 to 1000"),
    ("GET", f"{PROMPT}/versions?after=x", None, "begin anew"),
    ("GET", f"{NS}/rollouts?after=x", None, "begin anew"),
    ("GET", f"{NS}/devices?after=x", None, "begin anew"),
    ("GET", f"{NS}/watch?as=xml", None, "changes or records"),
    ("GET", f"{NS}/watch?after=9", None, "EPOCH-REVISION"),
    ("GET", f"{NS}/records?after=1-{'9' * 30}", None, "larger than any"),
    ("PUT", "/v1/namespaces/UPPER", {}, "lower-case"),
    ("PUT", f"/v1/namespaces/{'n' * 64}", {}, "at most 63"),
    ("PUT", "/v1/namespaces/new", {"template": "gatewy"}, "did you mean gateway?"),
    ("PUT", f"{PROMPT}/schema", {}, "kind"),
    ("PUT", f"{PROMPT}/schema", {"kind": "llmm"}, "llm"),
    ("PUT", f"{PROMPT}/schema", {"kind": "llm", "json_schema": {}}, "send"),
    ("PUT", f"{PROMPT}/schema", {"json_schema": {"pattern": "("}}, "not a JSON Schema"),
    ("PUT", f"{PROMPT}/schema", {"json_schema": {"$ref": "file:///etc/passwd"}}, "not a JSON"),
    ("POST", f"{PROMPT}/rollback", {"to": 0}, "/to"),
    ("POST", f"{PROMPT}/rollback", {"to": 2**64 - 1}, ".to: "),
    ("POST", f"{PROMPT}/rollback", {"too": 1}, "did you mean to?"),
    ("POST", CHANGES, {"operations": []}, "/operations"),
    ("POST", CHANGES, {"operations": [{"op": "put", "key": "a"}]}, "send its value"),
    ("POST", CHANGES, {"operations": [{"op": "move", "key": "a"}]}, "put or delete"),
    ("POST", CHANGES, {"operations": [{"op": "put", "key": "a", "valu": 1}]}, "mean value?"),
    ("POST", CHANGES, {"operations": [{"op": "delete", "key": "a", "if_version": -1}]}, "if_ver"),
    ("POST", CHANGES, {"operations": [{"op": "put", "key": "a", "value": 1}] * 2}, "twice"),
    ("POST", f"{NS}/rollouts", {"operations": [{"op": "put", "key": "a", "value": 1}]}, "rollout"),
    ("POST", f"{NS}/rollouts/prompt/promote", {"percent": 20}, "'percent'"),
    ("POST", f"{NS}/rollouts/prompt/pause", {"force": True}, "'force'"),
    ("POST", f"{NS}/rollouts/prompt/step", {"percent": -1}, "/percent"),
    ("POST", "/v1/tokens", {"name": "t", "role": "root"}, "admin, instance"),
    ("POST", "/v1/tokens", {"name": "t", "role": "instance"}, "names the instance"),
    ("POST", "/v1/tokens", {**INSTANCE, "instance": ""}, "letters, digits and ._-"),
    ("POST", "/v1/tokens", {**INSTANCE, "instance": "gw 7"}, "for example gw-7"),
    ("POST", "/v1/tokens", {**INSTANCE, "instance": "gw\n"}, "letters, digits and ._-"),
    ("POST", "/v1/tokens", {**INSTANCE, "instance": "../gw"}, "letters, digits and ._-"),
    ("POST", "/v1/tokens", {**INSTANCE, "instance": "g" * 129}, "at most 128"),
    ("POST", "/v1/tokens", {"name": "t", "role": "admin", "namespaces": ["_system"]}, "names"),
]


async def test_what_is_asked_wrong_is_refused_with_a_reason(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        await api("PUT", PROMPT, {"value": "hello"})
        before = await head(api)
        for method, path, body, why in QUESTIONS:
            status, said, _ = await api(method, path, body)
            assert status == 400, (method, path, body, said)
            assert why in said["detail"], (method, path, said["detail"])
        assert await head(api) == before


@pytest.mark.parametrize(
    "header", [{"Content-Encoding": "gzip"}, {"Content-Type": "application/xml"}]
)
async def test_a_body_of_another_form_is_refused_unread(
    tmp_path: Path, header: dict[str, str]
) -> None:
    async with http(tmp_path) as api:
        before = await head(api)
        for method, path in sorted({(m, p.partition("?")[0]) for m, p, b, _ in QUESTIONS if b}):
            status, said, _ = await api(method, path, raw=b"\x1f\x8b{}", **header)
            assert status == 415, (method, path, said)
        assert await head(api) == before


HEADERS: list[tuple[bytes, int, bytes]] = [
    (b"Authorization: Bearer \xff\xfe", 401, b"Authorization: Bearer TOKEN"),
    (b"Authorization: Bearer " + "é".encode(), 401, b"Authorization: Bearer TOKEN"),
    (b'TOKEN\r\nIf-Match: "\xff"', 400, b"send If-Match once"),
    (b'TOKEN\r\nIf-Match: "1"\r\nIf-Match: "2"', 400, b"send If-Match once"),
    (b"TOKEN\r\nIf-Match: 1-2", 400, b"If-Match takes an ETag"),
    (b'TOKEN\r\nIf-None-Match: "1-2"', 400, b"If-None-Match takes *"),
    (b"TOKEN\r\nIdempotency-Key: \xff", 400, b"send Idempotency-Key once"),
    (b"TOKEN\r\nIdempotency-Key: a\r\nIdempotency-Key: b", 400, b"send Idempotency-Key once"),
    (b"TOKEN\r\nIdempotency-Key: ", 400, b"1 to 200"),
    (b"TOKEN\r\nIdempotency-Key: " + b"k" * 201, 400, b"1 to 200"),
    (b"TOKEN\r\nX: " + b"a" * 9000, 400, b"8190"),
]


async def test_headers_that_nobody_means_are_refused(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        before = await head(api)
        for header, wanted, why in HEADERS:
            whole = header.replace(b"TOKEN\r\n", f"Authorization: Bearer {api.token}\r\n".encode())
            answer = await sent(api, "PUT", PROMPT, whole, b'{"value":1}')
            assert answer.split(b" ", 2)[1] == str(wanted).encode(), answer
            assert why in answer, answer
        assert await head(api) == before


async def test_a_position_that_is_none_does_not_begin_a_stream(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        header = f"Authorization: Bearer {api.token}\r\nLast-Event-ID: ".encode()
        for wrong in (b"\xff", b"1", b"1-2-3", b"-1-0", b"1-" + b"9" * 5000):
            answer = await sent(api, "GET", NS + "/watch", header + wrong)
            assert answer.startswith(b"HTTP/1.1 400"), answer


async def test_more_operations_than_a_change_may_have_names_the_limit(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        before = await head(api)
        many = [{"op": "put", "key": f"k{i}", "value": 1} for i in range(1001)]
        status, said, _ = await api("POST", CHANGES, {"operations": many})
        large = [{"op": "put", "key": f"k{i}", "value": "v" * 250_000} for i in range(4)]
        large.append({"op": "put", "key": "k4", "value": "v" * 60_000})
        too_large, about, _ = await api("POST", CHANGES, {"operations": large})

        assert (status, said["limit"]) == (413, 1000)
        assert (too_large, about["limit"]) == (413, 1_048_576)
        assert await head(api) == before


async def test_a_report_that_is_too_large_names_the_limit(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        _, made, _ = await api(
            "POST", "/v1/tokens", {"name": "t", "role": "instance", "instance": "gw"}
        )
        one = api.with_token(made["token"])
        status, said, _ = await one("POST", f"{NS}/reports", raw=b"x" * 2_000_000)

        assert (status, said["limit"]) == (413, 1_048_576)


@pytest.mark.parametrize("field", ["type", "api_key", "nested", "unknown"])
async def test_a_secret_in_the_wrong_place_is_not_in_the_answer(tmp_path: Path, field: str) -> None:
    secret = "sk-canary-of-bad-requests"
    llm = {"type": "openai", "base_url": "http://x", "model": "m", "api_key": "k"}
    wrong: dict[str, Any] = {
        "type": {**llm, "api_key": secret, "type": secret},
        "api_key": {**llm, "api_key": [secret]},
        "nested": {**llm, "api_key": {"a": secret}},
        "unknown": {**llm, "api_kee": secret},
    }
    async with http(tmp_path) as api:
        await api("PUT", f"{NS}/keys/llm/schema", {"kind": "llm"})
        before = await head(api)
        status, said, _ = await api("PUT", f"{NS}/keys/llm", {"value": wrong[field]})

        assert status == 422
        assert secret not in orjson.dumps(said).decode()
        assert await head(api) == before
