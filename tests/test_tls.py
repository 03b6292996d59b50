"""Redis by TLS, as Debian ships it, and what is said of a wrong authority, name or port."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from benchmarks.processes import free_port
from client_sdk import Client
from client_sdk.errors import TransportDown
from client_sdk.transports.redis import RedisTransport
from config_center.access import Actor
from config_center.publishing import Put
from config_center.store import open_store
from config_center.store.base import Retention, StoreDown
from tests.certificates import Authority
from tests.clusters import clustered
from tests.config_center.api.world import center
from tests.redis_server import running
from tests.until import until

BINARY = shutil.which("redis-server")
ADMIN = Actor("test", "admin")

pytestmark = pytest.mark.redis_server


class Secured:
    """A server that speaks TLS on ``port``; its certificate is for localhost alone."""

    def __init__(self, home: Path, *, known: bool) -> None:
        self.authority = Authority(home / "authority")
        self.stranger = Authority(home / "stranger")
        self.port, self.plain = free_port(), free_port()
        self.arguments = [
            *("--port", str(self.plain), "--bind", "127.0.0.1", "--tls-port", str(self.port)),
            *arguments(self.authority, "localhost", known=known),
        ]

    def url(self, host: str = "localhost", ca: Authority | None = None, more: str = "") -> str:
        given = (ca or self.authority).ca
        return f"rediss://{host}:{self.port}/0?ssl_ca_certs={given}{more}"


def arguments(authority: Authority, *hosts: str, known: bool = False) -> list[str]:
    """How a server is told of TLS; ``known``: it wants to know who connects."""
    certificate, key = authority.issue("server", *hosts)
    return [
        *("--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
        *("--tls-ca-cert-file", str(authority.ca)),
        *("--tls-auth-clients", "yes" if known else "no"),
    ]


@contextlib.contextmanager
def secured(home: Path, *, known: bool = False) -> Iterator[Secured]:
    made = Secured(home, known=known)
    with running(BINARY, *made.arguments):
        yield made


async def follows(home: Path, url: str) -> None:
    """A center and a client on ``url``: a change reaches the client."""
    async with center(home / "data", redis=url) as opened:
        trust = str(home / "data" / "trust.json")
        async with Client.connect(
            url, instance="gw", state=home / "gw", trust=trust, timeout=20.0
        ) as client:
            await opened.service.put("default", "k", Put(value="by TLS"), ADMIN)
            await until(lambda: client.get("k", None) == "by TLS")
            assert client.status().transport == "redis"


async def refusals(url: str) -> AsyncIterator[str]:
    """What a client and a center say when they cannot connect."""
    transport = RedisTransport(url, "default", 5.0)
    with pytest.raises(TransportDown) as down:
        await transport.open()
    yield str(down.value)
    store = open_store(url, Retention())
    with pytest.raises(StoreDown) as away:
        await store.open()
    yield str(away.value)
    await store.close()


async def test_a_change_reaches_a_client_by_tls(tmp_path: Path) -> None:
    with secured(tmp_path) as server:
        await follows(tmp_path, server.url())


async def test_a_server_that_wants_to_know_its_clients_is_shown_a_certificate(
    tmp_path: Path,
) -> None:
    with secured(tmp_path, known=True) as server:
        certificate, key = server.authority.issue("client")
        await follows(tmp_path, server.url(more=f"&ssl_certfile={certificate}&ssl_keyfile={key}"))
        async for said in refusals(server.url()):
            assert "?ssl_certfile=FILE&ssl_keyfile=FILE" in said


async def test_a_server_of_another_authority_is_refused_with_what_to_write(
    tmp_path: Path,
) -> None:
    with secured(tmp_path) as server:
        async for said in refusals(server.url(ca=server.stranger)):
            assert "name the authority that signed it: ?ssl_ca_certs=FILE" in said


async def test_a_server_by_another_name_is_refused_with_what_to_write(tmp_path: Path) -> None:
    with secured(tmp_path) as server:
        async for said in refusals(server.url("127.0.0.1")):
            assert "connect by a name in its certificate" in said


async def test_a_port_without_tls_is_said_to_be_one(tmp_path: Path) -> None:
    with secured(tmp_path) as server:
        server.port = server.plain
        async for said in refusals(server.url()):
            assert "if this is its TLS port" in said


async def test_a_cluster_is_followed_by_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    more = [*arguments(authority, "127.0.0.1"), "--tls-cluster", "yes"]
    async with clustered(BINARY, *more, tls=True) as cluster:
        await follows(tmp_path, f"{cluster.url}?ssl_ca_certs={authority.ca}")


@contextlib.contextmanager
def sentinel(home: Path, master: int, *more: str) -> Iterator[int]:
    """A sentinel that speaks TLS alone; its port."""
    port, config = free_port(), home / "sentinel.conf"
    config.write_text(f"sentinel monitor config 127.0.0.1 {master} 1\n")
    command = [str(BINARY), str(config), "--sentinel", "--port", "0", "--tls-port", str(port)]
    process = subprocess.Popen([*command, "--dir", str(home), *more], stdout=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


async def test_the_master_that_sentinels_name_is_followed_by_tls(tmp_path: Path) -> None:
    authority, master = Authority(tmp_path / "authority"), free_port()
    more = [*arguments(authority, "127.0.0.1"), "--tls-replication", "yes"]
    with (
        running(BINARY, "--tls-port", str(master), "--bind", "127.0.0.1", *more),
        sentinel(tmp_path, master, *more) as port,
    ):
        url = f"rediss+sentinel://127.0.0.1:{port}/config?ssl_ca_certs={authority.ca}"
        await is_up(url)
        await follows(tmp_path, url)


async def is_up(url: str) -> None:
    """Until a store can be opened there."""
    store = open_store(url, Retention())
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(StoreDown):
                await store.open()
                break
            await asyncio.sleep(0.02)
    await store.close()
