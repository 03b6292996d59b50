"""
A draft as it is kept, and what may become of it. Pure; pass ``now`` in milliseconds since 1970.

A draft is no config, so it must not reach the fleet: it is a signed record of ``_system``, which
centers alone receive. It holds what a publish would hold, and no more in clear: each body as it
would lie in the namespace, with its secrets sealed *for that namespace and key*. So an approver, an
export of ``_system`` and the journal see ciphertext. The data keys lie in the namespace's ring from
the first and never in a record, where shredding and an exchange of the key-encryption key would not
reach them: once a published secret is shredded, the draft that brought it is noise, too.

**An approval is bound by construction.** A draft is never edited: another text is another draft,
which may say whom it ``replaces``. The hash of the stored record covers everything in it, the
operations, the share they go to, who wrote it, and for each key the position of the entry that it
was made on. An approver sends that hash back. So what is published is what was looked at, and a key
that changed meanwhile makes the draft void (412).

**A draft takes effect at most once, anywhere.** Its id is the id of the change that publishes it,
and refusing it writes that id's tombstone: of two centers where one approves and the other rejects,
the ledger lets the first one win. What became of a draft is therefore asked of history first; the
mark in its own record only follows.

**Bounded.** A namespace has :data:`PLACES` places, each a key of ``_system`` that is used again:
neither the drafts nor what they leave behind can grow without end, but for the data keys of those
that ended, which stay as those of every old version do. One author has a part of the places and of
the room: nobody keeps the others from being heard.

**Beyond a prefix there is no draft.** A token that reaches only some keys sees a change when every
key of it is one of them, and nothing else: what a schema or a rule is about is not a key's content.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from client_sdk.contents import Content
from client_sdk.records import sha256_hex
from config_center.access import Actor
from config_center.problems import Problem, not_found, too_large
from config_center.rollouts.book import timestamp
from config_center.scopes import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from client_sdk.contents import Op
    from client_sdk.state import NamespaceState
    from config_center.scopes import Reach

PREFIX = "draft."
PLACES = 100
PLACES_OF_ONE = 20
LIFE_MS = 7 * 24 * 3600 * 1000
MAX_BYTES = 16 * 1024 * 1024  # of all that wait in one namespace
BYTES_OF_ONE = MAX_BYTES // 4  # of all of one author, but for a single one that is larger

WAITING, REJECTED, WITHDRAWN, PUBLISHED = "waiting", "rejected", "withdrawn", "published"
CHANGE, SCHEMA, RULES = "change", "schema", "policy"
NEEDS = {CHANGE: "publish", SCHEMA: "define", RULES: "admin"}  # what each kind takes to write


@dataclass(frozen=True, slots=True)
class Part:
    """
    What a draft makes of one key: ``body`` is what would be stored, ``None`` for a removal;
    ``base`` the position of the entry it was made on, empty where there was none.
    """

    op: str
    key: str
    base: str
    format: str = "json"
    body: str | None = None

    def content(self) -> Content | None:
        """The content, with the version number still open."""
        if self.body is None:
            return None
        raw = self.body.encode("utf-8")
        return Content(0, sha256_hex(raw), len(raw), self.format, body=raw)


@dataclass(frozen=True, slots=True)
class StoredDraft:
    """
    A draft. ``kind`` is ``change``, ``schema`` or ``policy``; ``about`` is the schema or the rules.
    ``place`` and ``content`` (the hash of the record) are where it was found, and not part of it.
    """

    id: str
    ns: str
    kind: str
    author: str
    author_id: str
    comment: str
    at: int
    parts: tuple[Part, ...]
    rollout: Mapping[str, Any] | None = None
    supersede: bool = False
    about: Mapping[str, Any] | None = None
    state: str = WAITING
    closed: Mapping[str, Any] | None = None
    place: str = ""
    content: str = ""

    @property
    def expires(self) -> int:
        """When it can be approved no more, in milliseconds since 1970."""
        return self.at + LIFE_MS

    def is_open(self, now: int) -> bool:
        """True while its own record and the clock allow that it is approved."""
        return self.state == WAITING and now < self.expires

    def to_json(self) -> dict[str, Any]:
        """The signed form."""
        return {
            "id": self.id,
            "ns": self.ns,
            "kind": self.kind,
            "author": self.author,
            "author_id": self.author_id,
            "comment": self.comment,
            "at": self.at,
            "parts": [
                {"op": p.op, "key": p.key, "base": p.base, "format": p.format, "body": p.body}
                for p in self.parts
            ],
            "rollout": self.rollout,
            "supersede": self.supersede,
            "about": self.about,
            "state": self.state,
            "closed": self.closed,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> StoredDraft:
        """The inverse of :meth:`to_json`."""
        return cls(**{**plain, "parts": tuple(Part(**part) for part in plain["parts"])})

    def ended(self, state: str, by: str, comment: str, now: int) -> StoredDraft:
        """What stays of it: who wrote what when, and who ended it; nothing of its content."""
        closed = {"by": by, "comment": comment, "at": now}
        parts = tuple(replace(part, body=None) for part in self.parts)
        return replace(self, parts=parts, about=None, state=state, closed=closed)

    def words(self, state: str, moved: list[str]) -> dict[str, Any]:
        """As a list shows it; ``state`` is what history says, ``moved`` the keys that changed."""
        closed = None
        if self.closed is not None:
            closed = {**self.closed, "at": timestamp(self.closed["at"])}
        return {
            "id": self.id,
            "state": state,
            "kind": self.kind,
            "author": self.author,
            "comment": self.comment,
            "at": timestamp(self.at),
            "expires": timestamp(self.expires),
            "keys": [{"key": part.key, "op": part.op, "base": part.base} for part in self.parts],
            "rollout": None if self.rollout is None else dict(self.rollout),
            "supersede": self.supersede,
            "moved": moved,
            "closed": closed,
            "content": self.content,
        }


def drafts_of(system: NamespaceState, ns: str) -> list[StoredDraft]:
    """Every draft of a namespace that ``_system`` holds, ended ones too, the newest first."""
    found = [
        replace(_parsed(body), place=place, content=content.sha256)
        for place, content, body in _kept(system, ns)
    ]
    return sorted(found, key=lambda draft: draft.at, reverse=True)


def author_of(system: NamespaceState, ns: str, ident: str) -> str | None:
    """Who wrote the draft of this id, None where there is none. Only that draft is parsed."""
    member = b'"id":' + orjson.dumps(ident)  # as it stands in a body, and in no string of one
    for _, _, body in _kept(system, ns):
        if member in body and (draft := _parsed(body)).id == ident:
            return draft.author
    return None


def is_within(draft: StoredDraft, reach: Reach) -> bool:
    """True when all of a draft is reached."""
    keys = [part.key for part in draft.parts]
    some = draft.kind == CHANGE and all(reach.holds(draft.ns, key) for key in keys)
    return reach.whole(draft.ns) or some


def draft_of(system: NamespaceState, ns: str, ident: str, reach: Reach = EVERYTHING) -> StoredDraft:
    """The draft of this id. Raises Problem 404, for one that lies beyond the reach, too."""
    for draft in drafts_of(system, ns):
        if draft.id == ident and is_within(draft, reach):
            return draft
    raise not_found(f"there is no draft {ident[:64]!r}; GET .../drafts lists them")


def free_place(
    system: NamespaceState, draft: StoredDraft, now: int, most_of_one: int = PLACES_OF_ONE
) -> str:
    """Where to keep a new draft. Raises Problem 413 when too many wait, or too much."""
    known = drafts_of(system, draft.ns)
    waiting = [each for each in known if each.is_open(now)]
    _check_share(waiting, draft, most_of_one)
    size = sum(_size(each) for each in (*waiting, draft))
    if len(waiting) >= PLACES:
        raise too_large(
            f"{PLACES} drafts wait in {draft.ns} already: approve, reject or withdraw some", PLACES
        )
    if size > MAX_BYTES:
        raise too_large(
            f"the drafts that wait in {draft.ns} would have {size} bytes, {MAX_BYTES} may be",
            MAX_BYTES,
        )
    used = {each.place for each in known}
    unused = [place for place in _places(draft.ns) if place not in used]
    if unused:
        return unused[0]
    return [each.place for each in known if not each.is_open(now)][-1]


def check_place(system: NamespaceState, place: str, lost: Content) -> None:
    """Raise Problem 409 where a draft that comes back would take the place of one that waits."""
    entry = system.entries.get(place)
    body = None if entry is None or entry.content is None else entry.content.body
    here = None if body is None else _parsed(body)
    if here is None or here.state != WAITING or lost.body is None:
        return
    if here.id != _parsed(lost.body).id:
        raise Problem(
            "in-use",
            f"the draft {here.id} of {here.author} waits in its place by now: drop this, and have "
            "its author make it anew",
            draft=here.id,
        )


def _check_share(waiting: list[StoredDraft], draft: StoredDraft, most: int) -> None:
    """Raise Problem 413 when the drafts of its author leave too little room for others."""
    author = Actor(draft.author, "", draft.author_id)
    mine = [each for each in waiting if is_author(each, author)]
    if len(mine) >= most:
        raise too_large(
            f"{len(mine)} drafts of {draft.author} wait in {draft.ns} already, and one author has "
            f"at most {most}: withdraw some, or have them approved or rejected",
            most,
        )
    size = sum(_size(each) for each in (*mine, draft))
    if mine and size > BYTES_OF_ONE:
        raise too_large(
            f"the drafts of {draft.author} that wait in {draft.ns} would have {size} bytes, those "
            f"of one author may have {BYTES_OF_ONE}: withdraw some, or have them approved",
            BYTES_OF_ONE,
        )


def base_of(state: NamespaceState, key: str) -> str:
    """The position of a key's entry, empty where there is none."""
    entry = state.entries.get(key)
    return "" if entry is None else str(entry.position)


def moved_keys(draft: StoredDraft, state: NamespaceState) -> list[str]:
    """The keys that changed since the draft was made."""
    return [part.key for part in draft.parts if base_of(state, part.key) != part.base]


def check_base(draft: StoredDraft, state: NamespaceState) -> None:
    """Raise Problem 412 when a key of the draft has changed since."""
    moved = moved_keys(draft, state)
    if moved:
        raise Problem(
            "version-moved",
            f"{', '.join(moved[:5])} changed since the draft was made, so nobody has seen what it "
            "would do now: make it anew",
            keys=moved,
        )


def check_approval(draft: StoredDraft, actor: Actor, content: str, now: int) -> None:
    """
    Raise Problem 403 for whoever wrote it, 409 ``draft-ended`` for one that ended or expired, 412
    when ``content`` is not the hash of this draft.
    """
    if is_author(draft, actor):
        raise Problem(
            "forbidden",
            "you wrote this draft: somebody else has to approve it",
            author=draft.author,
        )
    if not draft.is_open(now):
        raise has_ended("expired" if draft.state == WAITING else draft.state)
    if content != draft.content:
        raise Problem(
            "version-moved",
            "this is not what you looked at: read the draft again, and approve its `content`",
            content=draft.content,
        )


def is_author(draft: StoredDraft, actor: Actor) -> bool:
    """
    By token, and by name whatever its letters: one person's two tokens bear one name, and a token
    that was given another name is still the token.
    """
    same_token = bool(actor.token_id) and actor.token_id == draft.author_id
    return same_token or actor.name.casefold() == draft.author.casefold()


def has_ended(state: str) -> Problem:
    """The refusal of what cannot be approved any more."""
    return Problem("draft-ended", f"the draft was {state}; make it anew", state=state)


def part_of(state: NamespaceState, op: Op) -> Part:
    """The part of a draft that comes to ``op``, which was planned on ``state``."""
    base = base_of(state, op.key)
    content = op.content if op.rollout is None else op.rollout.content
    if content is None or content.body is None:
        return Part("delete", op.key, base)
    return Part("put", op.key, base, content.format, content.body.decode("utf-8"))


def _size(draft: StoredDraft) -> int:
    return len(orjson.dumps(draft.to_json()))


def _places(ns: str) -> list[str]:
    return [f"{PREFIX}{ns}.{number:02}" for number in range(PLACES)]


def _kept(system: NamespaceState, ns: str) -> Iterator[tuple[str, Content, bytes]]:
    """Place, content and body of all that ``_system`` holds of a namespace's drafts."""
    for place in _places(ns):
        entry = system.entries.get(place)
        content = None if entry is None else entry.content
        if content is not None and content.body is not None:
            yield place, content, content.body


@lru_cache(maxsize=2 * PLACES)  # a list reads all places of a namespace, one after the other
def _parsed(body: bytes) -> StoredDraft:
    return StoredDraft.from_json(orjson.loads(body))
