"""Keys in a file that only its owner may read."""

from __future__ import annotations

from pathlib import Path

from client_sdk.errors import SettingInvalid
from client_sdk.keks.base import Keks, KekSource
from client_sdk.private_files import read_private, write_private

_WHAT = "the key-encryption key"


class FileSource(KekSource):
    """A line for each key, mode 0600; the only place that a center writes to."""

    kind = "file"

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.value).expanduser()

    @property
    def where(self) -> str:
        return f"the file {self.path}"

    def read(self) -> Keks:
        text = read_private(self.path, _WHAT)
        try:
            return Keks.parse(text)
        except ValueError:
            raise SettingInvalid(
                f"{_WHAT} {self.path} is damaged; restore it from a backup"
            ) from None

    def save(self, keks: Keks) -> None:
        try:
            write_private(self.path, keks.text)
        except OSError as error:
            raise SettingInvalid(f"{self.where} cannot be written ({error.strerror})") from error


SOURCE = FileSource
