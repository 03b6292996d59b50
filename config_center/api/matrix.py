"""Who may do what, as docs/permissions.md shows it: made from the route table and the roles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.access import PERMISSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from config_center.api.route import Route

_YES = "x"


def allowed(role: str, route: Route) -> bool:
    """Whether a token of this role gets past the door of a route that it reaches."""
    return route.permission == "public" or route.permission in PERMISSIONS[role]


def roles_table() -> str:
    """Each role and what it may do."""
    rows = ((f"`{role}`", ", ".join(sorted(may))) for role, may in PERMISSIONS.items())
    return _table(("role", "may"), rows)


def routes_table(routes: Iterable[Route]) -> str:
    """Each route: what it needs, what it is about, and which roles have that."""
    rows = (
        (
            f"`{route.method} {route.path}`",
            route.permission,
            "" if route.permission in ("public", "peer") else route.reach,
            *(_YES if allowed(role, route) else "" for role in PERMISSIONS),
        )
        for route in routes
    )
    return _table(("route", "needs", "about", *PERMISSIONS), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("|" + "|".join(f" {cell} ".replace("  ", " ") for cell in line) + "|\n"
                   for line in lines)  # fmt: skip
