"""
How far a token reaches. Pure.

A scope is a namespace and a prefix of its keys; a token has a list of them and reaches what any of
them holds. No scope at all means everything but the center's own namespaces (leading ``_``).

Both are compared character by character. Names are lower-case ASCII letters, digits, ``.``, ``_``
and ``-`` before they get here, so there is nothing to fold, to normalise or to escape, and no
character means another: ``a_b`` holds neither ``a-b`` nor ``axb``, and ``llm`` holds ``llm2``, so
whoever means a family writes ``llm.``.

Rejected: patterns (in other config centers a ``_`` that a query took for "any character" opened
the next team's namespace), names of environments beside the namespace (one more thing that can
differ in case), and denials beside permissions (then the order of a list decides).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from client_sdk.contents import KEY
from client_sdk.records import NAMESPACE
from config_center.problems import invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST = 100


@dataclass(frozen=True, slots=True)
class Scope:
    """Keys of one namespace: those that begin with ``prefix``; all with an empty one."""

    namespace: str
    prefix: str = ""

    def covers(self, other: Scope) -> bool:
        """True when whatever ``other`` holds is held by this one."""
        return self.namespace == other.namespace and other.prefix.startswith(self.prefix)

    def to_json(self) -> dict[str, str]:
        """As it is stored and shown."""
        return {"namespace": self.namespace, "prefix": self.prefix}

    def __str__(self) -> str:
        return f"{self.namespace}/{self.prefix}" if self.prefix else self.namespace


@dataclass(frozen=True, slots=True)
class Reach:
    """All that a token reaches."""

    scopes: tuple[Scope, ...] = ()

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> Reach:
        """
        What a token's record says: a list of ``scopes``, or of ``namespaces`` in the records that
        were made before there were prefixes.
        """
        names = (Scope(ns) for ns in about.get("namespaces", ()))
        scopes = (Scope(each["namespace"], each["prefix"]) for each in about.get("scopes", ()))
        return cls((*names, *scopes))

    @property
    def unlimited(self) -> bool:
        """True without any scope."""
        return not self.scopes

    def sees(self, ns: str) -> bool:
        """True when anything of this namespace is reached."""
        return bool(self.prefixes(ns))

    def prefixes(self, ns: str) -> tuple[str, ...]:
        """What keys of a namespace begin with that are reached; ``("",)`` for all, () for none."""
        if ns.startswith("_"):
            return ()
        if self.unlimited:
            return ("",)
        found = {scope.prefix for scope in self.scopes if scope.namespace == ns}
        return ("",) if "" in found else tuple(sorted(found))

    def whole(self, ns: str) -> bool:
        """True when every key of this namespace is reached."""
        return self.prefixes(ns) == ("",)

    def holds(self, ns: str, key: str) -> bool:
        """True when this key is reached, whether it exists or not."""
        return key.startswith(self.prefixes(ns))

    def covers(self, other: Reach) -> bool:
        """True when nothing reached by ``other`` is beyond this one."""
        if self.unlimited or other.unlimited:
            return self.unlimited
        return all(any(mine.covers(theirs) for mine in self.scopes) for theirs in other.scopes)

    def to_json(self) -> list[dict[str, str]]:
        """As it is stored and shown."""
        return [scope.to_json() for scope in self.scopes]

    def __str__(self) -> str:
        return ", ".join(map(str, self.scopes)) or "everything"


EVERYTHING = Reach()


def asked_reach(scopes: Iterable[Mapping[str, str]], namespaces: Iterable[str] = ()) -> Reach:
    """
    The reach that somebody asks a token for; ``namespaces`` are scopes without a prefix. Raises
    Problem 400 for what no namespace and no key can be called.
    """
    reach = Reach.of({"namespaces": namespaces, "scopes": scopes})
    if len(reach.scopes) > MOST:
        raise invalid(f"a token has at most {MOST} scopes", field="scopes")
    for scope in reach.scopes:
        if not NAMESPACE.match(scope.namespace) or scope.namespace.startswith("_"):
            raise invalid(
                "a scope names one namespace as it is written: lower-case letters, digits and -; "
                "those with a leading _ are the center's own",
                field="scopes",
            )
        if scope.prefix and not KEY.match(scope.prefix):
            raise invalid(
                "the prefix of a scope is the beginning of a key as it is written, such as llm. ; "
                "there are no wildcards",
                field="scopes",
            )
    return Reach(tuple(dict.fromkeys(reach.scopes)))
