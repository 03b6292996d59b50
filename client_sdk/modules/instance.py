"""A live object of a module: what it was made of, and how it is let go."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from client_sdk.modules.redaction import reason_of

if TYPE_CHECKING:
    from client_sdk.modules.doing import Steps
    from client_sdk.modules.spec import ModuleSpec

_log = logging.getLogger(__name__)


class Instance:
    """
    One live object, shared by all who get the same settings.

    ``identity`` is what its opened settings hash to; ``made_of`` the stored contents that are known
    to come to it.
    """

    __slots__ = ("identity", "live", "made_of", "secrets", "spec")

    def __init__(
        self, spec: ModuleSpec, identity: bytes, live: Any, secrets: frozenset[str]
    ) -> None:
        self.spec = spec
        self.identity = identity
        self.live = live
        self.secrets = secrets
        self.made_of: set[object] = set()

    def __repr__(self) -> str:
        return f"Instance({self.spec.key}, {self.identity.hex()[:8]})"


async def let_go(spec: ModuleSpec, live: Any, secrets: frozenset[str], steps: Steps) -> None:
    """Close a live object. Never raises: an error is logged, the object is gone for us."""
    try:
        if spec.close is not None:
            await steps.run(spec.close, live, deadline=spec.deadlines.close)
            return
        for name in ("aclose", "close"):
            own = getattr(live, name, None)
            if callable(own):
                await steps.run(own, deadline=spec.deadlines.close)
                return
    except Exception as error:  # a boundary: what other people's close raises ends here
        _log.warning("closing module %s failed: %s", spec.key, reason_of(error, secrets))
