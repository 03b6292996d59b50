"""
Whom a client trusts: one root, given or pinned at first contact.

Given as a file (``trust.json``) or as ``ed25519:BASE64``, the root is what was given. Without it,
over a path that proves itself (https, this machine), the list is fetched once, pinned in the state
directory, and one log line says so; over any other path nothing is trusted by luck, and the error
prints what to paste. A newer list of the same root replaces the pinned one; an older never does.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from client_sdk.errors import NotTrusted
from client_sdk.private_files import write_private
from client_sdk.signing import TrustList, parse_public, show_public

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

_PUBLIC = "ed25519:"


async def load_trust(
    given: str | None,
    state: Path,
    fetch: Callable[[], Awaitable[bytes]],
    *,
    first_contact: bool,
) -> TrustList:
    """
    The list to verify with. ``fetch`` reads the present one over the path; ``first_contact`` says
    that the path proves itself. Raises NotTrusted, or what ``fetch`` raises when nothing is pinned.
    """
    pin = state / "trust.json"
    if given is not None and not given.startswith(_PUBLIC):
        document = await asyncio.to_thread(_read, Path(given))
        return TrustList.parse(document)
    pinned = await asyncio.to_thread(_pinned, pin)
    root = parse_public(given) if given is not None else pinned.root if pinned else None
    if root is None and not first_contact:
        raise NotTrusted(
            "this path does not prove itself, so say whom to trust: run `config-center trust` "
            "beside the center and give the line it prints as trust= or CONFIG_CENTER_TRUST"
        )
    if pinned is not None and pinned.root == root:
        return pinned
    trust = TrustList.parse(await fetch(), root)
    if given is None:
        log.warning("first contact: root %s is trusted from now on", show_public(trust.root))
    await asyncio.to_thread(write_private, pin, trust.encode().decode("utf-8"), 0o600)
    return trust


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotTrusted(f"the trust file {path} cannot be read: {error.strerror}") from error


def _pinned(path: Path) -> TrustList | None:
    return TrustList.parse(path.read_bytes()) if path.is_file() else None
