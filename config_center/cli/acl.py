"""The verb that prints what a Redis has to allow: least privilege, a line for `ACL SETUSER`."""

from __future__ import annotations

from typing import Annotated

import typer

from client_sdk.errors import SettingInvalid
from client_sdk.settings import check_instance, check_namespace
from client_sdk.transports.keyspace import Keyspace
from config_center.cli.remote import fail
from config_center.cli.show import AsJson, as_json

# What a client sends: it reads, listens, and writes its own reports.
_CLIENT = (
    *("ping", "hello", "auth", "select", "client|setinfo", "client|setname"),
    *("subscribe", "unsubscribe", "ssubscribe", "sunsubscribe", "multi", "exec", "discard"),
    *("get", "mget", "hget", "hgetall", "xrange", "xadd"),
)
# What a center sends, by itself and in its scripts.
_CENTER = (
    *("ping", "hello", "auth", "select", "client|setinfo", "client|setname"),
    *("multi", "exec", "discard", "info", "config|get", "wait", "evalsha", "script|load"),
    *("get", "mget", "set", "mset", "del", "unlink", "exists", "rename"),
    *("publish", "spublish", "time"),
    *("hget", "hmget", "hgetall", "hset", "hsetnx", "hdel", "hexists"),
    *("xadd", "xrange", "xread", "xlen", "xtrim", "xinfo|stream"),
    *("zadd", "zrem", "zrangebyscore", "scan", "object|idletime", "memory|usage"),
)
_PASSWORD = ">PASSWORD"


def client_line(ns: str, instance: str) -> str:
    """
    The user of one instance (Redis 7 and later): another's reports are not his to write. Raises
    SettingInvalid for a name that would say more in the line than whom it is for.
    """
    instance, keys = check_instance(instance), Keyspace(check_namespace(ns))
    everything = keys.head.removesuffix("head") + "*"
    rules = [f"%R~{everything}", f"%W~{keys.reports(instance)}", f"&{keys.events}"]
    return _line(f"config-{instance}", [*rules, *(f"+{name}" for name in _CLIENT)])


def center_line() -> str:
    """The user of a center: every namespace, and nothing else."""
    return _line("config-center", ["~cc:{*", "&cc:{*", *(f"+{name}" for name in _CENTER)])


def acl(
    instance: Annotated[
        str | None, typer.Option(help="A client of this name; none: the center's own.")
    ] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="What it reads.")] = "default",
    json: AsJson = False,
) -> None:
    """Print the Redis user that a center, or one instance, needs and no more."""
    try:
        line = center_line() if instance is None else client_line(namespace, instance)
    except SettingInvalid as error:
        fail(error)
    if json:
        as_json({"line": line})
    else:
        typer.echo(line)
        typer.echo("Redis before 7.2: leave out +client|setinfo, which it does not know", err=True)


def _line(user: str, rules: list[str]) -> str:
    reset = ("reset", "on", _PASSWORD)
    return " ".join(("ACL SETUSER", user, *reset, *rules))
