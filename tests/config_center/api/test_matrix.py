"""docs/permissions.md and the OpenAPI document say what the route table says."""

from __future__ import annotations

import re

from config_center.access import PERMISSIONS
from config_center.api import PEER_ROUTES, ROUTES
from config_center.api.matrix import allowed, roles_table, routes_table
from config_center.openapi import document
from tools.permissions_page import PAGE, fresh

ROW = re.compile(r"^\| `(\w+) (/\S*)` \| (\w+) \| (\w*) ?\|(.*)\|$", re.M)


def test_the_page_is_as_the_table_would_make_it_now() -> None:
    page = PAGE.read_text("utf-8")

    assert fresh(page) == page, "PYTHONPATH=. .venv/bin/python tools/permissions_page.py"
    assert roles_table() in page
    assert routes_table(ROUTES + PEER_ROUTES) in page


def test_a_row_ticks_the_roles_that_pass_the_door() -> None:
    found = ROW.findall(routes_table(ROUTES))
    rows = {(method, path): cells.split("|") for method, path, *_, cells in found}

    assert len(rows) == len(ROUTES)
    for route in ROUTES:
        ticked = [cell.strip() == "x" for cell in rows[route.method, route.path]]
        assert ticked == [allowed(role, route) for role in PERMISSIONS], route.path
    assert all(not allowed(role, route) for role in PERMISSIONS for route in PEER_ROUTES)


def test_openapi_says_what_each_route_needs() -> None:
    paths = document(ROUTES)["paths"]

    for route in ROUTES:
        operation = paths[route.path][route.method.lower()]
        assert (operation["x-permission"], operation["x-about"]) == (route.permission, route.reach)
        assert ("security" in operation) is (route.permission != "public")
