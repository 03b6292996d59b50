"""Where a center's key-encryption keys come from, as it can be set; at most one of the three."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field, SecretStr, model_validator

from client_sdk.keks import KekSource, open_source, source_of

PLAIN = "secrets.key"  # in the data directory, where nothing is set
_NAMES = {
    "file": "secret_key_file",
    "command": "secret_key_command",
    "text": "secret_key",
}


class Hidden(SecretStr):
    """A secret of which not even a part is shown."""


class KekSettings(BaseModel):
    """The part of the settings that is about them."""

    secret_key_file: Path | None = Field(
        None, description="key-encryption keys, a line each; none: secrets.key in the data"
    )
    secret_key_command: str | None = Field(None, description="command that prints them instead")
    secret_key: Hidden | None = Field(None, description="the keys themselves, by commas")
    lost_secret_key: str | None = Field(
        None, description="id of one that is lost for good: what it sealed is given up"
    )

    @property
    def kek_source(self) -> KekSource | None:
        """What is set; None: nothing is."""
        text = self.secret_key.get_secret_value() if self.secret_key else None
        given = {
            "file": str(self.secret_key_file) if self.secret_key_file else None,
            "command": self.secret_key_command,
            "text": text,
        }
        return source_of(given, _NAMES)

    def keks_in(self, data: Path) -> KekSource:
        """The same, or the file of the data directory."""
        return self.kek_source or open_source("file", str(data / PLAIN), PLAIN)

    @model_validator(mode="after")
    def _keks_come_from_one_place(self) -> KekSettings:
        _ = self.kek_source
        return self
