"""What a live module is: the key of its settings, and how it is made, proven and let go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from client_sdk.contents import KEY
from client_sdk.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from client_sdk.contents import Content

ADOPT = ("turn",)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds a step may take. A step that takes longer has failed."""

    build: float = 60.0
    probe: float = 15.0
    close: float = 30.0


@dataclass(frozen=True, slots=True)
class ModuleSpec:
    """
    One module.

    ``build(settings, previous)`` gives the live object: a plain function (it runs in a thread of
    its own, never on the loop) or a coroutine function. ``settings`` is the deeply read-only value
    with its secrets opened, ``previous`` the object that serves now, or ``None``. ``probe(object)``
    says by a true answer that the object is fit to serve; a false one, ``None`` too, or an error
    refuses it. ``close(object)`` lets go; without it ``aclose`` or ``close`` of the object is
    called, where there is one. Raises UsageError.
    """

    key: str
    build: Callable[[Any, Any], Any]
    probe: Callable[[Any], Any] | None = None
    close: Callable[[Any], Any] | None = None
    adopt: str = "turn"
    deadlines: Deadlines = Deadlines()

    def __post_init__(self) -> None:
        if not KEY.match(self.key):
            raise UsageError(f"{self.key!r} is not a key; a module is named by its settings' key")
        if self.adopt not in ADOPT:
            raise UsageError(
                f"adopt={self.adopt!r} is not offered yet: a module is taken over between turns, "
                'adopt="turn"'
            )
        if not callable(self.build):
            raise UsageError(f"module {self.key} needs a build function: build(settings, previous)")
        for step in (self.probe, self.close):
            if step is not None and not callable(step):
                raise UsageError(f"probe and close of {self.key} must be callable")


@dataclass(frozen=True, slots=True)
class Order:
    """A wish for a module of ``content`` (``None``: the default), whose value is ``stored``."""

    spec: ModuleSpec
    content: Content | None
    stored: Any

    @property
    def source(self) -> object:
        """What the settings are stored as: equal sources give equal settings."""
        if self.content is None:
            return (self.spec.key, None, None)
        return (self.spec.key, self.content.sha256, self.content.format)

    @property
    def version(self) -> int | None:
        """The version of the content, ``None`` for a default."""
        return None if self.content is None else self.content.version
