"""
A whole center in one object: keys, store, journal, ledgers, service, web site.

``async with Center(settings) as center:`` is up when the block begins and gone when it ends, in the
reverse order of its making, whatever failed in between.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from aiohttp import web

from client_sdk.errors import ConfigError, SettingInvalid
from client_sdk.http_log import http_log
from client_sdk.listening import Bounds, Connections, listen
from client_sdk.private_files import read_private, write_private
from client_sdk.signing import TrustList, Verifier, show_public
from config_center.app import make_app
from config_center.audit.audit import FILE as AUDIT_FILE
from config_center.audit.audit import Audit
from config_center.audit.audit import Keep as AuditKeep
from config_center.checks import Level, judge
from config_center.embedded import EmbeddedStore
from config_center.examining import Examiner
from config_center.journal import Journal
from config_center.keys import SIGNING, KeyFiles, load_or_create
from config_center.ledger.keeper import Rhythm
from config_center.ledger.registry import SYSTEM, Registry
from config_center.looking import look_at_machine
from config_center.metrics import Metrics
from config_center.owner import OwnerLock
from config_center.peers import Peers
from config_center.problems import Problem
from config_center.retention import DAY_MS, Keep
from config_center.rotation import Rotation
from config_center.secrets.exchange import HeldKeks
from config_center.service import Service
from config_center.store import open_store
from config_center.store.base import Retention
from config_center.token_uses import FILE as TOKEN_USES
from config_center.weak_secrets import refuse_weak

if TYPE_CHECKING:
    from pathlib import Path

    from client_sdk.signing import SigningKey
    from config_center.keys import CenterKeys
    from config_center.settings import Settings
    from config_center.store.base import Store

log = logging.getLogger(__name__)

_CLOSE_WITHIN = 3.0
_GRACE = 3600  # seconds; longer than any commit may take between a body and its record
_KEEP_ALIVE = 20.0  # a fleet that read the whole once leaves as many sockets idle as it has clients
_LINGER = 1.0  # for what a client still sends after it was refused


class Center:
    """Read ``url``, ``admin_token``, ``service`` and ``registry`` once it is entered."""

    def __init__(self, settings: Settings, rhythm: Rhythm | None = None) -> None:
        self.settings = settings
        self._rhythm = rhythm or Rhythm(beat_every=settings.beat_every)
        self._stack = AsyncExitStack()
        self._metrics = Metrics()
        self.url = ""
        self.admin_token = ""
        self.store_url = ""
        self.service: Service
        self.registry: Registry

    async def __aenter__(self) -> Center:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _open(self) -> None:
        data = self.settings.data
        lock = await asyncio.to_thread(_claim, data)
        self._stack.callback(lock.release)
        keys, held = await self._keys(data)
        store = await self._open_store()
        journal = await Journal.open(data / "journal.sqlite3")
        self._stack.push_async_callback(journal.close)
        await _refuse_foreign(store, journal, keys.trust, data)
        others, rotation = await self._open_registry(store, journal, keys, held)
        audit = await self._audit(keys)

        def sign_with(key: SigningKey) -> None:
            others.sign_with(key)
            audit.sign_with(key)

        self.registry.on_new_key = sign_with
        await self._open_service(held, rotation, audit)
        self.admin_token = await self._admin_token()
        examiner = Examiner(self.settings, self.service, self._metrics)
        self._stack.push_async_callback(examiner.close)
        examiner.start()
        self.url = await self._listen()

    async def _keys(self, data: Path) -> tuple[CenterKeys, HeldKeks]:
        source = self.settings.kek_source
        keys = await asyncio.to_thread(load_or_create, data, secrets.token_bytes, source)
        held = HeldKeks(keys.keks, self.settings.keks_in(data))
        for where, secret in (
            (data / SIGNING, keys.signing.seed),
            *((held.where, kek.secret) for kek in keys.keks.keys),
        ):
            refuse_weak(where, secret, "a center makes its own at its first start")
        return keys, held

    async def _open_store(self) -> Store:
        self.store_url = await self._store()
        retention, replicas = _retention(self.settings), self.settings.ack_replicas
        store = open_store(self.store_url, retention, replicas=replicas)
        self._stack.push_async_callback(store.close)
        await store.open()
        await self._look_first(store)
        return store

    async def _open_registry(
        self, store: Store, journal: Journal, keys: CenterKeys, held: HeldKeks
    ) -> tuple[Peers, Rotation]:
        center = f"center-{keys.signing.kid[:8]}-{secrets.token_hex(3)}"
        self.registry = Registry(
            store,
            journal,
            keys.signing,
            Verifier(keys.trust, _clock_ms),
            center,
            self._rhythm,
            _keep(self.settings),
        )
        rotation = Rotation(  # before it opens: a newer list that it finds is kept on disk
            self.registry,
            KeyFiles(self.settings.data),
            every=self._rhythm.beat_every,
            clock_ms=_clock_ms,
            rng=secrets.token_bytes,
        )
        others = Peers(self.settings.peers, keys.signing, self.registry.verifier)
        self.registry.ask_peers, self.registry.peers_know = others.ask, others.know
        self.registry.ring_rule = held.believe
        self._stack.push_async_callback(self.registry.close)
        await self.registry.open()
        await self.registry.publish_trust()
        return others, rotation

    async def _open_service(self, held: HeldKeks, rotation: Rotation, audit: Audit) -> None:
        self.service = Service(
            self.registry,
            self.settings.limits,
            held,
            rotation,
            clock_ms=_clock_ms,
            rng=secrets.token_bytes,
            audit=audit,
            oidc=self.settings.oidc,
        )
        await self.service.open()
        self._stack.push_async_callback(self.service.close)
        if self.settings.lost_secret_key:
            await self.service.keks.give_up(self.settings.lost_secret_key)
        self.service.keks.require()
        uses = self.service.tokens.uses
        self._stack.push_async_callback(uses.close)
        await uses.open(self.settings.data / TOKEN_USES)

    async def _audit(self, keys: CenterKeys) -> Audit:
        keep = self.settings.retention
        audit = await Audit.open(
            self.settings.data / AUDIT_FILE,
            keys.signing,
            self.registry.verifier,
            AuditKeep(keep.audit_days, keep.audit_entries),
        )
        self._stack.push_async_callback(audit.close)
        try:
            await audit.reconcile(self.registry.journal)
        except ConfigError as error:
            log.warning("the audit was not compared with the journal: %s", error)
        return audit

    async def _store(self) -> str:
        given = self.settings.redis_url
        if given is not None:
            return given
        embedded = EmbeddedStore(
            self.settings.data,
            server_binary=self.settings.server_binary,
            run_dir=self.settings.store_run_dir,
        )
        await self._stack.enter_async_context(embedded)
        return embedded.url

    async def _look_first(self, store: Store) -> None:
        """Say what is wrong with the machine and the store. Raises SettingInvalid where it must."""
        machine = await asyncio.to_thread(look_at_machine, self.settings)
        for check in judge(replace(machine, store=await store.facts())):
            if check.level is not Level.OK:
                log.warning("%s: %s; %s", check.subject, check.sentence, check.mend)
            if check.fatal:
                raise SettingInvalid(f"{check.sentence}: {check.mend}")

    async def _admin_token(self) -> str:
        """
        What opens for the first admin: on disk before it opens anything, and offered again at every
        start until the store has it. Where every admin's token has ended, a start makes a new one:
        what was revoked never opens again. Raises SettingInvalid for one that could be guessed.
        """
        path, tokens = self.settings.data / "admin.token", self.service.tokens
        there, token = await asyncio.to_thread(path.exists), ""
        if there:
            token = (await asyncio.to_thread(read_private, path, "the admin token")).strip()
            refuse_weak(path, token, "remove the file before the first start makes it an admin's")
        if not there or (tokens.ended(token) and not tokens.has_admin()):
            token = tokens.mint()
            await asyncio.to_thread(write_private, path, token + "\n", 0o600)
        made = False
        try:
            made = await tokens.ensure_admin(token)
            if made:
                await self.service.audit.note("the token of the first admin was made")
        except (Problem, ConfigError) as error:
            log.warning("the first admin's token does not open yet: %s", error)
            return token
        if not there and not made:  # there are admins, and this is another center's directory
            await asyncio.to_thread(path.unlink)
            return ""
        return token

    async def _listen(self) -> str:
        app = make_app(self.service, self.settings, self._metrics)
        app.on_shutdown.append(self._let_go)
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=http_log("config_center"),
            shutdown_timeout=_CLOSE_WITHIN,
            auto_decompress=False,  # no body of ours is compressed, and none unfolds in memory
            keepalive_timeout=_KEEP_ALIVE,
            lingering_time=_LINGER,
        )
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        where, context = self.settings.listen, self._tls()
        assert runner.server is not None
        connections = Connections(_bounds(self.settings))
        try:
            server = await listen(runner.server, connections, where.host, where.port, context)
        except OSError as error:
            raise SettingInvalid(
                f"cannot listen on {where}: {error.strerror}; give another --listen HOST:PORT"
            ) from error
        self._stack.callback(connections.refuse_more)
        self._stack.callback(server.close)  # no new ones; the runner then ends those there are
        self._metrics.connections = connections
        host, port = server.sockets[0].getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        url = f"{'http' if context is None else 'https'}://{shown}:{port}"
        await self._say_where(url)
        return url

    async def _let_go(self, _: web.Application) -> None:
        """Whoever listens hears what he is due and is let go; the server would wait for him."""
        for ledger in self.registry.ledgers.values():
            ledger.watchers.close_behind("the center stops")

    async def _say_where(self, url: str) -> None:
        """For the command line on this machine; gone when the center is."""
        path = self.settings.data / "center.url"
        await asyncio.to_thread(write_private, path, url + "\n")
        self._stack.callback(path.unlink, missing_ok=True)

    def _tls(self) -> ssl.SSLContext | None:
        if self.settings.tls_cert is None or self.settings.tls_key is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.settings.tls_cert, self.settings.tls_key)
        return context


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000


def _claim(data: Path) -> OwnerLock:
    """The data directory, made when it is not there. Raises SettingInvalid or StateInUse."""
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        return OwnerLock.acquire(data / "owner.lock", f"the data directory {data}")
    except OSError as error:
        raise SettingInvalid(
            f"the data directory {data} cannot be used ({error.strerror}); make it writable, or "
            "give another one with --data"
        ) from error


async def _refuse_foreign(store: Store, journal: Journal, trust: TrustList, data: Path) -> None:
    """
    A new center on the store of others: its keys are not theirs, so each would take the other for a
    forger. Raises SettingInvalid.
    """
    if await journal.newest(SYSTEM) is not None:
        return  # it was ours: whoever put another list there is found by the guard
    try:
        document = await store.read_trust(SYSTEM)
        theirs = trust if document is None else TrustList.parse(document)
    except ConfigError:
        return
    if theirs.root != trust.root:
        raise SettingInvalid(
            f"this store belongs to centers with another root key, {show_public(theirs.root)}: to "
            "be one of them, put root.key, signing.key and secrets.key of one's data directory "
            f"into {data} before the first start; to be on your own, give another store"
        )


def _bounds(settings: Settings) -> Bounds:
    admission = settings.admission
    everybody_is_the_proxy = settings.behind_proxy
    return Bounds(
        admission.connections,
        None if everybody_is_the_proxy else admission.connections_per_address,
    )


def _keep(settings: Settings) -> Keep:
    keep = settings.retention
    return Keep(
        row_ms=keep.journal_days * DAY_MS,
        rows=keep.journal_rows,
        version_ms=keep.version_days * DAY_MS,
        versions=keep.versions,
        id_ms=keep.id_seconds * 1000,
        grace=max(_GRACE, keep.log_seconds),
    )


def _retention(settings: Settings) -> Retention:
    keep = settings.retention
    return Retention(keep.log_records, keep.log_seconds, keep.log_bytes, keep.id_seconds)
