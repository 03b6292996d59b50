"""A signed history in a few lines, for tests of whatever reads one."""

from __future__ import annotations

import hashlib

from client_sdk.bodies import encode_body
from client_sdk.contents import Content, Op
from client_sdk.records import Beat, Header, Position, Record, sha256_hex
from client_sdk.signing import SigningKey, TrustList, Verifier
from client_sdk.state import NamespaceState

ROOT = SigningKey(hashlib.sha256(b"root").digest())
KEY = SigningKey(hashlib.sha256(b"key").digest())
STRANGER = SigningKey(hashlib.sha256(b"stranger").digest())
TRUST = TrustList.issue(ROOT, {KEY.kid: KEY.public}, 1)


def verifier() -> Verifier:
    return Verifier(TRUST)


def content(value: object, version: int = 1, form: str = "json") -> Content:
    body = encode_body(value, form)
    return Content(version, sha256_hex(body), len(body), form, body=body)


def put(key: str, value: object, version: int = 1) -> Op:
    return Op(key, "set", version, content(value, version))


class History:
    """Grows by :meth:`add`; remembers its state, its records and its head."""

    def __init__(self, ns: str = "ns", key: SigningKey = KEY) -> None:
        self.ns = ns
        self.key = key
        self.state = NamespaceState.empty()
        self.records: list[Record] = []
        self.add(kind="create", epoch=1)

    @property
    def trust(self) -> TrustList:
        return TRUST

    @property
    def head(self) -> Record:
        return self.records[-1]

    def add(
        self, *ops: Op, kind: str = "put", epoch: int | None = None, change: str = ""
    ) -> Record:
        e = self.state.position.e if epoch is None else epoch
        position = Position(e, self.state.position.v + 1)
        new = self.state.after(ops, position)
        header = Header(
            ns=self.ns,
            e=position.e,
            v=position.v,
            p=self.state.c,
            type=kind,
            id=change or f"id-{position}",
            req_hash="asked",
            ops=ops,
            state=new.digest,
            kid=self.key.kid,
            ts=1_700_000_000_000 + position.v,
            author="tester",
        )
        bodies = [c.body for op in ops for c in op.contents if c.body is not None]
        record = Record.issue(header, self.key, bodies)
        self.state = NamespaceState(position, record.c, new.entries, new.digest, new.buckets)
        self.records.append(record)
        return record

    def beat(self, ts: int, every: float = 1.0, ttl: float = 10.0) -> Beat:
        e, v = self.state.position
        beat = Beat(self.ns, e, v, self.state.c, ts, ttl, every, "center", self.key.kid)
        return beat.signed(self.key)
