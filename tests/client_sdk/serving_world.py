"""A small world for tests of what serves: states made of puts, modules with recorded lives."""

from __future__ import annotations

import hashlib

from client_sdk.bodies import encode_body
from client_sdk.contents import Content, Op, Rollout
from client_sdk.modules.spec import Deadlines, ModuleSpec
from client_sdk.records import Position
from client_sdk.serving import Serving
from client_sdk.state import NamespaceState

AMPLE = Deadlines(build=30.0, probe=30.0, close=30.0)  # for a busy machine


def content(version, value, form="json"):
    body = value if isinstance(value, bytes) else encode_body(value, form)
    return Content(version, hashlib.sha256(body).hexdigest(), len(body), form, body=body)


def rollout(name, canary, *, keys, percent=50, unit="device", allow=(), deny=(), rules=()):
    return Rollout(name, percent, unit, name, tuple(keys), canary, allow, deny, tuple(rules))


class World:
    """A namespace that is published to, and the Serving that follows it."""

    def __init__(self, *, defaults=None, open_sealed=lambda _key, value: value, instance="gw-1"):
        self.serving = Serving(
            instance=instance,
            labels={"region": "cn"},
            defaults=defaults or {},
            open_sealed=open_sealed,
        )
        self.state = NamespaceState.empty()
        self.revision = 0
        self.latest = {}

    def change(self, *ops):
        """The state after these operations as one change, and the keys it touched."""
        self.revision += 1
        self.state = self.state.after(ops, Position(1, self.revision))
        return frozenset(op.key for op in ops)

    def put(self, key, value, form="json"):
        version = self.latest[key] = self.latest.get(key, 0) + 1
        return Op(key, "set", version, content(version, value, form))

    def remove(self, key):
        return Op(key, "del", self.latest[key], None)

    def canary(self, name, values, **options):
        """One rollout of ``values`` (None: the canary removes the key)."""
        ops = []
        for key, value in values.items():
            entry = self.state.entries.get(key)
            stable = entry.content if entry else None
            version = self.latest.get(key, 0)
            new = None
            if value is not None:
                version = self.latest[key] = version + 1
                new = content(version, value)
            ops.append(
                Op(key, "rollout", version, stable, rollout(name, new, keys=values, **options))
            )
        return ops

    def promoted(self, *keys):
        entries = [self.state.entries[key] for key in keys]
        return [Op(e.key, "rollout", e.latest, e.rollout.content) for e in entries]

    def aborted(self, *keys):
        entries = [self.state.entries[key] for key in keys]
        return [Op(e.key, "rollout", e.latest, e.content) for e in entries]

    async def publish(self, *ops):
        changed = self.change(*ops)
        return await self.serving.advance(self.state, changed)


class Part:
    """A live object that knows whether it is closed, and says so when it is used."""

    def __init__(self, settings, previous):
        self.settings = settings
        self.previous = previous
        self.closed = 0

    def use(self):
        assert not self.closed, "used after close"
        return self.settings


class Maker:
    """Builds parts and remembers them; settings with a member ``bad`` fail at that step."""

    def __init__(self):
        self.built = []

    def build(self, settings, previous):
        if isinstance(settings, dict) and settings.get("bad") == "build":
            raise ValueError(f"cannot use {settings.get('api_key', 'this')}")
        part = Part(settings, previous)
        self.built.append(part)
        return part

    def probe(self, part):
        bad = part.settings.get("bad") if isinstance(part.settings, dict) else None
        if bad == "probe":
            raise RuntimeError("no answer")
        return bad != "falsy"

    def close(self, part):
        part.closed += 1

    def spec(self, key="llm", **options):
        given = {"build": self.build, "probe": self.probe, "close": self.close}
        return ModuleSpec(key, **{**given, "deadlines": AMPLE, **options})

    @property
    def open(self):
        return [part for part in self.built if not part.closed]
