"""What a center allows: sizes, rates, how long what is kept. Sections of its settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

_KIB, _MIB = 1 << 10, 1 << 20


class Section(BaseModel):
    """Strict, and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Limits(Section):
    """What a request and a namespace may hold; sizes in bytes."""

    value_bytes: int = Field(256 * _KIB, ge=1, le=16 * _MIB, description="one value")
    change_bytes: int = Field(_MIB, ge=1, le=16 * _MIB, description="one change")
    change_operations: int = Field(1_000, ge=1, le=1_000, description="operations in a change")
    depth: int = Field(32, ge=1, le=128, description="nesting of a value")
    keys: int = Field(20_000, ge=1, description="keys in a namespace")
    namespace_bytes: int = Field(64 * _MIB, ge=1, description="all values of a namespace")
    drafts_per_author: int = Field(
        20, ge=1, le=100, description="drafts of one author that wait in a namespace"
    )
    artefact_bytes: int = Field(256 * _MIB, ge=1, description="one artefact")


class Retention(Section):
    """How long what is kept; something goes only when *all* its rules let it go (retention.py)."""

    version_days: int = Field(90, ge=1, description="a version is kept this long")
    versions: int = Field(100, ge=1, description="newest versions of a key always kept")
    log_records: int = Field(1_000, ge=1, description="newest records kept in the store's log")
    log_seconds: int = Field(3_600, ge=60, description="records this new are kept in the log")
    log_bytes: int = Field(64 * _MIB, ge=_MIB, description="cap of the log; it wins")
    id_seconds: int = Field(86_400, ge=3_600, description="idempotency keys are remembered")
    journal_days: int = Field(30, ge=1, description="a change is kept this long")
    journal_rows: int = Field(10_000, ge=1_000, description="newest changes always kept")
    audit_days: int = Field(365, ge=1, description="an entry of the audit is kept this long")
    audit_entries: int = Field(10_000, ge=100, description="newest entries always kept")


class Admission(Section):
    """How fast clients may come; rates a second, bursts at once (config_center/admission.py)."""

    watches: int = Field(10_000, ge=1, description="event streams at once")
    connections: int = Field(20_000, ge=1, description="open connections; more are cut at once")
    connections_per_address: int = Field(
        5_000, ge=1, description="the same of one address; not counted behind a proxy"
    )
    rate: float = Field(500, gt=0, description="streams, and whole namespaces, a second")
    burst: float = Field(2_000, ge=1, description="the same, at once after a silence")
    client_rate: float = Field(250, gt=0, description="the same for one token or address")
    client_burst: float = Field(1_500, ge=1, description="the same, at once after a silence")
    wrong_token_rate: float = Field(1, gt=0, description="wrong tokens of an address, a second")
    wrong_token_burst: float = Field(50, ge=1, description="the same, at once after a silence")
