"""
Two files of a client's directory that no signature covers: what is held back, and what is on
probation (probation.py).

Both hold entries that serve as they stand, so each begins with an HMAC under a key of the client's
token: whoever can write to the directory, and no more, can have them forgotten but not forged.
Without a token it is a checksum. After a change of the token nothing held back is known any more,
and the newest entries are tried.

``held`` is replaced whole and synced. ``probation`` is written in place, before each change, and
not synced: it has to outlive the process. A torn one is what its checksum finds, and is forgotten.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import hmac
import os
from typing import TYPE_CHECKING, Any

import orjson

from client_sdk.errors import NotVerified
from client_sdk.holding import Group, Holding
from client_sdk.image import decode_row, encode_row
from client_sdk.private_files import open_own, write_private
from client_sdk.probation import Case, Probation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from client_sdk.state import Entry

_KEY_PREFIX = "config-center/state-key|"
_MAC = 64  # hex digits
_LENGTH = 16


class KeptBack:
    """
    The two files of one directory. Methods block on the disk and raise OSError when it refuses;
    what cannot be read is forgotten, with a sentence in ``notes``.
    """

    def __init__(self, home: Path, token: str | None) -> None:
        self._held = home / "held"
        self._probation = home / "probation"
        self._key = hashlib.sha256((_KEY_PREFIX + (token or "")).encode("utf-8")).digest()
        self._handle: int | None = None

    def read_held(self, notes: list[str]) -> tuple[Holding, frozenset[str]]:
        """What was held back, as it was written, and the keys that had a module."""
        try:
            plain = self._read(self._held)
            groups = [
                Group(_entries(row["older"]), crashed=bool(row["crashed"]))
                for row in plain.get("groups", ())
            ]
            modules = frozenset(map(str, plain.get("modules", ())))
        except _UNREADABLE as error:
            notes.append(f"what was held back is not known any more: {error}")
            return Holding(), frozenset()
        return Holding(tuple(groups)), modules

    def write_held(self, holding: Holding, modules: Iterable[str] = ()) -> None:
        """Write down the older entries that serve on, and which keys have a module."""
        rows = [{"older": _rows(one.older), "crashed": one.crashed} for one in holding.groups]
        write_private(self._held, self._framed({"groups": rows, "modules": sorted(modules)}))

    def clear(self) -> None:
        """What is kept back belongs to a snapshot that is not there any more."""
        for path in (self._held, self._probation):
            path.unlink(missing_ok=True)

    def read_probation(self, notes: list[str]) -> Probation:
        """What an earlier process had still to outlive; each case knows of its death."""
        try:
            plain = self._read(self._probation)
            cases = [
                Case(_entries(row["older"]), int(row["deaths"]), row["module"], row["tried"])
                for row in plain.get("cases", ())
            ]
        except _UNREADABLE as error:
            notes.append(f"what was on probation is not known any more: {error}")
            return Probation()
        probation = Probation(tuple(cases))
        return probation.died() if plain.get("alive") else probation

    def write_probation(self, probation: Probation, *, alive: bool) -> None:
        """Write down what this process has to outlive; ``alive``: it goes on."""
        rows = [
            {
                "older": _rows(case.older),
                "deaths": case.deaths,
                "module": case.module,
                "tried": case.tried,
            }
            for case in probation.cases
        ]
        data = self._framed({"alive": alive, "cases": rows})
        if self._handle is None:
            self._handle = open_own(self._probation, os.O_WRONLY | os.O_CREAT)
        os.lseek(self._handle, 0, os.SEEK_SET)
        if os.write(self._handle, data) < len(data):
            raise OSError(errno.ENOSPC, "only a part was written")

    def close(self) -> None:
        """Let go of the files; writing opens them again."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _framed(self, plain: dict[str, Any]) -> bytes:
        body = orjson.dumps(plain)
        head = b"%0*d" % (_LENGTH, len(body))
        return self._mac(body) + head + body

    def _read(self, path: Path) -> dict[str, Any]:
        if not path.is_file():
            return {}
        raw = path.read_bytes()
        mac, head, rest = raw[:_MAC], raw[_MAC : _MAC + _LENGTH], raw[_MAC + _LENGTH :]
        body = rest[: int(head)]
        if not hmac.compare_digest(mac, self._mac(body)):
            raise NotVerified("this client did not write it, or had another token")
        plain: dict[str, Any] = orjson.loads(body)
        return plain

    def _mac(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).hexdigest().encode("ascii")


_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, NotVerified)


def _rows(older: Mapping[str, Entry]) -> list[str]:
    return [base64.b64encode(encode_row(entry)).decode("ascii") for entry in older.values()]


def _entries(rows: list[str]) -> dict[str, Entry]:
    entries = (decode_row(base64.b64decode(row)) for row in rows)
    return {entry.key: entry for entry in entries}
