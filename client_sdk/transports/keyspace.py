"""
Where everything of a namespace lies in Redis: the one place that knows a key name.

All names of a namespace share the hash tag ``{ns}``, so they are in one slot of a Redis Cluster and
one script may touch them. Layout (frames and rows are those of ``records`` and ``image``)::

    cc:{ns}:head    HASH    e v c rid rec   rec = frame of the last record without bodies;
                                            rid = replication id
    cc:{ns}:log     STREAM  id <e>-<v>, field r = frame of the record (bodies inline up to 8 KiB
                            together)
    cc:{ns}:cur     HASH    key -> row of its entry (bodies inline up to 8 KiB each)
    cc:{ns}:ids     HASH    change id -> "e v c req_hash"
    cc:{ns}:idt     ZSET    change id by commit time, milliseconds
    cc:{ns}:obj:<sha256>    body over 8 KiB, written before the record that names it
    cc:{ns}:beat    HASH    center -> milliseconds of its last check;
                            lease = until when, and which center publishes the heartbeat;
                            want = until when, and which center lost a race
    cc:{ns}:rep:<instance>  STREAM  reports, field r, written by that instance only
    cc:{ns}:dig     HASH    bucket -> hash (a hint; the signed root proves it)
    cc:{ns}:ring    HASH    data-key id -> KEK:BASE64, the wrapped key
    cc:{ns}:trust   STRING  the root-signed list of signing keys
    cc:{ns}:new:<random>:cur, :dig   what one restore makes ready to take the place of cur and dig
    cc:{ns}:events  channel frames of records and beats

While a slot of a cluster moves, a script runs only where all keys that it names are there. So those
of a change are few and fixed, they are made with the namespace (``cur`` and ``dig`` with its first
key), none of them expires, and what is short-lived is a field.

``e v c`` and ``rid`` in the head are hints for the scripts; what counts is the signed ``rec``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keyspace:
    """The Redis names of one namespace."""

    ns: str

    def _name(self, part: str) -> str:
        return f"cc:{{{self.ns}}}:{part}"

    @property
    def new(self) -> str:
        """What everything begins with that a restore makes ready."""
        return self._name("new:")

    def beside(self, name: str, attempt: str) -> str:
        """Where one attempt makes ready what is to take the place of ``name``."""
        return f"{self.new}{attempt}:{name.rpartition(':')[2]}"

    @property
    def head(self) -> str:
        """HASH of the last record."""
        return self._name("head")

    @property
    def log(self) -> str:
        """STREAM of the newest records."""
        return self._name("log")

    @property
    def current(self) -> str:
        """HASH of every key's row."""
        return self._name("cur")

    @property
    def ids(self) -> str:
        """HASH of change ids."""
        return self._name("ids")

    @property
    def id_times(self) -> str:
        """ZSET of change ids by time."""
        return self._name("idt")

    @property
    def beat(self) -> str:
        """HASH of the centers' last checks, and of who leads and who waits."""
        return self._name("beat")

    @property
    def digests(self) -> str:
        """HASH of bucket hashes."""
        return self._name("dig")

    @property
    def ring(self) -> str:
        """HASH of wrapped data keys."""
        return self._name("ring")

    @property
    def trust(self) -> str:
        """STRING with the list of signing keys."""
        return self._name("trust")

    @property
    def events(self) -> str:
        """The channel."""
        return self._name("events")

    def body(self, sha256: str) -> str:
        """STRING of a large body."""
        return self._name(f"obj:{sha256}")

    def reports(self, instance: str) -> str:
        """STREAM of an instance's reports."""
        return self._name(f"rep:{instance}")
