"""
The center's settings: one frozen model, and the only file of the center that reads the environment.

Precedence: command line, environment, ``config-center.toml``, defaults. A setting has one dotted
name (``limits.value_bytes``) everywhere: in TOML a table, in the environment
``CONFIG_CENTER_SERVER__LIMITS__VALUE_BYTES``. A name that nobody knows is refused with the nearest
one, in the environment and in the file: a misspelt limit must not be a limit that is not set.

The sources are read here and not by pydantic-settings, into flat tables of dotted names: only then
can ``config check`` say where each value came from, and a refusal name the line that is wrong. What
the values may be is pydantic's.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from client_sdk.errors import SettingInvalid
from client_sdk.settings import (
    HTTP_SCHEMES,
    REDIS_SCHEMES,
    SERVER_PREFIX,
    is_loopback,
    nearest,
    parse_url,
    refuse_misspelt,
    without_password,
)
from config_center.bounds import Admission, Limits, Retention, Section
from config_center.kek_settings import Hidden, KekSettings
from config_center.oidc import Oidc
from config_center.weak_secrets import is_example

FILE = Path("config-center.toml")
_TOKENS = ("CONFIG_CENTER_TOKEN", "CONFIG_CENTER_TOKEN_FILE")


@dataclass(frozen=True, slots=True)
class Listen:
    """A host and a port; port 0 takes any."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """True when only this machine can connect."""
        return is_loopback(self.host)


def parse_listen(value: object) -> Listen:
    """``HOST:PORT`` or ``[IPV6]:PORT``. Raises ValueError."""
    if isinstance(value, Listen):
        return value
    host, _, port = str(value).rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    if not bare or (":" in bare) is not bracketed or not _is_port(port):
        raise ValueError("write HOST:PORT, for example 127.0.0.1:8848 or [::1]:8848")
    return Listen(bare, int(port))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) <= 65_535


def _listed(value: object) -> object:
    """``a,b`` in the environment and on the command line, an array in TOML."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _redis_url(value: object) -> object:
    if isinstance(value, str) and parse_url(value).scheme not in REDIS_SCHEMES:
        raise ValueError("write the address of a Redis: redis://, rediss:// or unix:// ...")
    if isinstance(value, str) and is_example(unquote(urlsplit(value).password or "")):
        raise ValueError("its password is an example that everybody knows; set one of your own")
    return value


def _peer_url(value: str) -> str:
    if parse_url(value).scheme not in HTTP_SCHEMES:
        raise ValueError("a peer is another center's http:// or https:// address")
    return value


_PeerList = Annotated[
    tuple[Annotated[str, BeforeValidator(_peer_url)], ...], BeforeValidator(_listed)
]


class Settings(Section, KekSettings):
    """Everything that can be set."""

    listen: Annotated[Listen, BeforeValidator(parse_listen)] = Field(
        Listen("127.0.0.1", 8848), description="HOST:PORT of the HTTP API; port 0 takes any"
    )
    data: Path = Field(Path("data"), description="journal, keys, tokens, store, artefacts")
    redis: Annotated[SecretStr | None, BeforeValidator(_redis_url)] = Field(
        None,
        description="redis://, rediss:// or unix://, also +sentinel and +cluster; none: a private "
        "durable store",
    )
    tls_cert: Path | None = Field(None, description="certificate chain, PEM")
    tls_key: Path | None = Field(None, description="its private key, PEM")
    behind_proxy: bool = Field(False, description="a proxy in front of it ends TLS")
    peers: _PeerList = Field((), description="URLs of the other centers, separated by commas")
    ack_replicas: int = Field(0, ge=0, le=16, description="replicas that must have a change")
    beat_every: float = Field(1.0, ge=0.05, le=60, description="seconds between heartbeats")
    server_binary: Path | None = Field(None, description="program of the private store")
    store_run_dir: Path | None = Field(None, description="short directory for its socket")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least important line that is logged"
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="lines of the log: for people, or one JSON object each"
    )
    limits: Limits = Field(Limits(), description="")
    admission: Admission = Field(Admission(), description="")
    retention: Retention = Field(Retention(), description="")
    oidc: Oidc = Field(Oidc(), description="")

    @property
    def redis_url(self) -> str | None:
        """The URL with its password; None: run the private store."""
        return self.redis.get_secret_value() if self.redis else None

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Settings:
        if (self.tls_cert is None) is not (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: give both or neither")
        for path in (self.tls_cert, self.tls_key):
            if path is not None and not path.is_file():
                raise ValueError(f"there is no file {path}")
        return self

    @model_validator(mode="after")
    def _tokens_do_not_travel_in_clear(self) -> Settings:
        if not (self.listen.loopback or self.behind_proxy or self.tls_cert):
            raise ValueError(
                f"listening on {self.listen} in plain HTTP would show every token to the network: "
                "give --tls-cert and --tls-key, or --behind-proxy when a proxy in front ends TLS, "
                "or listen on 127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _replicas_need_a_redis(self) -> Settings:
        if self.ack_replicas and self.redis is None:
            raise ValueError("ack_replicas needs a Redis with replicas: give its URL as redis")
        return self


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for each dotted name that was given, who gave it."""

    settings: Settings
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One setting, for people. Texts; a password is shown as ``***``."""

    name: str
    variable: str
    value: str
    default: str
    source: str
    description: str


def load(
    command_line: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Loaded:
    """
    The settings of one start.

    ``command_line`` has dotted names, None meaning "not typed"; ``environment`` is the process's
    own unless given; ``file`` must exist when given, otherwise ``config-center.toml`` in the
    working directory is read when it is there. Raises SettingInvalid with a sentence that names
    setting and source.
    """
    given: dict[str, object] = {}
    sources: dict[str, str] = {}
    typed = {name: value for name, value in (command_line or {}).items() if value is not None}
    for label, table in (  # the weakest first
        _from_file(file),
        ("environment", _from_environment(os.environ if environment is None else environment)),
        ("command line", typed),
    ):
        given.update(table)
        sources.update(dict.fromkeys(table, label))
    try:
        return Loaded(Settings.model_validate(_nested(given)), sources)
    except ValidationError as error:
        raise SettingInvalid(_sentence(error, sources)) from None


def explain(loaded: Loaded) -> list[Row]:
    """Every setting with its value and where it came from: what ``config check`` prints."""
    return [
        Row(
            name=name,
            variable=variable_of(name),
            value=_shown(_reach(loaded.settings, name)),
            default=_shown(_reach(_DEFAULTS, name)),
            source=loaded.sources.get(name, "default"),
            description=description,
        )
        for name, description in _FIELDS.items()
    ]


def environment_without_ours() -> dict[str, str]:
    """This process's environment without any setting of this project, for programs it starts."""
    ours = ("CONFIG_CENTER_", "DEVICE_GATEWAY_", "CONFIG_AGENT_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def token_variable() -> str:
    """The variable that the command line has its token from; of the two, one at most is set."""
    return next((name for name in _TOKENS if name in os.environ), _TOKENS[0])


def environment_lines() -> list[str]:
    """Every variable with its default, commented out: what ``config env`` prints."""
    rows = explain(Loaded(_DEFAULTS, {}))
    return [f"# {row.description}\n#{row.variable}={row.default}" for row in rows]


def markdown() -> str:
    """The table of all settings: what ``config doc`` prints."""
    lines = ["| setting | variable | default | meaning |", "|---|---|---|---|"]
    for row in explain(Loaded(_DEFAULTS, {})):
        default = f"`{row.default}`" if row.default else ""
        lines.append(f"| `{row.name}` | `{row.variable}` | {default} | {row.description} |")
    return "\n".join(lines) + "\n"


def variable_of(name: str) -> str:
    """The environment variable of a dotted name."""
    return SERVER_PREFIX + name.replace(".", "__").upper()


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _leaves(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, field.description or ""


_FIELDS = dict(_leaves(Settings))
_DEFAULTS = Settings()


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    """A variable set to nothing counts as not set, as compose files make them."""
    refuse_misspelt(environment)
    known = {variable_of(name): name for name in _FIELDS}
    ours = [name for name in sorted(environment) if name.startswith(SERVER_PREFIX)]
    for name in ours:
        if name not in known:
            raise SettingInvalid(f"nothing reads the variable {name}{nearest(name, known)}")
    return {known[name]: environment[name] for name in ours if environment[name].strip()}


def _from_file(file: Path | None) -> tuple[str, dict[str, object]]:
    path = file or FILE
    if file is None and not path.exists():
        return str(path), {}
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingInvalid(f"the file {path} cannot be read ({error.strerror})") from error
    except ValueError as error:  # TOML or UTF-8
        raise SettingInvalid(f"the file {path} is not TOML: {error}") from error
    table = dict(_flat(document))
    for name in table:
        if name not in _FIELDS:
            raise SettingInvalid(f"{path}: there is no setting {name}{nearest(name, _FIELDS)}")
    return str(path), table


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _nested(flat: Mapping[str, object]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name, value in flat.items():
        *sections, leaf = name.split(".")
        table = document
        for section in sections:
            table = table.setdefault(section, {})
        table[leaf] = value
    return document


def _reach(settings: Settings, name: str) -> object:
    found: object = settings
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _shown(value: object) -> str:
    if isinstance(value, Hidden):
        return "***"
    if isinstance(value, SecretStr):
        return without_password(value.get_secret_value())
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _sentence(error: ValidationError, sources: Mapping[str, str]) -> str:
    problems = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        message = problem["msg"].removeprefix("Value error, ")
        parts = [str(part) for part in problem["loc"]]
        name = next((n for n in _prefixes(parts) if n in _FIELDS), ".".join(parts))
        where = f"{name} ({sources.get(name, 'command line')}): " if name else ""
        problems.append(where + message)
    return "; ".join(problems)


def _prefixes(parts: list[str]) -> Iterator[str]:
    """A fault inside a list is the list's: no one can look up ``peers.0``."""
    for size in range(len(parts), 0, -1):
        yield ".".join(parts[:size])
