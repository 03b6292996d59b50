"""
Opening the audit's file at a start.

A file whose end is not the one that was sealed is never continued: a new seal over it would make
whole what was cut or forged. It is put aside under its name with the time, as evidence, and a new
chain begins whose first entry says so.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
import time
from typing import TYPE_CHECKING

from client_sdk.errors import NotVerified, SettingInvalid
from config_center.audit.book import Book

if TYPE_CHECKING:
    from pathlib import Path

    from client_sdk.signing import Verifier

log = logging.getLogger(__name__)


def open_book(path: Path, verifier: Verifier) -> tuple[Book, str]:
    """The book, and why it begins ("": it goes on). Blocks. Raises SettingInvalid."""
    is_new = not path.exists()
    why = "" if not is_new else "there was no audit here before"
    try:
        try:
            return Book.open(path, secrets.token_hex(8), verifier), why
        except (NotVerified, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # the disk, and not what is on it
            aside = _put_aside(path)
            why = f"the audit before was not as it was sealed: {error}; it was put aside as {aside}"
            log.error("%s: %s", path, why)
            return Book.open(path, secrets.token_hex(8), verifier), why
    except (sqlite3.Error, OSError) as error:
        raise SettingInvalid(
            f"the audit {path} cannot be used ({error}); make room, or make it readable and "
            "writable for the center"
        ) from error


def _put_aside(path: Path) -> str:
    """Move the file away as it is, with what SQLite has beside it; its new name."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    aside = path.with_name(f"{path.stem}.{stamp}-{secrets.token_hex(2)}.broken.sqlite3")
    for suffix in ("", "-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + suffix))
    return aside.name
