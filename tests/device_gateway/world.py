"""A client in memory: the part of the SDK that the gateway uses, with no center behind it."""

import contextlib
import time
from types import SimpleNamespace

from client_sdk.errors import UnknownKey
from device_gateway.server import Gateway
from device_gateway.settings import Settings

MISSING = object()


class MemoryClient:
    """Values by key; `canary` gives some devices another value under a higher version."""

    def __init__(self, **values):
        self.values = {key: (1, value) for key, value in values.items()}
        self.canary = {}
        self.devices = set()
        self.listeners = {}
        self.built = {}
        self.builders = {}
        self.reports = []

    def put(self, devices=None, **values):
        """Publish several keys as one change, to all or to some devices."""
        latest = 1 + max([v for v, _ in [*self.values.values(), *self.canary.values()]] or [0])
        target = self.values if devices is None else self.canary
        target.update({key: (latest, value) for key, value in values.items()})
        if devices is not None:
            self.devices = set(devices)
        self.tell(values)

    def promote(self):
        keys, self.canary = dict(self.canary), {}
        self.values.update(keys)
        self.tell(keys)

    def tell(self, keys):
        for key in keys:
            for listener in self.listeners.get(key, ()):
                listener(SimpleNamespace(key=key))

    def metrics(self):
        return {"config_client_stale": 0.0, "config_client_gaps_total": 2}

    def unit(self, unit_id, **attributes):
        return MemoryUnit(self, unit_id, attributes)

    def module(self, key, **how):
        self.builders[key] = how

    def on_change(self, key):
        return lambda listener: self.listeners.setdefault(key, []).append(listener)

    @contextlib.asynccontextmanager
    async def turn(self, unit):
        found = {key: unit.find(key) for key in {*self.values, *self.canary}}
        values = {key: value for key, (_, value) in found.items()}
        modules = {}
        if "llm" in values:
            version = found["llm"][0]
            if version not in self.built:
                self.built[version] = await self.builders["llm"]["build"](values["llm"], None)
            modules["llm"] = self.built[version]
        yield MemoryView(values, modules)

    async def close(self):
        for llm in self.built.values():
            await self.builders["llm"]["close"](llm)


class MemoryView:
    def __init__(self, values, modules):
        self.values, self.modules = values, modules

    def get(self, key, default=MISSING):
        return look_up(self.values, key, default)

    def module(self, key):
        return look_up(self.modules, key, MISSING)


class MemoryUnit:
    def __init__(self, client, unit_id, attributes):
        self.client, self.id, self.attributes = client, unit_id, attributes

    def find(self, key):
        arms = self.client.canary if self.id in self.client.devices else {}
        if key not in arms and key not in self.client.values:
            raise UnknownKey(key)
        return arms.get(key) or self.client.values[key]

    def get(self, key, default=MISSING):
        try:
            return self.find(key)[1]
        except KeyError:
            if default is MISSING:
                raise
            return default

    def explain(self, key):
        version, _ = self.find(key)
        canary = self.id in self.client.devices and key in self.client.canary
        return SimpleNamespace(version=version, arm="canary" if canary else "stable")

    def report(self, name, *, ok, seconds):
        self.client.reports.append((name, self.id, ok))


def look_up(table, key, default):
    if key in table:
        return table[key]
    if default is MISSING:
        raise UnknownKey(key)
    return default


def settings(tmp_path, **given):
    """Settings for any free ports and a data directory of the test's own."""
    return Settings(
        **{
            "listen": "127.0.0.1:0",
            "admin_listen": "127.0.0.1:0",
            "data": tmp_path,
            "limits": {"drain_seconds": 1.0},
            **given,
        }
    )


@contextlib.asynccontextmanager
async def gateway(tmp_path, client, clock=time.time, **given):
    """A running gateway; its client is closed after it."""
    try:
        async with Gateway(settings(tmp_path, **given), client, clock) as running:
            yield running
    finally:
        await client.close()


def llm(stub, key="sk-a"):
    return {"type": "openai", "base_url": stub.base_url, "api_key": key, "model": "m-1"}
