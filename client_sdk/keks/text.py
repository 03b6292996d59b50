"""
Keys in the environment itself. Whoever may read the process (``/proc/PID/environ``, a crash report,
``docker inspect``) reads them too, so a file or a command is better wherever there is one.
"""

from __future__ import annotations

from client_sdk.errors import SettingInvalid
from client_sdk.keks.base import Keks, KekSource


class TextSource(KekSource):
    """``ID BASE64``, several separated by commas."""

    kind = "text"

    @property
    def where(self) -> str:
        return f"the setting {self.name}"

    def read(self) -> Keks:
        try:
            return Keks.parse(self.value)
        except ValueError:
            raise SettingInvalid(
                f"{self.name} does not hold a key-encryption key: it is `ID BASE64` as in a "
                "center's secrets.key, several separated by commas"
            ) from None


SOURCE = TextSource
