"""Requests of JSON become operations: parsed, limited, named right. Raises Problem 400 and 413."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from client_sdk.errors import InvalidValue
from client_sdk.suggestions import did_you_mean
from client_sdk.values import check_limits
from config_center.documents import check_format, parse_text
from config_center.problems import invalid, too_large
from config_center.publishing import MISSING, Condition, Operation, Put, check_key

if TYPE_CHECKING:
    from config_center.bounds import Limits

_FIELDS = ("op", "key", "value", "format", "if_version")
_OPS = ("put", "delete")
_IN_THREAD = 4_096  # characters; parsing YAML takes about 1 ms for these


async def put_operation(key: str, put: Put, limits: Limits) -> Operation:
    """The operation of a publish of one key."""
    check_key(key)
    condition = Condition(put.if_match, put.if_none_match)
    return await _parsed(key, put.value, put.text, put.format, condition, limits)


async def operations(plain: list[dict[str, Any]], limits: Limits) -> tuple[Operation, ...]:
    """The operations of a change of several keys."""
    if not plain:
        raise invalid("send at least one operation", field="operations")
    if len(plain) > limits.change_operations:
        most = limits.change_operations
        raise too_large(f"a change has at most {most} operations", most)
    seen: set[str] = set()
    parsed = []
    for at, each in enumerate(plain):
        operation = await _operation(each, f"operations[{at}]", limits)
        if operation.key in seen:
            raise invalid(f"operations[{at}]: {operation.key} stands twice in one change")
        seen.add(operation.key)
        parsed.append(operation)
    return tuple(parsed)


async def _operation(plain: Any, place: str, limits: Limits) -> Operation:
    if not isinstance(plain, dict):
        raise invalid(f"{place} is not an object")
    for name in plain:
        if name not in _FIELDS:
            hint = did_you_mean(name, _FIELDS) or f"; known: {', '.join(_FIELDS)}"
            raise invalid(f"{place}: there is no field {name[:200]!r}{hint}", field=name[:200])
    op, key = plain.get("op"), plain.get("key")
    if op not in _OPS or not isinstance(key, str):
        raise invalid(f"{place} needs op (put or delete) and key")
    check_key(key)
    condition = Condition(if_version=_count(plain.get("if_version"), place))
    if op == "delete":
        return Operation("delete", key, condition=condition)
    value, form = plain.get("value", MISSING), plain.get("format", "json")
    return await _parsed(key, value, None, form, condition, limits)


async def _parsed(
    key: str, value: Any, text: str | None, form: Any, condition: Condition, limits: Limits
) -> Operation:
    try:
        check_format(form if isinstance(form, str) else repr(form))
        if form == "json":
            if value is MISSING:
                raise InvalidValue("send its value")
            value = check_limits(value, limits.depth)
            return Operation("put", key, value, None, form, condition=condition)
        text = value if text is None else text
        if not isinstance(text, str):
            raise InvalidValue(f"a value of format {form} is sent as the text itself")
        if len(text) > limits.value_bytes:
            most = limits.value_bytes
            raise too_large(f"the value of {key} is longer than {most} bytes", most)
        if form == "text" or len(text) <= _IN_THREAD:
            value = parse_text(form, text, limits.depth)
        else:
            value = await asyncio.to_thread(parse_text, form, text, limits.depth)
    except InvalidValue as error:
        raise invalid(f"{key}: {error}", key=key) from None
    return Operation("put", key, value, text, form, condition=condition)


def _count(value: Any, place: str) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise invalid(f"{place}: if_version is a version number, 0 for a key that never was")
    return value
