"""The gateway's settings: one frozen model, and the only file here that reads the environment.

Precedence: command line, environment (`DEVICE_GATEWAY_LISTEN`, nested names joined by `__`:
`DEVICE_GATEWAY_LIMITS__SESSIONS`), the file `device-gateway.toml`, defaults. A name that is not
known is refused with the nearest one that is: a misspelt limit must not be a limit that is not set.
What the SDK needs (`CONFIG_CENTER_URL`, `_TOKEN`, `_TRUST` ...) it reads itself.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from client_sdk.errors import SettingInvalid
from device_gateway.egress import AND_THIS_MACHINE, EVERYWHERE, Egress

PREFIX: Final = "DEVICE_GATEWAY_"
FILE: Final = Path("device-gateway.toml")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_ADDRESS: Final = re.compile(r"(?P<host>[^:\[\]]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")


def _listed(value: object) -> object:
    """`a,b` in the environment, an array in TOML."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


class Limits(BaseModel):
    """How much one process takes on; times in seconds, sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    sessions: int = Field(5_000, ge=1, description="live sessions; one more is answered 503")
    connections_per_address: int = Field(
        5_000, ge=1, description="open sockets of one address; more are cut at once"
    )
    message_bytes: int = Field(64 * 1024, ge=1024, description="largest message of a device")
    write_buffer_bytes: int = Field(
        256 * 1024, ge=4096, description="unsent bytes at which a slow device is cut"
    )
    hello_seconds: float = Field(10.0, gt=0, description="from the upgrade to the device's hello")
    idle_seconds: float = Field(180.0, gt=0, description="without any message from the device")
    turn_seconds: float = Field(60.0, gt=0, description="one whole answer")
    drain_seconds: float = Field(5.0, ge=0, description="for running answers when the gateway ends")
    known_devices: int = Field(100_000, ge=1, description="devices that are remembered")
    known_days: float = Field(30.0, gt=0, description="how long a device that stays away is known")


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        hide_input_in_errors=True,
    )

    center: str | None = Field(None, description="URL of the center; none: CONFIG_CENTER_URL")
    namespace: str | None = Field(None, description="none: CONFIG_CENTER_NAMESPACE")
    instance: str = Field("gateway-1", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    listen: str = Field("127.0.0.1:8000", description="for devices; port 0 takes any")
    public_url: str | None = Field(
        None, description="ws or wss URL that devices are told; none: the Host they asked"
    )
    admin_listen: str = Field("127.0.0.1:8001", description="metrics, health, sessions, notices")
    admin_token: SecretStr | None = Field(
        None, description="bearer token of the admin listener; required off loopback"
    )
    data: Path = Field(Path("data"), description="where the gateway's own key is kept")
    token_key: SecretStr | None = Field(
        None, description="signs the devices' tokens; the same in all gateways; none: made once"
    )
    timezone_minutes: int = Field(0, ge=-720, le=840, description="told to devices, east of UTC")
    log_format: Literal["text", "json"] = Field(
        "text", description="lines of the log: for people, or one JSON object each"
    )
    provider_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = Field(
        (),
        description="where providers may be: names, *.names, addresses, networks, * for any; none: "
        "*, and this machine while devices come from it alone",
    )
    limits: Limits = Limits()

    @field_validator("listen", "admin_listen")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        address(value)
        return value

    @field_validator("public_url")
    @classmethod
    def _is_readable_by_a_device(cls, value: str | None) -> str | None:
        # The firmware splits the port at the first colon after the host, whatever comes later.
        if value and not re.fullmatch(r"wss?://[A-Za-z0-9.-]+(:\d{1,5})?(/[^:\s]*)?", value):
            raise ValueError("must look like ws://gateway.example:8000/xiaozhi/v1/, no IPv6")
        return value

    @field_validator("provider_hosts")
    @classmethod
    def _is_a_list_of_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Egress.of(value)
        return value

    @property
    def egress(self) -> Egress:
        """Where providers may be."""
        return Egress.of(
            self.provider_hosts or (AND_THIS_MACHINE if self.on_loopback else EVERYWHERE)
        )

    @property
    def on_loopback(self) -> bool:
        """Whether devices can only come from this machine."""
        return address(self.listen)[0] in _LOOPBACK

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, FILE)


def address(text: str) -> tuple[str, int]:
    """Split HOST:PORT; raises ValueError with the shape it should have."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 65_535:
        raise ValueError(f"{text!r} is not HOST:PORT, for example 127.0.0.1:8000")
    return match["host"].strip("[]"), int(match["port"])


def load(given: Mapping[str, Any] | None = None) -> Settings:
    """
    Read all four sources. `given` is the command line; None there means not typed.

    Raises:
        SettingInvalid: a name nobody knows (with the nearest), a value that cannot be, a file
            that is not TOML, an admin listener open to the network without a token.
    """
    _refuse_unknown(name for name in os.environ if name.startswith(PREFIX))
    typed = {name: value for name, value in (given or {}).items() if value is not None}
    try:
        settings = Settings(**typed)
    except ValidationError as wrong:
        raise SettingInvalid(_sentence(wrong)) from None
    except tomllib.TOMLDecodeError as wrong:
        raise SettingInvalid(f"{FILE} is not TOML: {wrong}") from None
    if settings.admin_token is None and address(settings.admin_listen)[0] not in _LOOPBACK:
        raise SettingInvalid(
            f"admin_listen {settings.admin_listen} is open to the network: set "
            f"{PREFIX}ADMIN_TOKEN, or listen on 127.0.0.1"
        )
    return settings


def names(model: type[BaseModel] = Settings, prefix: str = "") -> list[str]:
    """Every name that can be set, nested ones joined by `__`."""
    found = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found += names(kind, f"{prefix}{name}__")
        else:
            found.append(prefix + name)
    return found


def _refuse_unknown(variables: Iterable[str]) -> None:
    known = [PREFIX + name.upper() for name in names()]
    for variable in variables:
        if variable.upper() not in known:
            raise SettingInvalid(f"{variable} is not a setting{_nearest(variable, known)}")


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.5)
    close = close or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _sentence(wrong: ValidationError) -> str:
    first = wrong.errors(include_url=False, include_input=False)[0]
    name = "__".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{name} in {FILE} is not a setting{_nearest(name, names())}"
    return f"{name}: {first['msg'].removeprefix('Value error, ')}"
