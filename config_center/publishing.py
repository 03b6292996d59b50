"""
What a publish comes to: a state and a request in, operations out.

Plans run in the writer, on the very state that the record will be built on, so preconditions,
schemas and running rollouts are judged on the present and not on what the caller once read. They
are pure (randomness comes in with the sealer) and may run more than once.

Parsing is done before, outside of the plan: it depends on the request alone and may be slow.
"""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from client_sdk.bodies import decode_body, encode_body
from client_sdk.contents import KEY, Content, Op
from client_sdk.errors import InvalidValue, SealedValue
from client_sdk.records import sha256_hex
from client_sdk.sealing import clear_secrets, contains_seal, seal_value, sealed_places
from config_center.ledger.words import Planned
from config_center.problems import Problem, invalid, not_found, too_large
from config_center.problems import schema as schema_problem
from config_center.rollouts.plan import supersede
from config_center.schemas import binding_of
from config_center.secrets.destinations import moved_beside, moved_secrets
from config_center.secrets.lint import suspicions
from config_center.secrets.shredding import gone_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from client_sdk.contents import Rollout
    from client_sdk.sealing import FieldPath, RingEntry, Sealer
    from client_sdk.state import Entry, NamespaceState
    from config_center.bounds import Limits
    from config_center.schemas import Binding

MISSING: Any = object()
MAX_COMMENT = 1_000


@dataclass(frozen=True, slots=True)
class Put:
    """A request to publish one value; ``text`` is the author's, for every format but json."""

    value: Any = MISSING
    text: str | None = None
    format: str = "json"
    comment: str = ""
    rollout: dict[str, Any] | None = None
    if_match: str | None = None
    if_none_match: bool = False
    idempotency_key: str | None = None
    supersede: bool = False
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold for an operation to be done; empty: nothing."""

    if_match: str | None = None
    if_none_match: bool = False
    if_version: int | None = None

    def check(self, key: str, entry: Entry | None) -> None:
        """Raise Problem 412 when it does not hold, 400 when it cannot be read."""
        latest = 0 if entry is None else entry.latest
        if self.if_version is not None and self.if_version != latest:
            raise _moved(key, entry)
        if self.if_none_match and entry is not None and entry.exists:
            raise _moved(key, entry)
        if self.if_match is not None and not _matches(self.if_match, entry):
            raise _moved(key, entry)


@dataclass(frozen=True, slots=True)
class Operation:
    """
    One parsed operation. ``put`` has value, format and text; ``rollback`` has the old ``content``
    with its body, and in ``expects`` the version the way back was counted from; ``drafted`` has the
    ``content`` that was sealed when its draft was made. ``anew``: its secrets get new data keys
    although they are as they were.
    """

    op: str
    key: str
    value: Any = None
    text: str | None = None
    format: str = "json"
    content: Content | None = None
    expects: tuple[int | None] | None = None
    condition: Condition = field(default_factory=Condition)
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What is asked: operations, the rollout that serves them to a part (``None``: to all)."""

    operations: tuple[Operation, ...]
    rollout: Rollout | None = None
    supersede: bool = False


@dataclass(frozen=True, slots=True)
class Tools:
    """What a plan needs beside the state; ``extra`` are ring entries that are not stored yet."""

    limits: Limits
    sealer: Sealer
    extra: dict[str, RingEntry]


def check_key(key: str) -> None:
    """Raise Problem 400 for a name that no published key can have."""
    if not KEY.match(key):
        raise invalid(
            "a key has lower-case letters, digits, dot, _ and -, at most 128, and begins with a "
            "letter or digit; names with a leading _ are the center's own",
            key=key[:200],
        )


def check_comment(comment: str) -> str:
    """The comment, or Problem 400."""
    if len(comment) > MAX_COMMENT:
        raise invalid(f"a comment has at most {MAX_COMMENT} characters", field="comment")
    return comment


def plan_change(state: NamespaceState, change: Change, tools: Tools) -> Planned:
    """The operations of a change; ``result`` are its warnings. Raises Problem."""
    for operation in change.operations:
        operation.condition.check(operation.key, state.entries.get(operation.key))
    keys = [operation.key for operation in change.operations]
    ops = supersede(state, keys, allowed=change.supersede)
    work = _Work(state, change, tools)
    for operation in change.operations:
        ops[operation.key] = work.op(operation)
    _check_size(ops, keys, tools.limits)
    ring = {name: entry.encode() for name, entry in work.added.items()}
    return Planned(tuple(ops.values()), ring, work.warnings)


class _Work:
    """One pass over the operations; collects warnings and new ring entries."""

    def __init__(self, state: NamespaceState, change: Change, tools: Tools) -> None:
        self._state = state
        self._change = change
        self._tools = tools
        self.warnings: list[str] = []
        self.added: dict[str, RingEntry] = dict(tools.extra)

    def op(self, operation: Operation) -> Op:
        entry = self._state.entries.get(operation.key)
        if operation.op == "delete":
            return self._delete(operation, entry)
        content = self._content(operation, entry)
        rollout = self._change.rollout
        if rollout is None:
            return Op(operation.key, "set", content.version, content)
        stable = None if entry is None else entry.content
        return Op(operation.key, "set", content.version, stable, replace(rollout, content=content))

    def _delete(self, operation: Operation, entry: Entry | None) -> Op:
        if entry is None or not entry.exists:
            raise not_found(f"there is no key {operation.key!r} to remove", key=operation.key)
        rollout = self._change.rollout
        if rollout is None:
            return Op(operation.key, "del", entry.latest, None)
        if entry.content is None:
            raise invalid(f"{operation.key} has no stable version that a canary could remove")
        return Op(operation.key, "del", entry.latest, entry.content, rollout)

    def _content(self, operation: Operation, entry: Entry | None) -> Content:
        if operation.op == "rollback":
            content = self._old(operation, entry)
        elif operation.op == "drafted" and operation.content is not None:
            content = self._again(operation, entry, operation.content)
        else:
            content = self._new(operation, entry)
        if entry is not None and _is_newest(entry, content.sha256, content.format):
            self.warnings.append(unchanged(operation.key, entry.latest))
        return content

    def _old(self, operation: Operation, entry: Entry | None) -> Content:
        if operation.content is None or entry is None:
            raise not_found(
                f"there is no earlier version of {operation.key} to go back to; its history lists "
                'all there are, and {"to": N} goes to any of them',
                key=operation.key,
            )
        if operation.expects is not None and operation.expects != (entry.version,):
            raise _moved(operation.key, entry)
        old = operation.content
        return replace(self._again(operation, entry, old), rollback_of=old.version)

    def _again(self, operation: Operation, entry: Entry | None, old: Content) -> Content:
        """Sealed content as a new version, if it still fits."""
        binding = binding_of(self._state, operation.key)
        value, text = decode_body(old)
        if gone_in(value, self._state.entries):
            raise Problem(
                "shredded",
                f"version {old.version} of {operation.key} cannot come back: its secret was "
                "destroyed; publish the value with a secret instead",
                key=operation.key,
                version=old.version,
            )
        if binding is not None:
            binding.check(operation.key, value)
            if clear_secrets(value, binding.secret_paths):
                # Written before its fields were secret: it does not come back readable.
                again = replace(operation, value=value, text=text, format=old.format)
                return self._encoded(again, entry, self._seal(again, value, binding.secret_paths))
        return replace(old, version=1 if entry is None else entry.latest + 1)

    def _new(self, operation: Operation, entry: Entry | None) -> Content:
        key = operation.key
        binding = binding_of(self._state, key)
        if binding is not None:
            binding.check(key, operation.value)
        content = None if entry is None or operation.anew else entry.content
        before = None if content is None else decode_body(content)[0]
        paths = () if binding is None else binding.secret_paths
        if operation.anew and entry is not None and entry.content is not None:
            # Opened to be sealed anew: no schema bound meanwhile leaves it readable.
            paths = (*paths, *sealed_places(decode_body(entry.content)[0]))
        self._check_destinations(operation, before, binding)
        self.warnings += looks_secret(key, operation.value, binding)
        return self._encoded(operation, entry, self._seal(operation, before, paths))

    def _check_destinations(
        self, operation: Operation, before: Any, binding: Binding | None
    ) -> None:
        if binding is None or binding.kind is None:
            errors = moved_beside(operation.value, before)
        else:
            errors = moved_secrets(operation.value, before, binding.destinations)
        if errors:
            first = errors[0]
            sentence = f"{operation.key}: {first['path']} {first['message']}"
            raise schema_problem(sentence, errors, key=operation.key)

    def _encoded(self, operation: Operation, entry: Entry | None, sealed: Any) -> Content:
        key, text = operation.key, operation.text
        if operation.format != "json" and contains_seal(sealed):
            if operation.format == "text":
                raise invalid(f"{key} is secret as a whole: publish it as json", key=key)
            self.warnings.append(text_dropped(key))
            text = None
        body = encode_body(sealed, operation.format, text)
        limit = self._tools.limits.value_bytes
        if len(body) > limit:
            raise too_large(f"the value of {key} has {len(body)} bytes, {limit} may be", limit)
        version = 1 if entry is None else entry.latest + 1
        return Content(version, sha256_hex(body), len(body), operation.format, body=body)

    def _seal(self, operation: Operation, before: Any, paths: Iterable[FieldPath]) -> Any:
        sealer = self._tools.sealer
        known = ChainMap(self.added, sealer.ring)  # type: ignore[arg-type]  # only the first is written
        sealer = replace(sealer, ring=known)
        try:
            sealed, added = seal_value(operation.value, paths, before, operation.key, sealer)
        except InvalidValue as error:
            raise invalid(f"{operation.key}: {error}", key=operation.key) from None
        except SealedValue as error:
            raise Problem("key-missing", error.reason, key=operation.key) from None
        self.added.update(added)
        return sealed


def looks_secret(key: str, value: Any, binding: Binding | None) -> list[str]:
    """The warnings of what looks like a secret and is not marked as one."""
    if binding is None:
        return suspicions(key, value, ())
    return suspicions(key, value, binding.secret_paths, closed=binding.kind is not None)


def unchanged(key: str, latest: int) -> str:
    """The warning of a value that is published twice in a row."""
    return f"{key}: the same value as version {latest}"


def text_dropped(key: str) -> str:
    """The warning of a document whose text holds a secret in clear."""
    return f"{key}: the text as written is not kept, because it holds secret fields"


def _is_newest(entry: Entry, sha256: str, form: str) -> bool:
    newest = next((c for c in entry.contents if c.version == entry.latest), None)
    return newest is not None and (newest.sha256, newest.format) == (sha256, form)


def _check_size(ops: dict[str, Op], keys: list[str], limits: Limits) -> None:
    contents = [content for key in keys for content in ops[key].contents[-1:]]
    size = sum(content.size for content in contents)
    if size > limits.change_bytes:
        raise too_large(
            f"the change has {size} bytes, {limits.change_bytes} may be; publish less at once",
            limits.change_bytes,
        )


def _matches(header: str, entry: Entry | None) -> bool:
    wanted = header.strip()
    if wanted == "*":
        return entry is not None and entry.exists
    if not (len(wanted) > 2 and wanted[0] == wanted[-1] == '"'):
        raise invalid('If-Match takes an ETag such as "2-17", or a version such as "3"')
    if entry is None:
        return False
    return wanted[1:-1] in (str(entry.position), str(entry.latest))


def _moved(key: str, entry: Entry | None) -> Problem:
    if entry is None:
        return Problem("version-moved", f"there is no key {key}", key=key, latest=0)
    return Problem(
        "version-moved",
        f"{key} is at version {entry.latest} now; read it again and decide anew",
        key=key,
        latest=entry.latest,
        version=entry.version,
        position=str(entry.position),
    )
