"""Is this server fit to keep configuration? Pure: what INFO and CONFIG say, judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config_center.store.base import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

UNSEEN = "appendonly, appendfsync and maxmemory-policy cannot be seen; check them yourself"


def judge_version(info: Mapping[str, Any]) -> Iterable[Finding]:
    """The version floor."""
    version = str(info.get("valkey_version") or info.get("redis_version", "0"))
    if int(version.split(".")[0]) < 7:
        yield Finding(f"the store is version {version}", "use Redis 7.0 or Valkey", fatal=True)


def judge_mode(info: Mapping[str, Any], *, clustered: bool) -> Iterable[Finding]:
    """Is it what its URL says? Messages are told otherwise in a cluster."""
    if bool(int(info.get("cluster_enabled", 0))) is clustered:
        return
    if clustered:
        yield Finding("it is no node of a cluster", "write redis://HOST:PORT", fatal=True)
    else:
        yield Finding(
            "the store is a node of a cluster", "write redis+cluster://HOST:PORT", fatal=True
        )


def judge_config(config: Mapping[str, str]) -> Iterable[Finding]:
    """Durability and eviction."""
    wanted = {
        "appendonly": ("yes", "a crash of the store may lose what was acknowledged"),
        "appendfsync": ("always", "a power failure may lose the last second of changes"),
        "maxmemory-policy": ("noeviction", "the store may throw away configuration"),
    }
    for name, (value, danger) in wanted.items():
        actual = config.get(name)
        if actual is not None and actual != value:
            advice = f"{danger}: CONFIG SET {name} {value}"
            yield Finding(f"{name} is {actual}", advice, fatal=False)
