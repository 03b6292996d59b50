"""Namespaces as people see them, and what a template binds in a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from client_sdk.bodies import decode_body
from client_sdk.kinds import TEMPLATES
from client_sdk.records import NAMESPACE
from client_sdk.sealing import clear_secrets, pointer
from client_sdk.suggestions import did_you_mean
from config_center.ledger.words import Planned
from config_center.problems import invalid
from config_center.review.policy import record_op
from config_center.schemas import PREFIX
from config_center.sizes import Sizes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from client_sdk.contents import Op
    from client_sdk.state import NamespaceState
    from config_center.ledger.ledger import Ledger
    from config_center.ledger.words import Committed
    from config_center.schemas import Binding


def check_name(ns: str) -> None:
    """Raise Problem 400 for a name that no namespace can be given."""
    if ns.startswith("_") or not NAMESPACE.match(ns):
        raise invalid(
            "a namespace has lower-case letters, digits and -, at most 63, and begins with a "
            "letter or digit"
        )


def template_bindings(template: str | None) -> dict[str, dict[str, Any]]:
    """Key -> binding of a template. Raises Problem 400 for one that does not exist."""
    if template is None:
        return {}
    if template not in TEMPLATES:
        hint = did_you_mean(template, TEMPLATES) or f"; there is {', '.join(TEMPLATES)}"
        raise invalid(f"there is no template {template[:64]!r}{hint}", field="template")
    return {key: {"kind": kind} for key, kind in TEMPLATES[template].items()}


def binding_op(state: NamespaceState, key: str, binding: Mapping[str, Any]) -> Op:
    """The operation that binds ``key``."""
    return record_op(state, PREFIX + key, binding)


def plan_binding(
    state: NamespaceState, key: str, body: Mapping[str, Any], binding: Binding
) -> Planned:
    """Bind ``key``; a present value stays, the warnings about it are the ``result``."""
    entry = state.entries.get(key)
    content = None if entry is None else entry.content
    told = [] if content is None else _warnings(key, decode_body(content)[0], binding)
    return Planned((binding_op(state, key, body),), result=told)


def _warnings(key: str, value: Any, binding: Binding) -> list[str]:
    told = [
        f"{key}: the present value does not fit: {error['path']} {error['message']}"
        for error in binding.errors(value)[:1]
    ]
    clear = [pointer(path) or "the value" for path in clear_secrets(value, binding.secret_paths)]
    if clear:
        told.append(
            f"{key}: {', '.join(clear)} is secret from now on, but stands readable in the versions "
            "until now, for every client and in every copy: exchange the secret and publish again"
        )
    return told


def binding_words(
    done: Committed, key: str, body: dict[str, Any], warnings: list[str]
) -> dict[str, Any]:
    """What binding a key answers."""
    return {
        "key": key,
        **body,
        "change": done.header.id,
        "epoch": done.header.e,
        "revision": done.header.v,
        "warnings": warnings,
    }


def namespace_json(ledger: Ledger) -> dict[str, Any]:
    """Mode, position and size of a namespace."""
    state = ledger.state
    _, size = Sizes().of(state)
    return {
        "namespace": ledger.ns,
        "mode": ledger.mode.value,
        "reason": ledger.reason,
        "position": str(state.position),
        "keys": len(state.keys()),
        "bytes": size,
        "watchers": len(ledger.watchers),
    }
