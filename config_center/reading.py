"""How keys, versions and differences are shown. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from client_sdk.bodies import decode_body
from client_sdk.difference import difference, json_patch
from client_sdk.greyscale import decide, normal_device
from client_sdk.paths import pointer
from client_sdk.sealing import clear_secrets, masked
from config_center.problems import invalid, too_large
from config_center.rollouts.book import timestamp
from config_center.schemas import binding_of
from config_center.secrets.shredding import Shredded

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from client_sdk.contents import Content, Op, Rollout
    from client_sdk.records import Header
    from client_sdk.state import Entry, NamespaceState
    from config_center.journal_tables import Version
    from config_center.schemas import Binding

_MAX_DIFF_LINES = 20_000


@dataclass(frozen=True, slots=True)
class About:
    """Who published a version, when (milliseconds, UTC) and why; ``agreed``: and who agreed."""

    author: str = ""
    comment: str = ""
    ts: int = 0
    agreed: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, header: Header) -> About:
        """From the change that brought the version."""
        agreed = tuple(agreed_words(header).items())
        return cls(header.author, header.comment, header.ts, agreed)


def agreed_words(header: Header) -> dict[str, Any]:
    """Who approved a change, and that it was urgent; nothing of one that needed neither."""
    words: dict[str, Any] = {}
    if header.approved_by:
        words["approved_by"] = header.approved_by
    if header.urgent:
        words["urgent"] = True
    return words


def rollout_words(rollout: Rollout | None) -> dict[str, Any] | None:
    """A rollout beside a key."""
    if rollout is None:
        return None
    return {
        "id": rollout.id,
        "state": rollout.state,
        "percent": rollout.percent,
        "unit": rollout.unit,
    }


def value_words(
    content: Content | None, bound: Binding | None, keys: Collection[str]
) -> dict[str, Any]:
    """
    The value of a content, secret fields masked; its text unless it is json. ``keys`` are those of
    the namespace, which say what was shredded.
    """
    if content is None:
        return {"value": None, "format": None, "sha256": None}
    value, text = _shown(content, bound, keys)
    words = {"value": value, "format": content.format, "sha256": content.sha256}
    return words if text is None else {**words, "text": text}


def _shown(
    content: Content, bound: Binding | None, keys: Collection[str]
) -> tuple[Any, str | None]:
    """
    Value and text as people may see them. A field is masked when it is secret today, also in a
    version that was published before it was; the text of such a version is not shown at all.
    """
    value, text = decode_body(content)
    paths = () if bound is None else bound.secret_paths
    gone = Shredded(keys)
    if not paths:
        return masked(value, (), gone), text
    return masked(value, paths, gone), None if clear_secrets(value, paths) else text


def key_words(state: NamespaceState, entry: Entry, about: About | None) -> dict[str, Any]:
    """GET of a key."""
    bound = binding_of(state, entry.key)
    return {
        "key": entry.key,
        "version": entry.version,
        "latest": entry.latest,
        "kind": None if bound is None else bound.kind,
        **value_words(entry.content, bound, state.entries),
        "epoch": entry.position.e,
        "revision": entry.position.v,
        "comment": None if about is None else about.comment,
        "author": None if about is None else about.author,
        **({} if about is None else dict(about.agreed)),
        "published_at": None if about is None else timestamp(about.ts),
        "rollout": rollout_words(entry.rollout),
    }


def row_words(state: NamespaceState, entry: Entry) -> dict[str, Any]:
    """A key in a list."""
    content = entry.content
    bound = binding_of(state, entry.key)
    return {
        "key": entry.key,
        "version": entry.version,
        "latest": entry.latest,
        "format": None if content is None else content.format,
        "kind": None if bound is None else bound.kind,
        "size": None if content is None else content.size,
        "sha256": None if content is None else content.sha256,
        "epoch": entry.position.e,
        "revision": entry.position.v,
        "rollout": rollout_words(entry.rollout),
    }


def resolve(
    state: NamespaceState, entry: Entry, unit: str, attributes: Mapping[str, str]
) -> dict[str, Any]:
    """What one unit (a device, or an instance where the rollout goes by these) gets, and why."""
    rollout, content = entry.rollout, entry.content
    if rollout is None or rollout.unit == "device":
        unit = normal_device(unit)
    decision = decide(rollout, unit, attributes)
    if rollout is not None and decision.arm == "canary":
        content = rollout.content
    return {
        "key": entry.key,
        **value_words(content, binding_of(state, entry.key), state.entries),
        "version": None if content is None else content.version,
        "arm": decision.arm,
        "reason": decision.reason,
        "bucket": decision.bucket,
        "rollout": None if rollout is None else rollout.id,
    }


def version_words(version: Version) -> dict[str, Any]:
    """A version in the history of its key."""
    content, header = version.content, version.header
    words = {
        "version": content.version,
        "sha256": content.sha256,
        "size": content.size,
        "format": content.format,
        "author": header.author,
        "comment": header.comment,
        **agreed_words(header),
        "published_at": timestamp(header.ts),
        "epoch": header.e,
        "revision": header.v,
    }
    if content.rollback_of is not None:
        words["rollback_of"] = content.rollback_of
    return words


def change_words(header: Header, asked: Iterable[str], warnings: list[str]) -> dict[str, Any]:
    """What a committed change answers; all of it is in its header, so a retry answers the same."""
    keys = set(asked)
    ops = [op for op in header.ops if op.key in keys]
    rollout = next((op.rollout for op in ops if op.rollout is not None), None)
    return {
        "change": header.id,
        "epoch": header.e,
        "revision": header.v,
        "keys": [_op_words(op) for op in ops],
        "rollout": rollout_words(rollout),
        "warnings": warnings,
    }


def publish_words(header: Header, key: str, warnings: list[str]) -> dict[str, Any]:
    """The same for a change of one key."""
    words = change_words(header, [key], warnings)
    (about,) = words.pop("keys")
    return {**about, **words}


def _op_words(op: Op) -> dict[str, Any]:
    served = op.content if op.rollout is None else op.rollout.content
    words: dict[str, Any] = {
        "key": op.key,
        "version": None if op.content is None else op.content.version,
        "latest": op.latest,
        "sha256": None if served is None else served.sha256,
    }
    if served is not None and served.rollback_of is not None:
        words["rollback_of"] = served.rollback_of
    return words


def proposed(state: NamespaceState, key: str, content: Content | None) -> list[dict[str, Any]]:
    """What ``content`` (``None``: a removal) would change of a key's stable value, masked."""
    entry, bound, keys = state.entries.get(key), binding_of(state, key), state.entries
    before = None if entry is None or entry.content is None else _shown(entry.content, bound, keys)
    after = None if content is None else _shown(content, bound, keys)
    old, new = ({} if each is None else {"value": each[0]} for each in (before, after))
    deltas = difference(old, new)
    return [{**delta.to_json(), "path": pointer(delta.path[1:])} for delta in deltas]


def compare(
    key: str, state: NamespaceState, before: Version, after: Version, form: str
) -> dict[str, Any]:
    """The difference between two versions; secrets are masked before they are compared."""
    bound = binding_of(state, key)
    old, old_text = _shown(before.content, bound, state.entries)
    new, new_text = _shown(after.content, bound, state.entries)
    words: dict[str, Any] = {
        "key": key,
        "from": before.content.version,
        "to": after.content.version,
        "format": form,
    }
    if form == "unified":
        left, right = _lines(old, old_text), _lines(new, new_text)
        names = (f"{key} {words['from']}", f"{key} {words['to']}")
        return {**words, "diff": "".join(difflib.unified_diff(left, right, *names))}
    deltas = difference(old, new)
    if form == "json-patch":
        return {**words, "patch": json_patch(deltas)}
    return {**words, "changes": [delta.to_json() for delta in deltas]}


def _lines(value: Any, text: str | None) -> list[str]:
    if text is None:
        option = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS
        text = orjson.dumps(value, option=option).decode("utf-8")
    lines = text.splitlines(keepends=True)
    if len(lines) > _MAX_DIFF_LINES:
        raise too_large(
            f"a unified difference is made of at most {_MAX_DIFF_LINES} lines; ask for json-patch",
            _MAX_DIFF_LINES,
        )
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return lines


def page(
    items: Sequence[dict[str, Any]], name: str, limit: int, after: str | None
) -> dict[str, Any]:
    """A page of items sorted by ``name``; the cursor is the last one's name."""
    start = 0
    if after is not None:
        names = [str(item[name]) for item in items]
        if after not in names:
            raise invalid("after is the `next` of the page before; begin anew", parameter="after")
        start = names.index(after) + 1
    chosen = list(items[start : start + limit])
    more = start + limit < len(items)
    return {"items": chosen, "next": str(chosen[-1][name]) if more and chosen else None}
