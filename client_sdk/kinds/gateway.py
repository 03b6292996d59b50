"""Who may connect to a gateway, how much it takes on, and when it is restarted."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from client_sdk.kinds.base import Kind, Settings

# As in greyscale.check_pattern: an id, or the beginning of ids and a star at the end.
Pattern = Annotated[str, StringConstraints(pattern=r"^[^*]{0,63}[^*]\*?$|^\*$")]


class Devices(Settings):
    """``listed`` admits the ids and ``24:6f:28:*`` patterns of ``list``; absent: by address."""

    admit: Literal["all", "listed"] | None = None
    list: Annotated[tuple[Pattern, ...], Field(max_length=100_000)] = ()


class Limits(Settings):
    """What is absent is as the process was started with."""

    sessions: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    idle_seconds: Annotated[float | None, Field(gt=0, le=86_400)] = None
    turn_seconds: Annotated[float | None, Field(gt=0, le=3_600)] = None


class Restart(Settings):
    """Restart when one is reached; absent: never for that reason. ``at`` is local time, HH:MM."""

    every_seconds: Annotated[int | None, Field(ge=60)] = None
    at: Annotated[str | None, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = None
    memory_bytes: Annotated[int | None, Field(ge=1_048_576)] = None
    drain_seconds: Annotated[float, Field(ge=0, le=3_600)] = 60.0


class Gateway(Settings):
    """All of it may be absent."""

    devices: Devices = Devices()
    limits: Limits = Limits()
    restart: Restart = Restart()


KIND = Kind("gateway", Gateway)
