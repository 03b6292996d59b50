"""One line of the route table, from which router, OpenAPI and permission tests are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from config_center.access import REACHES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from config_center.api.context import Call

Handler = "Callable[[Call], Awaitable[web.StreamResponse]]"

PERMISSIONS = (
    *("public", "read", "review", "publish", "revert", "operate", "approve", "define", "report"),
    *("admin", "peer"),
)
JSON = "application/json"
BYTES = "application/octet-stream"
EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter or header: its JSON Schema type and what it means."""

    name: str
    description: str
    type: str = "string"
    place: str = "query"


@dataclass(frozen=True, slots=True)
class Route:
    """
    ``permission`` is ``public``, one that a role may have (config_center/access.py), or ``peer``
    for what only another center may ask; ``body`` is a pydantic model, ``answers`` the media type
    of a success. ``cost`` is "stream" or "whole" for what is let in at a limited rate
    (config_center/admission.py). ``about`` is one of REACHES, said where it does not follow from
    the path: a handler that shows and takes only what its caller reaches says "part". ``changes``:
    the audit tells of it although it is a GET.
    """

    method: str
    path: str
    permission: str
    summary: str
    handler: Callable[[Call], Awaitable[web.StreamResponse]]
    body: Any = None
    parameters: tuple[Parameter, ...] = field(default=())
    answers: str = JSON
    status: int = 200
    bodies: tuple[str, ...] = (JSON,)
    cost: str = ""
    about: str = ""
    changes: bool = False

    def __post_init__(self) -> None:
        if self.permission not in PERMISSIONS:
            raise ValueError(
                f"{self.method} {self.path} declares the permission {self.permission!r}; it is one "
                f"of {', '.join(PERMISSIONS)}"
            )
        if self.reach not in REACHES:
            raise ValueError(
                f"{self.method} {self.path} is about {self.about!r}; it is one of "
                f"{', '.join(REACHES)}"
            )

    @property
    def reach(self) -> str:
        """How far a token must reach; where nothing is said, as far as the path does."""
        if self.about:
            return self.about
        if "{key}" in self.path:
            return "key"
        return "whole" if "{ns}" in self.path else "center"

    @property
    def name(self) -> str:
        """``operationId``."""
        return self.handler.__name__


LIMIT = Parameter("limit", "how many, 1 to 1,000", "integer")
AFTER = Parameter("after", "the `next` of the page before")
PAGE = (LIMIT, AFTER)
AT_LEAST = Parameter("at_least", "EPOCH-REVISION: wait up to 1 s until this center has it")
IDEMPOTENCY = Parameter(
    "Idempotency-Key", "the same key never takes effect twice; 1 to 200 characters", place="header"
)
IF_MATCH = Parameter("If-Match", 'ETag, or "N" for latest version N', place="header")
IF_NONE_MATCH = Parameter("If-None-Match", "* : only if the key does not exist", place="header")
COMMENT = Parameter("comment", "why, at most 1,000 characters; beside JSON, a field of the body")
URGENT = Parameter(
    "urgent", "pass over a rule of the namespace; needs a comment, and is recorded", "boolean"
)
SUPERSEDE = Parameter("supersede", "abort the rollout that runs on the key", "boolean")
