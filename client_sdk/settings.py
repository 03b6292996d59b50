"""
What a client is told by its environment: the only file of the library that reads it.

Names begin with ``CONFIG_CENTER_``; what begins with ``CONFIG_CENTER_SERVER__`` belongs to the
center and is left alone. A name of ours that nobody knows is refused with the nearest one, because
a misspelt ``CONFIG_CENTER_TOKN`` otherwise shows up as "401" somewhere else. Not refused: the
variables that Kubernetes and Docker make for a *service* called ``config-center``
(``CONFIG_CENTER_SERVICE_HOST``, ``CONFIG_CENTER_PORT_8848_TCP`` and their kin).
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, urlsplit

from client_sdk.errors import SettingInvalid
from client_sdk.keks import source_of
from client_sdk.private_files import read_private
from client_sdk.redis_url import TLS_FILES, TLS_OPTIONS, TLS_SCHEMES, group_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from client_sdk.keks import KekSource

PREFIX = "CONFIG_CENTER_"
SERVER_PREFIX = "CONFIG_CENTER_SERVER__"
DEFAULT_URL = "http://127.0.0.1:8848"

HTTP_SCHEMES = ("http", "https")
REDIS_SCHEMES = (
    *("redis", "rediss", "unix"),
    *("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"),
)
MEMORY_SCHEME = "memory"  # of this process, for tests: not told to people

NAMESPACE = re.compile(r"_?[a-z0-9][a-z0-9-]{0,62}")  # a leading _ is the center's own
_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")  # becomes a directory name
_OF_THE_ORCHESTRATOR = re.compile(
    r"CONFIG_CENTER(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?"
    r"|PORT(_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)|CONFIG_CENTER_(ENV_\w+|NAME)"
)

_PASSWORD_OPTION = re.compile(r"([?&](?:ssl_)?password=)[^&]*")

_VARIABLES = {
    "URL": "where the center is; several, preferred first, separated by commas",
    "TOKEN": "bearer token",
    "TOKEN_FILE": "file with the bearer token, readable by its owner only",
    "NAMESPACE": "which namespace to read (default)",
    "TRUST": "FILE or ed25519:BASE64: whose signatures to believe",
    "SECRET_KEY_FILE": "keys that open sealed fields, readable by its owner only",
    "SECRET_KEY_COMMAND": "command that prints them",
    "SECRET_KEY": "the keys themselves, `ID BASE64`, separated by commas",
    "STATE": "directory for snapshots and position",
}


SECRET_KEYS = {  # by the kind of source (client_sdk.keks)
    "file": "SECRET_KEY_FILE",
    "command": "SECRET_KEY_COMMAND",
    "text": "SECRET_KEY",
}


@dataclass(frozen=True, slots=True)
class Address:
    """One URL of the list, recognised."""

    url: str
    scheme: str
    loopback: bool

    @property
    def over_http(self) -> bool:
        """True for a center's HTTP, False for a Redis."""
        return self.scheme in HTTP_SCHEMES

    @property
    def shown(self) -> str:
        """The URL for people and logs: without its password."""
        return without_password(self.url)

    def __repr__(self) -> str:
        return f"Address({self.shown})"


@dataclass(frozen=True, slots=True, repr=False)
class ClientSettings:
    """
    What the environment says; None where it is silent.

    ``urls`` is never empty. ``token`` is already read from its file. ``trust`` is the text as
    given.
    """

    urls: tuple[Address, ...]
    namespace: str
    token: str | None
    trust: str | None
    secret_key: KekSource | None
    state: Path | None
    state_home: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> ClientSettings:
        """
        Read ``environment`` (default: the process's own).

        Raises SettingInvalid for a misspelt name, a URL that no transport reads, or a token file
        that is absent or open to others.
        """
        given = os.environ if environment is None else environment
        refuse_misspelt(given)
        return cls(
            urls=parse_urls(_get(given, "URL") or DEFAULT_URL),
            namespace=check_namespace(_get(given, "NAMESPACE") or "default"),
            token=_token(given),
            trust=_get(given, "TRUST"),
            secret_key=source_of(
                {kind: _get(given, name) for kind, name in SECRET_KEYS.items()},
                {kind: PREFIX + name for kind, name in SECRET_KEYS.items()},
            ),
            state=_path(_get(given, "STATE")),
            state_home=_path(given.get("XDG_STATE_HOME")) or Path.home() / ".local" / "state",
        )

    def state_directory(self, namespace: str, instance: str) -> Path:
        """``CONFIG_CENTER_STATE``, or ``$XDG_STATE_HOME/config-center/<namespace>/<instance>``."""
        below = Path("config-center", check_namespace(namespace), check_instance(instance))
        return self.state or self.state_home / below

    def __repr__(self) -> str:
        return f"ClientSettings(urls={self.urls}, namespace={self.namespace!r})"


def parse_urls(text: str) -> tuple[Address, ...]:
    """
    The addresses in ``text``, preferred first.

    A comma separates two URLs only where a scheme follows, so passwords may hold commas. Raises
    SettingInvalid.
    """
    parts = [part.strip() for part in re.split(r",(?=\s*[a-z][a-z0-9+]*://)", text)]
    return tuple(parse_url(part) for part in parts)


def parse_url(url: str) -> Address:
    """One address. Raises SettingInvalid with what it should look like, never with the password."""
    scheme, separator, _ = url.partition("://")
    if scheme == MEMORY_SCHEME and separator:
        return Address(url, scheme, loopback=True)
    if not separator or scheme not in (*HTTP_SCHEMES, *REDIS_SCHEMES):
        known = ", ".join(HTTP_SCHEMES + REDIS_SCHEMES)
        raise SettingInvalid(
            f"{without_password(url)!r} is not an address; it begins with one of {known}, for "
            f"example {DEFAULT_URL}"
        )
    if scheme in REDIS_SCHEMES:
        _check_tls(url, scheme)
    group = group_of(url)
    if group is not None:
        return Address(url, scheme, all(is_loopback(host.name) for host in group.hosts))
    return _of_one_host(url, scheme)


def _of_one_host(url: str, scheme: str) -> Address:
    parts = _split(url)
    if not (parts.path.strip("/") if scheme == "unix" else parts.hostname):
        missing = "a socket path" if scheme == "unix" else "a host"
        raise SettingInvalid(f"the address {without_password(url)!r} lacks {missing}")
    return Address(url, scheme, scheme == "unix" or is_loopback(parts.hostname or ""))


def _check_tls(url: str, scheme: str) -> None:
    """The library would say of a misspelt option only later, and in its own words."""
    for name, value in parse_qsl(url.partition("?")[2]):
        if not name.startswith("ssl"):
            continue
        if name not in TLS_OPTIONS:
            raise SettingInvalid(f"there is no option {name}{nearest(name, TLS_OPTIONS)}")
        if scheme not in TLS_SCHEMES:
            secure = scheme.replace("redis", "rediss", 1) if scheme != "unix" else "rediss"
            raise SettingInvalid(f"{name} is for a connection by TLS: write {secure}://")
        if name in TLS_FILES and not Path(value).is_file():
            raise SettingInvalid(f"there is no file {value}, given as {name}")


def is_loopback(host: str) -> bool:
    """True when ``host`` can only be this machine. A name other than localhost is not looked up."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def without_password(url: str) -> str:
    """The URL with ``***`` for its passwords."""
    url = _PASSWORD_OPTION.sub(r"\1***", url)
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    authority, at, place = rest.rpartition("@")
    if not at:
        return url
    user, colon, _ = authority.partition(":")
    return f"{scheme}{separator}{user}{colon}{'***' if colon else ''}@{place}"


def check_namespace(name: str) -> str:
    """``name`` when it can be a namespace. Raises SettingInvalid."""
    if not NAMESPACE.fullmatch(name):
        raise SettingInvalid(
            f"{name!r} is not a namespace; it is a-z, 0-9 and -, at most 63, for example prod"
        )
    return name


def check_instance(name: str) -> str:
    """``name`` when an instance can be called so. Raises SettingInvalid."""
    if not _INSTANCE.fullmatch(name):
        raise SettingInvalid(
            f"the instance name {name[:200]!r} cannot be used; it is letters, digits and ._-, at "
            "most 128, and begins with a letter or digit, for example gw-7"
        )
    return name


def refuse_misspelt(environment: Iterable[str]) -> None:
    """Raises SettingInvalid for a ``CONFIG_CENTER_`` name that no part of the project reads."""
    known = [PREFIX + name for name in _VARIABLES]
    for name in sorted(environment):
        ours = name.startswith(PREFIX) and not name.startswith(SERVER_PREFIX)
        if ours and name not in known and not _OF_THE_ORCHESTRATOR.fullmatch(name):
            raise SettingInvalid(f"nothing reads the variable {name}{nearest(name, known)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean X?``, or nothing when no known name is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed on access: this is what raises for a port that is none
    except ValueError:
        raise SettingInvalid(
            f"the address {without_password(url)!r} has a host or port that cannot be"
        ) from None
    return parts


def _get(environment: Mapping[str, str], name: str) -> str | None:
    """A variable that is set to nothing counts as not set, as compose files make them."""
    return environment.get(PREFIX + name, "").strip() or None


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None


def _token(environment: Mapping[str, str]) -> str | None:
    """
    Of a token, nothing is not "not set": whoever wrote ``TOKEN=$(command)`` meant somebody, and a
    command that fails must not make him the admin whose token lies in the working directory.
    """
    for name in ("TOKEN", "TOKEN_FILE"):
        if PREFIX + name in environment and _get(environment, name) is None:
            raise SettingInvalid(f"{PREFIX}{name} is set to nothing; fill it in, or unset it")
    token, file = _get(environment, "TOKEN"), _path(_get(environment, "TOKEN_FILE"))
    if token and file:
        raise SettingInvalid(
            "CONFIG_CENTER_TOKEN and CONFIG_CENTER_TOKEN_FILE are both set; keep one of them"
        )
    return read_private(file, "the token file").strip() if file else token
