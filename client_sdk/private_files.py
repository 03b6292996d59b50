"""
Files that only their owner may read: tokens and keys, read with suspicion and written whole.

The rule is PostgreSQL's for its key file: nothing for group and others when the file is ours; a
file that belongs to root may be readable by its group as well (how Kubernetes and Compose hand out
secrets). Symbolic links are followed, because those mount secrets through them; what counts is the
file that was opened. A directory whose files we believe is one that nobody else may write to. Where
there are no such permission bits (Windows) nothing is checked.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from client_sdk.errors import SettingInvalid

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST = 64 * 1024  # bytes; no key or token comes near


def read_private(path: Path, what: str) -> str:
    """
    The text of a private file.

    ``what`` names it in a refusal, for example ``the token file``. Raises SettingInvalid when it is
    absent, not a small regular text file, or open to others.
    """
    try:
        # Without O_NONBLOCK a FIFO of this name would hold the caller for ever.
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise SettingInvalid(f"{what} {path} cannot be read ({error.strerror})") from error
    with os.fdopen(fd, "rb") as file:
        _require_private(os.fstat(fd), path, what)
        data = file.read(_LARGEST + 1)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if not text.strip() or len(data) > _LARGEST:
        raise SettingInvalid(f"{what} {path} is empty, too long or not text; give the right file")
    return text


def write_private(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """
    Make or replace a file as a whole: after a crash there is the old one or the new one.

    Raises OSError.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(mode)  # not left to the umask
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    _sync_directory(path.parent)


def rename_private(source: Path, target: Path) -> None:
    """Put one file in the place of another, so that a crash leaves either. Raises OSError."""
    source.replace(target)
    _sync_directory(target.parent)


def require_own(directory: Path, what: str) -> None:
    """Raise SettingInvalid when others may put files into a directory whose files we believe."""
    if os.name == "nt":
        return
    found = directory.stat()
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise SettingInvalid(
            f"{what} {directory} can be written by other users: chmod 700 {directory}, or name a "
            "directory inside of it"
        )
    if os.geteuid() and found.st_uid not in (0, os.geteuid()):
        raise SettingInvalid(f"{what} {directory} belongs to another user: name one of your own")


def require_own_files(directory: Path, what: str) -> None:
    """
    Raise SettingInvalid for a file or link in there that another user put, when he still could.
    """
    if os.name == "nt" or not os.geteuid():  # root reads what containers map to other users
        return
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.stat(follow_symlinks=False).st_uid not in (0, os.geteuid()):
                raise SettingInvalid(
                    f"{entry.path} in {what} belongs to another user: see what it is, and remove it"
                )


def open_own(path: Path, flags: int) -> int:
    """
    Open, or make with 0600, a file that nothing may point elsewhere. Raises OSError for a link.
    """
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


def _require_private(found: os.stat_result, path: Path, what: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise SettingInvalid(f"{what} {path} is not a regular file")
    if os.name == "nt":
        return
    allowed = 0o740 if found.st_uid == 0 and os.geteuid() != 0 else 0o700
    if stat.S_IMODE(found.st_mode) & ~allowed:
        raise SettingInvalid(f"{what} {path} can be read by other users: chmod 600 {path}")


def _sync_directory(directory: Path) -> None:
    if os.name == "nt":
        return
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
