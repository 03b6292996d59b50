"""
A Redis by URL, where several servers stand for one: sentinels, or the nodes of a cluster. Pure.

Written ``redis+sentinel://[USER:PASSWORD@]HOST:PORT,HOST:PORT/SERVICE[/DB][?OPTIONS]`` and
``redis+cluster://[USER:PASSWORD@]HOST:PORT,HOST:PORT[?OPTIONS]``; with ``rediss`` in front every
connection is TLS. User, password and options are those of the servers; sentinels get only the
options of TLS. The library behind knows URLs of one server, so a group hands out just these.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.errors import SettingInvalid

TLS_SCHEMES = ("rediss", "rediss+sentinel", "rediss+cluster")
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
TLS_OPTIONS = (
    *TLS_FILES, "ssl_ca_path", "ssl_check_hostname", "ssl_cert_reqs", "ssl_ciphers", "ssl_password",
)  # fmt: skip
_TO_QUOTE = ("#", "[", "]", "@", " ")
_EXAMPLES = {
    "sentinel": "sentinels are written redis+sentinel://HOST:26379,HOST:26379/SERVICE, for example "
    "redis+sentinel://10.0.0.1:26379,10.0.0.2:26379/config",
    "cluster": "a cluster is written redis+cluster://HOST:6379,HOST:6379, without a path, for "
    "example redis+cluster://10.0.0.1:6379,10.0.0.2:6379",
}


@dataclass(frozen=True, slots=True)
class Host:
    """Where a server listens."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class Group:
    """
    ``kind`` is ``sentinel`` or ``cluster``; ``hosts`` as listed, the rest as written. ``service``
    and ``db`` belong to sentinels.
    """

    kind: str
    scheme: str
    hosts: tuple[Host, ...]
    login: str
    service: str
    db: str
    query: str

    def url_of(self, host: Host) -> str:
        """The URL of one server of it."""
        return f"{self.scheme}://{self.login}{host}/{self.db}{self.query}"


def group_of(url: str) -> Group | None:
    """
    The servers behind ``url``; ``None`` where it names one. Raises SettingInvalid, never with the
    password.
    """
    before, _, rest = url.partition("://")
    scheme, _, kind = before.partition("+")
    if kind not in _EXAMPLES or scheme not in ("redis", "rediss"):
        return None
    written, mark, options = rest.partition("?")
    authority, _, place = written.partition("/")
    user, at, listed = authority.rpartition("@")
    if any(mark in user for mark in _TO_QUOTE):
        marks = " ".join(_TO_QUOTE)
        raise SettingInvalid(f"in a user's name or password {marks} are percent-encoded: %23 for #")
    service, _, db = place.partition("/")
    fits = service and (not db or db.isdigit()) if kind == "sentinel" else not place
    hosts = [_host(text) for text in listed.split(",")]
    if not fits or None in hosts:
        raise SettingInvalid(_EXAMPLES[kind])
    known = tuple(host for host in hosts if host is not None)
    return Group(kind, scheme, known, user + at, service, db, mark + options)


def _host(text: str) -> Host | None:
    name, _, port = text.rpartition(":")
    if not name or not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        return None
    return Host(name.removeprefix("[").removesuffix("]"), int(port))
