"""
The command line's way to a center: finds URL and token, turns problems into one sentence.

On the machine of the center nothing has to be set: for a loopback URL the admin token is read from
``data/admin.token`` below the working directory.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

import aiohttp
import orjson
import typer

from client_sdk.errors import ApiError, ConfigError, SettingInvalid
from client_sdk.private_files import read_private
from client_sdk.settings import DEFAULT_URL, ClientSettings, parse_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping

_TIMEOUT = aiohttp.ClientTimeout(total=30)
_STREAM_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60)
_TOKEN_FILE = Path("data", "admin.token")
_URL_FILE = Path("data", "center.url")
_PAUSES = (0.2, 0.5, 1.0, 2.0)  # seconds between the tries of one change
_PASSING = ("store-unavailable", "busy", "behind")  # what a center says while it starts
_RESUME_AFTER = 1.0  # seconds
_AGAIN = ("outcome-unknown", "busy")


class _NoAnswer(ConfigError):
    """The request may have been carried out."""


def _here() -> str | None:
    """
    The address of the center whose data lies here, and that runs. It is where a token will be sent:
    so the file has to be ours and closed to others, and to name this machine.
    """
    if not _URL_FILE.is_file():
        return None
    address = parse_url(read_private(_URL_FILE, "the address of the center").strip())
    return address.url if address.loopback else None


class Remote:
    """One conversation with a center. Raises ApiError, SettingInvalid or ConfigError."""

    def __init__(self, settings: ClientSettings, namespace: str | None = None) -> None:
        http = [address for address in settings.urls if address.over_http]
        if not http:
            raise SettingInvalid(
                "the command line speaks HTTP: set CONFIG_CENTER_URL to a center's http address"
            )
        here = _here() if http[0].url == DEFAULT_URL else None
        self.url = (here or http[0].url).rstrip("/")
        self.namespace = namespace or settings.namespace
        token = settings.token
        self._token_from = ""
        if token is None and http[0].loopback and _TOKEN_FILE.is_file():
            token = read_private(_TOKEN_FILE, "the admin token").strip()
            self._token_from = str(_TOKEN_FILE)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ns(self, *parts: str) -> str:
        """A path in the namespace."""
        return "/".join(("/v1/namespaces", self.namespace, *(quote(p, safe="") for p in parts)))

    def key(self, key: str, *parts: str) -> str:
        """A path of a key."""
        return self.ns("keys", key, *parts)

    async def call(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """
        The JSON answer. A change is asked for under an identity of its own, so that asking again
        when no answer came cannot make it twice.
        """
        data = None if json is None else orjson.dumps(json)
        sent = {"Content-Type": "application/json", **self._headers, **(headers or {})}
        if method != "GET":
            sent.setdefault("Idempotency-Key", secrets.token_hex(16))
        url = self.url + path
        params = {k: str(v) for k, v in (query or {}).items() if v is not None}
        options = {"data": data, "headers": sent, "params": params}
        for pause in _PAUSES:
            try:
                return await self._ask(method, url, options)
            except ApiError as error:
                if error.problem not in _AGAIN:
                    raise
            except _NoAnswer:
                pass
            await asyncio.sleep(pause)
        return await self._ask(method, url, options)

    async def items(self, path: str, query: Mapping[str, Any] | None = None) -> list[Any]:
        """All of a list, page by page."""
        items: list[Any] = []
        after = None
        while True:
            asked = {**(query or {}), "limit": 1000, "after": after}
            page = await self.call("GET", path, query=asked)
            items += page["items"]
            after = page.get("next")
            if after is None:
                return items

    async def fetch(self, path: str) -> bytes:
        """The bytes of a path."""
        raw: bytes = await self._ask("GET", self.url + path, {"headers": self._headers})
        return raw

    async def download(self, path: str, file: Path, query: Mapping[str, str]) -> int:
        """The bytes of a path into a private file, as they come; how many. Raises OSError."""
        size = 0
        try:
            async with (
                aiohttp.ClientSession(timeout=_STREAM_TIMEOUT) as session,
                session.get(self.url + path, headers=self._headers, params=query) as response,
            ):
                if response.status != 200:
                    await self._read(response)
                fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(fd, "wb") as out:
                    async for part in response.content.iter_any():
                        await asyncio.to_thread(out.write, part)
                        size += len(part)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ConfigError(f"{self._away(error)}; {file} is not whole") from error
        return size

    async def send(self, path: str, raw: bytes, query: Mapping[str, Any]) -> Any:
        """The answer to bytes that are posted."""
        params = {k: str(v) for k, v in query.items() if v is not None}
        sent = {"Content-Type": "application/octet-stream", **self._headers}
        return await self._ask(
            "POST", self.url + path, {"data": raw, "headers": sent, "params": params}
        )

    async def _ask(self, method: str, url: str, options: Mapping[str, Any]) -> Any:
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.request(method, url, **options) as response,
            ):
                return await self._read(response)
        except aiohttp.ClientConnectorError as error:
            raise ConfigError(self._away(error)) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _NoAnswer(self._away(error)) from error

    async def events(self, path: str, query: Mapping[str, str]) -> AsyncIterator[tuple[str, str]]:
        """
        (event, data) of a server-sent stream. One that breaks is resumed where it broke, without
        end; only the first connection, and an answer that is a refusal, raise.
        """
        after = ""
        while True:
            try:
                async for name, data, event_id in self._stream(path, query, after):
                    after = _proven(after, name, data, event_id)
                    yield name, data
            except (aiohttp.ClientError, TimeoutError, ApiError) as error:
                if not after or not _passes(error):
                    raise self._refusal(error) from None
            print(f"the stream of {self.url} broke; resuming after {after} ...", file=sys.stderr)
            await asyncio.sleep(_RESUME_AFTER)

    async def _stream(
        self, path: str, query: Mapping[str, str], after: str
    ) -> AsyncIterator[tuple[str, str, str]]:
        headers = {**self._headers, **({"Last-Event-ID": after} if after else {})}
        async with (
            aiohttp.ClientSession(timeout=_STREAM_TIMEOUT) as session,
            session.get(self.url + path, headers=headers, params=query) as response,
        ):
            if response.status != 200:
                await self._read(response)
            fields: dict[str, str] = {}
            async for raw in response.content:
                name, _, value = raw.decode("utf-8").rstrip("\n").partition(": ")
                if name == ":":  # a comment, which only says that the center is there
                    continue
                if name:
                    fields[name] = value
                elif fields:
                    yield fields.get("event", ""), fields.get("data", ""), fields.get("id", "")
                    fields = {}

    async def _read(self, response: aiohttp.ClientResponse) -> Any:
        raw = await response.read()
        if "json" not in response.content_type:
            if response.status >= 400:
                raise ApiError(response.status, "unknown", f"{response.url} is no center", {})
            return raw
        plain = orjson.loads(raw) if raw else {}
        if response.status >= 400:
            name = str(plain.get("type", "")).rpartition(":")[2]
            detail = at_the_shell(plain.get("detail", "refused"), self.namespace)
            if response.status == 401:  # a token too many is set more often than one is wrong
                from config_center.settings import token_variable  # slow to load, else not needed

                named = self._token_from or token_variable()
                detail = detail.replace("this token", f"this token ({named})", 1)
            for found in plain.get("errors", ()):
                found["message"] = at_the_shell(str(found.get("message")), self.namespace)
            raise ApiError(response.status, name, detail, plain)
        return plain

    def _refusal(self, error: Exception) -> ConfigError:
        return error if isinstance(error, ConfigError) else ConfigError(self._away(error))

    def _away(self, error: BaseException) -> str:
        return (
            f"the center at {self.url} cannot be reached ({str(error) or type(error).__name__}); "
            "is it running? CONFIG_CENTER_URL says where to look"
        )


def _proven(after: str, name: str, data: str, event_id: str) -> str:
    """Where to go on; an event without an id still proves what came before it."""
    return event_id or after or (data if name == "subscribed" else "")


def _passes(error: Exception) -> bool:
    return not isinstance(error, ApiError) or error.problem in _PASSING


def connect(namespace: str | None = None) -> Remote:
    """The center that the environment names. Exits with status 1 and a sentence."""
    try:
        return Remote(ClientSettings.from_environment(), namespace)
    except ConfigError as error:
        fail(error)


# What the API says of requests, as somebody at a shell would do it.
_AT_THE_SHELL = {
    "send ?supersede=true, which aborts": "give --supersede, which aborts",
    'send {"force": true} to take': "give --force to take",
    'say how far with {"percent": N}': "say how far with --percent N",
    'its history lists all there are, and {"to": N} goes to any of them': "config-center history "
    "lists all there are, and --to N goes to any of them",
    "as GET .../drafts/ID answers it": "as config-center draft show prints it last",
    "as GET /v1/trust/keys lists them": "as config-center trust show lists them",
    "a rollout below 100 %, or ?urgent=true with a": "a share with --percent, or --urgent with a",
    "make a draft (POST .../drafts), and": "make a draft (put, rm, schema set and policy set take "
    "--draft), and",
    "GET .../drafts lists them": "config-center draft ls -n {ns} lists them",
    "an admin sends ?urgent=true with a": "an admin gives --urgent with a",
    "an admin may send ?urgent=true with a": "an admin may give --urgent with a",
    "lift the freeze (POST /v1/unfreeze)": "lift it with: config-center unfreeze",
    "lift the freeze (POST .../unfreeze)": "lift it with: config-center unfreeze -n {ns}",
    "send If-Match or If-None-Match, in a change of several keys if_version": "give --if-version",
    "make it with PUT /v1/namespaces/": "make it with: config-center namespace create ",
    "/kid: must be": "a signing key's name must be",
    "see the list of tokens": "config-center token ls lists them",
    "load the snapshot and go on from there": "start config-center watch anew, which begins with "
    "what comes now; config-center history KEY tells of what was before",
    "GET /v1/trust/keys lists them all": "config-center trust show lists them all",
    "GET .../rollouts lists them": "config-center rollout ls -n {ns} lists them",
    "GET .../orphans lists them": "config-center orphans ls -n {ns} lists them",
    "send the header `Authorization: Bearer TOKEN`": "set CONFIG_CENTER_TOKEN; `make run` writes "
    "one to data/admin.token, which is read in its directory",
}


def at_the_shell(detail: str, namespace: str) -> str:
    """The sentence of a problem, with verbs and options in place of what is sent."""
    for said, meant in _AT_THE_SHELL.items():
        detail = detail.replace(said, meant.replace("{ns}", namespace))
    return detail


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Carry out one verb. Exits with status 1 and a sentence."""
    try:
        return asyncio.run(work)
    except ApiError as error:
        fail(error.detail, error.members)
    except ConfigError as error:
        fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def fail(reason: object, members: Mapping[str, Any] | None = None) -> NoReturn:
    """One sentence on stderr, each error of a list below it, status 1."""
    print(f"error: {reason}", file=sys.stderr)
    errors = (members or {}).get("errors", ())
    for found in errors:
        line = f"{found.get('path') or '/'}: {found.get('message')}"
        told = str(found.get("message")) if len(errors) == 1 else line
        if told not in str(reason):  # a single one may be the sentence already
            print(f"  {line}", file=sys.stderr)
    raise typer.Exit(1)
