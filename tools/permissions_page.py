"""Writes the tables of docs/permissions.md anew: run it when a route or a role changed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from config_center.api import PEER_ROUTES, ROUTES
from config_center.api.matrix import roles_table, routes_table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "permissions.md"


def fresh(page: str) -> str:
    """The page with its two tables as they are now."""
    for name, table in (("roles", roles_table()), ("routes", routes_table(ROUTES + PEER_ROUTES))):
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        pattern = re.escape(begin) + ".*?" + re.escape(end)
        page = re.sub(pattern, lambda _, new=begin + table + end: new, page, flags=re.S)
    return page


def main() -> int:
    PAGE.write_text(fresh(PAGE.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
