"""The key that signs the devices' tokens: as set, else made once and kept in the data directory."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from client_sdk.errors import SettingInvalid

MIN_BYTES: Final = 16
NAME: Final = "gateway-token.key"


def token_key(given: str | None, data: Path) -> bytes:
    """
    The key's bytes. A new file is made with mode 0600 and complete before it has its name, so
    that two gateways which start together agree on one.

    Raises:
        SettingInvalid: the key is too short to be one, or the file cannot be read or made.
    """
    if given is None:
        given = _kept(data / NAME)
    if len(given.encode()) < MIN_BYTES:
        raise SettingInvalid(f"token_key must have at least {MIN_BYTES} characters")
    return given.encode()


def _kept(path: Path) -> str:
    try:
        if not path.exists():
            _make(path)
        return path.read_text().strip()
    except OSError as broken:
        raise SettingInvalid(f"{path} cannot be used: {broken.strerror}") from broken


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return  # another gateway was first: its key is the key
    finally:
        draft.unlink()
