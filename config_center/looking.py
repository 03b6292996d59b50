"""
Where a center's own facts come from: its machine, its data directory, its store, its fleet.

Thin on purpose: what the facts mean is said in ``config_center/checks``. Nothing here writes, and
nothing needs a center that runs, except :func:`look_at_center`.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sqlite3
import stat
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from client_sdk.errors import ConfigError, NotVerified
from client_sdk.keks import Keks, KekSource
from client_sdk.records import Position
from client_sdk.signing import Verifier
from config_center import keys
from config_center.audit import book
from config_center.audit.audit import FILE as AUDIT
from config_center.checks.base import (
    AuditFacts,
    DiskFacts,
    Facts,
    FileFacts,
    JournalFacts,
    StoreFacts,
)
from config_center.peers import Peers
from config_center.server_binary import find_server
from config_center.store import open_store
from config_center.store.base import Retention
from config_center.token_uses import FILE as TOKEN_USES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from config_center.ledger.ledger import Ledger
    from config_center.service import Service
    from config_center.settings import Settings
    from config_center.store.base import Store

JOURNAL = "journal.sqlite3"
_PRIVATE = (
    *("admin.token", TOKEN_USES, keys.SIGNING, keys.SECRETS, keys.ROOT),
    *(JOURNAL, f"{JOURNAL}-wal", AUDIT, f"{AUDIT}-wal"),
)
_LATE_AFTER = 30.0  # seconds that a change may take to an instance


def look_at_machine(settings: Settings) -> Facts:
    """What the disk and the kernel say. Blocks on both."""
    data = settings.data.absolute()
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Facts(
        now=time.time(),
        installed=Path(__file__).stat().st_mtime,
        user=os.geteuid(),
        open_files=1 << 30 if soft == resource.RLIM_INFINITY else soft,
        watches=settings.admission.watches,
        ack_replicas=settings.ack_replicas,
        keys=_keys(data, settings.kek_source),
        files=_files(data),
        disk=look_at_disk(data),
    )


def look_at_disk(data: Path) -> DiskFacts | None:
    """The room on the file system of ``data``, or of what is there of its path; None: unseen."""
    there = next((path for path in (data, *data.parents) if path.is_dir()), None)
    try:
        usage = None if there is None else shutil.disk_usage(there)
    except OSError:
        return None
    return None if usage is None else DiskFacts(str(there), usage.free, usage.total)


def look_at_journal(data: Path) -> JournalFacts | str | None:
    """
    What SQLite finds in the journal, read beside whoever writes it. None where there is none yet, a
    sentence where it cannot be read. Blocks for as long as reading all of it takes.
    """
    path = data.absolute() / JOURNAL
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as db:
            found = [str(row[0]) for row in db.execute("PRAGMA quick_check(5)")]
            query = "SELECT ns, COUNT(*) FROM rows WHERE st = 'orphan' GROUP BY ns"
            orphans = {} if found != ["ok"] else dict(db.execute(query).fetchall())
    except sqlite3.DatabaseError as error:
        return str(error)
    problems = tuple(found) if found != ["ok"] else ()
    return JournalFacts(str(path), path.stat().st_size, problems, orphans)


def look_at_audit(data: Path, verifier: Verifier, down: str = "") -> AuditFacts | None:
    """
    Whether the audit's end is the sealed one; None where there is none yet. ``down``: why the
    center that runs cannot write it. Blocks on the disk.
    """
    path = data.absolute() / AUDIT
    if not path.exists():
        return None
    aside = tuple(sorted(str(each) for each in data.glob(f"{path.stem}.*.broken.sqlite3")))
    try:
        with closing(book.reader(path)) as db:
            return AuditFacts(str(path), book.examine_end(db, verifier), "", down, aside)
    except (NotVerified, sqlite3.Error) as error:
        return AuditFacts(str(path), 0, str(error), down, aside)


async def look_at_store(store: Store) -> StoreFacts | Mapping[str, StoreFacts | str] | str:
    """What the store's server says, or why it cannot be asked; of a cluster, node by node."""
    try:
        return await store.facts()
    except ConfigError as error:
        return str(error)


async def look_without_center(settings: Settings) -> Facts:
    """Everything that can be seen of a center that does not run."""
    facts = await asyncio.to_thread(look_at_machine, settings)
    journal = await asyncio.to_thread(look_at_journal, settings.data)
    facts = replace(facts, store=await _store_of(settings), journal=journal)
    if facts.keys == "":
        source = _looked_at(settings.kek_source)
        trusted = Verifier((await asyncio.to_thread(keys.load, settings.data, source)).trust)
        audit = await asyncio.to_thread(look_at_audit, settings.data, trusted)
        facts = replace(facts, audit=audit)
    if facts.keys == "" and settings.peers:
        loaded = await asyncio.to_thread(keys.load, settings.data, _looked_at(settings.kek_source))
        others = Peers(settings.peers, loaded.signing, Verifier(loaded.trust))
        facts = replace(facts, peers=await others.look())
    return facts


async def look_at_center(service: Service, settings: Settings) -> Facts:
    """Everything that a center that runs can see."""
    registry = service.registry
    others = Peers(settings.peers, registry.key, registry.verifier)
    facts = await asyncio.to_thread(look_at_machine, settings)
    journal = await asyncio.to_thread(look_at_journal, settings.data)
    if isinstance(journal, JournalFacts):
        journal = replace(journal, orphans=await orphans_of(service))
    return replace(
        facts,
        store=await look_at_store(registry.store),
        journal=journal,
        audit=await asyncio.to_thread(
            look_at_audit, settings.data, registry.verifier, service.audit.down
        ),
        peers=await others.look(),
        modes=service.modes(),
        frozen=frozen_in(service),
        fleets={
            ns: space.fleet.standing(facts.now, lateness(space.ledger, facts.now))
            for ns, space in service.spaces.items()
        },
    )


async def orphans_of(service: Service) -> dict[str, int]:
    """How many changes of each namespace wait for a decision; only those that have any."""
    counts = {ns: len(await service.recovery.orphans(ns)) for ns in list(service.spaces)}
    return {ns: count for ns, count in counts.items() if count}


def frozen_in(service: Service) -> dict[str, dict[str, str]]:
    """Each freeze as people read it, by namespace."""
    return {ns: freeze.words() for ns, freeze in service.policies.freezes().items()}


def lateness(ledger: Ledger, now: float) -> Callable[[str], bool]:
    """
    Says of a position (as a text) whether what follows it has been there for long. ``now`` in
    seconds. What is not known any more has been there for long; what cannot be read is nothing.
    """
    known: dict[str, bool] = {}

    def is_late(text: str) -> bool:
        if text not in known:
            known[text] = _is_late(ledger, text, now)
        return known[text]

    return is_late


def _is_late(ledger: Ledger, text: str, now: float) -> bool:
    try:
        position = Position.parse(text)
    except ValueError:
        return False
    if position >= ledger.state.position:
        return False
    followed = next((record for at, record in ledger.recent.items() if at > position), None)
    return followed is None or now - followed.header.ts / 1000 > _LATE_AFTER


async def _store_of(settings: Settings) -> StoreFacts | Mapping[str, StoreFacts | str] | str:
    url = settings.redis_url
    if url is None:
        try:
            binary = await find_server(settings.server_binary)
        except ConfigError as error:
            return str(error)
        return StoreFacts(binary.product, binary.version, config={})
    store = open_store(url, Retention())
    try:
        return await look_at_store(store)
    finally:
        await store.close()


def _keys(data: Path, source: KekSource | None) -> str | None:
    if not (data / keys.TRUST).exists():
        return None
    try:
        loaded = keys.load(data, _looked_at(source))
        if loaded.signing.kid not in loaded.trust.keys:
            return (
                f"the signing key {loaded.signing.kid} is refused since list "
                f"{loaded.trust.version}; config-center trust rotate"
            )
    except (ConfigError, OSError) as error:
        return str(error)
    return ""


def _looked_at(source: KekSource | None) -> KekSource | None:
    """A command is not run for a look; it is at every start."""
    return _Unasked("", "") if source is not None and source.kind == "command" else source


class _Unasked(KekSource):
    kind = "unasked"
    where = "a command"

    def read(self) -> Keks:
        return Keks()


def _files(data: Path) -> tuple[FileFacts, ...]:
    if not data.is_dir():
        return ()
    paths = [data, *(data / name for name in _PRIVATE), data / "store"]
    return tuple(file for path in paths if (file := _file(path)) is not None)


def _file(path: Path) -> FileFacts | None:
    """None where it is not there; SQLite takes its files away when a center ends."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    is_directory = stat.S_ISDIR(found.st_mode)
    return FileFacts(str(path), stat.S_IMODE(found.st_mode), found.st_uid, is_directory)
