"""
From settings to a proven live object, in named steps: open, build, probe.

Each step may fail; the failure names it. An object that was built and is not fit to serve is
closed, also when the wait for it was cancelled or too long.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from client_sdk.errors import SealedValue
from client_sdk.modules.redaction import reason_of, secrets_of
from client_sdk.values import freeze

if TYPE_CHECKING:
    from collections.abc import Callable

    from client_sdk.modules.doing import Steps
    from client_sdk.modules.spec import ModuleSpec


class StepFailed(Exception):
    """A step failed. ``reason`` is redacted, and all that may be told."""

    def __init__(self, step: str, reason: str) -> None:
        self.step = step
        self.reason = reason
        super().__init__(f"{step}: {reason}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Opened settings: what a build gets, what they hash to, and what must not be told of them."""

    opened: Any
    identity: bytes
    secrets: frozenset[str]


def open_settings(key: str, stored: Any, open_sealed: Callable[[str, Any], Any]) -> Settings:
    """
    Open the sealed fields of ``stored``. Raises StepFailed for step ``sealed``.

    The identity is of the *opened* value, so a secret that was sealed anew, a comment in the
    author's YAML or a rollback to old settings builds nothing new.
    """
    try:
        opened = freeze(open_sealed(key, stored))
        secrets = secrets_of(stored, opened)
        text = orjson.dumps([key, opened], option=orjson.OPT_SORT_KEYS)
    except SealedValue as error:
        raise StepFailed("sealed", error.reason) from error
    except Exception as error:  # a boundary: whatever the opener raises refuses this one module
        raise StepFailed("sealed", reason_of(error)) from error
    return Settings(opened, hashlib.sha256(text).digest(), secrets)


async def build_proven(
    spec: ModuleSpec,
    settings: Settings,
    previous: Any,
    steps: Steps,
    dispose: Callable[[Any], None],
) -> Any:
    """
    Build and probe one object. Raises StepFailed for step ``build`` or ``probe``.

    ``dispose`` takes every object that was built and will not serve.
    """
    deadlines = spec.deadlines
    try:
        live = await steps.run(
            spec.build, settings.opened, previous, deadline=deadlines.build, late=dispose
        )
    except Exception as error:  # a boundary: whatever other people's build raises is a refusal
        raise StepFailed("build", reason_of(error, settings.secrets)) from error
    try:
        if spec.probe is not None:
            await _prove(spec, live, settings, steps)
    except BaseException:  # cancellation too: what was built must be closed
        dispose(live)
        raise
    return live


async def _prove(spec: ModuleSpec, live: Any, settings: Settings, steps: Steps) -> None:
    assert spec.probe is not None
    try:
        answer = await steps.run(spec.probe, live, deadline=spec.deadlines.probe)
        fit = bool(answer)
    except Exception as error:  # a boundary, as above
        raise StepFailed("probe", reason_of(error, settings.secrets)) from error
    if not fit:
        shown = answer if answer is None or answer is False else type(answer).__name__
        raise StepFailed("probe", f"the probe answered {shown}; a fit module answers True")
