"""
Everything the center may answer instead of what was asked: one table, RFC 9457 on the wire.

A problem's name is a promise (``urn:config-center:problem:NAME``): scripts branch on it, and the
page says it in another language from ``members``. ``detail`` is a sentence for a person: what is
wrong and what to do. Neither ever holds a secret, so details are made of names and limits, not of
values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

URN = "urn:config-center:problem:"

STATUS: Mapping[str, int] = {
    "invalid": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not-found": 404,
    "method-not-allowed": 405,
    "rollout-running": 409,
    "rollout-ended": 409,
    "rollout-paused": 409,
    "would-shrink": 409,
    "already-exists": 409,
    "already-committed": 409,
    "needs-approval": 409,
    "needs-rollout": 409,
    "draft-ended": 409,
    "not-empty": 409,
    "nothing-lost": 409,
    "in-use": 409,
    "shredded": 409,
    "root-offline": 409,
    "not-trusted": 409,
    "version-moved": 412,
    "request-timeout": 408,
    "too-large": 413,
    "unsupported-media-type": 415,
    "schema": 422,
    "id-reused": 422,
    "cancelled": 422,
    "precondition-required": 428,
    "too-many-requests": 429,
    "internal": 500,
    "store-unavailable": 503,
    "store-empty": 503,
    "key-missing": 503,
    "history-incomplete": 503,
    "tampered": 503,
    "key-refused": 503,
    "frozen": 503,
    "busy": 503,
    "behind": 503,
    "login-unavailable": 503,
    "outcome-unknown": 504,
    "store-full": 507,
}

_TITLES = {
    "invalid": "The request cannot be understood",
    "unauthorized": "Who are you?",
    "forbidden": "Not allowed",
    "not-found": "There is no such thing",
    "method-not-allowed": "This path does not know the method",
    "rollout-running": "A rollout is running on the key",
    "rollout-ended": "The rollout has ended",
    "rollout-paused": "The rollout is paused",
    "would-shrink": "The rollout would shrink",
    "already-exists": "It exists already",
    "already-committed": "The change is already committed",
    "needs-approval": "Another person has to approve it",
    "needs-rollout": "It has to be staged",
    "draft-ended": "The draft has ended",
    "not-empty": "The store holds the namespace",
    "nothing-lost": "Nothing is known to be lost",
    "in-use": "It is still in use",
    "shredded": "The secret was destroyed",
    "root-offline": "The root key is not at this center",
    "not-trusted": "The list of signing keys cannot be taken",
    "version-moved": "The key has changed meanwhile",
    "request-timeout": "The request came too slowly",
    "too-large": "Too large",
    "unsupported-media-type": "This content type is not taken",
    "schema": "The value does not fit its schema",
    "id-reused": "The idempotency key belongs to another request",
    "cancelled": "The change was cancelled",
    "precondition-required": "A precondition is required",
    "too-many-requests": "Too many requests",
    "internal": "The center failed",
    "store-unavailable": "The store cannot be reached",
    "store-empty": "The store is empty",
    "key-missing": "A key-encryption key is missing",
    "history-incomplete": "The history does not reach that far back",
    "tampered": "The store holds what was never signed",
    "key-refused": "The center's signing key is refused",
    "frozen": "Publishing is frozen",
    "busy": "Too many changes at once",
    "behind": "This center is behind",
    "login-unavailable": "Nobody can log in now",
    "outcome-unknown": "The outcome is unknown",
    "store-full": "The store is full",
}


class Problem(Exception):
    """
    A refusal: ``name`` from :data:`STATUS`, a ``detail`` that says what to do, parameters as
    ``members`` and HTTP ``headers`` to go with it.
    """

    def __init__(
        self,
        name: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        self.name = name
        self.status = STATUS[name]
        self.detail = detail
        self.members = members
        self.headers = dict(headers or {})
        super().__init__(detail)

    @property
    def title(self) -> str:
        """The same few words for every problem of this name."""
        return _TITLES[self.name]

    def to_json(self) -> dict[str, Any]:
        """The body of the ``application/problem+json`` answer."""
        return {
            **self.members,
            "type": URN + self.name,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }


def invalid(detail: str, **members: Any) -> Problem:
    """400: the request itself is wrong."""
    return Problem("invalid", detail, **members)


def not_found(detail: str, **members: Any) -> Problem:
    """404: what was named does not exist, or may not be seen."""
    return Problem("not-found", detail, **members)


def too_large(detail: str, limit: int, **members: Any) -> Problem:
    """413: ``limit`` (bytes, operations or levels, as the detail says) is exceeded."""
    return Problem("too-large", detail, limit=limit, **members)


def schema(detail: str, errors: Iterable[Mapping[str, str]], **members: Any) -> Problem:
    """422: every error as ``{"path", "message"}``."""
    return Problem("schema", detail, errors=list(errors), **members)
