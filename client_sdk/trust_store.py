"""
Whom a client trusts: one root, given or pinned at first contact.

Given as a file (``trust.json``) or as ``ed25519:BASE64``, the root is what was given. Without it,
over a path that proves itself (https, this machine), the list is fetched once, pinned in the state
directory, and one log line says so; over any other path nothing is trusted by luck, and the error
prints what to paste. A newer list of the same root replaces the pinned one; an older never does,
wherever it comes from: a path, or the file that was given when the fleet was younger. It is on disk
before it counts, so a restart cannot bring a refused key back.

With several paths the first that answers is asked, so a client whose preferred path is away still
starts. What a path may be trusted with is its own affair: a list signed by the given root is good
over any of them.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from client_sdk.errors import NotTrusted, TransportDown
from client_sdk.private_files import write_private
from client_sdk.signing import TrustList, parse_public, show_public
from client_sdk.waiting import in_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from client_sdk.signing import Verifier
    from client_sdk.transports.base import Transport

log = logging.getLogger(__name__)

_PUBLIC = "ed25519:"
_HOW = (
    "this path does not prove itself, so say whom to trust: run `config-center trust` beside the "
    "center and give the line it prints as trust= or CONFIG_CENTER_TRUST"
)


@dataclass(frozen=True, slots=True)
class MeetingPlace:
    """A path to ask over; ``proves_itself``: who answers there can be trusted at first contact."""

    connect: Callable[[], Transport]
    proves_itself: bool


def known_trust(given: str | None, state: Path) -> TrustList | None:
    """
    The list to verify with, as far as it is known without asking anybody. Blocks on the disk.

    Raises NotTrusted for a file that cannot be read or is not a list.
    """
    pinned = _pinned(state / "trust.json")
    if given is not None and not given.startswith(_PUBLIC):
        file = TrustList.parse(_read(Path(given).expanduser()))
        newer = pinned is not None and pinned.root == file.root and pinned.version > file.version
        return pinned if newer else file
    if given is None or pinned is None or pinned.root == parse_public(given):
        return pinned
    log.warning("the pinned root is not the one that was given; the pinned list is not used")
    return None


async def learn_trust(
    given: str | None, state: Path, places: Sequence[MeetingPlace], within: float
) -> TrustList:
    """
    Ask for the list, place by place, and pin it.

    Raises NotTrusted when no place may be believed or a list is not the root's, TransportDown when
    nobody answered within ``within`` seconds.
    """
    root = parse_public(given) if given is not None else None
    able = [place for place in places if root is not None or place.proves_itself]
    if not able:
        raise NotTrusted(_HOW)
    failures = []
    for place in able:
        try:
            document = await in_time(_ask(place), within / len(able))
        except asyncio.TimeoutError:
            failures.append("no answer in time")
        except TransportDown as error:
            failures.append(str(error))
        else:
            trust = TrustList.parse(document, root)
            if root is None:
                log.warning(
                    "first contact: root %s is trusted from now on", show_public(trust.root)
                )
            await asyncio.to_thread(_pin, state, trust)
            return trust
    raise TransportDown("; ".join(failures))


async def renew_trust(verifier: Verifier, state: Path, document: bytes) -> None:
    """
    Take a list that a path has, when it is newer: pinned first, believed then. Raises NotTrusted
    for one that the root of ``verifier`` did not sign.
    """
    trust = TrustList.parse(document, verifier.trust.root)
    if trust.version <= verifier.trust.version:
        return
    await asyncio.to_thread(_pin, state, trust)
    if verifier.renew(trust):
        gone = f"; refused: {', '.join(sorted(trust.refused))}" if trust.refused else ""
        log.info("list %d of signing keys: %s%s", trust.version, ", ".join(trust.keys), gone)


async def _ask(place: MeetingPlace) -> bytes:
    transport = place.connect()
    try:
        await transport.open()
        return await transport.read_trust()
    finally:
        await transport.close()


def _pin(state: Path, trust: TrustList) -> None:
    try:
        write_private(state / "trust.json", trust.encode().decode("utf-8"), 0o600)
    except OSError as error:  # the next start has to meet the center again
        log.error("whom to trust cannot be written down (%s); it is believed until the end", error)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotTrusted(f"the trust file {path} cannot be read: {error.strerror}") from error


def _pinned(path: Path) -> TrustList | None:
    return TrustList.parse(path.read_bytes()) if path.is_file() else None
