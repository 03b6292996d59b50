"""A check for schemathesis: nobody is answered what the matrix forbids the role that he has."""

from __future__ import annotations

import os

import schemathesis

from config_center.access import PERMISSIONS


@schemathesis.check
def keeps_to_the_matrix(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """The document says what each route needs; the environment whose token it is that asks."""
    needed = case.operation.definition.raw["x-permission"]
    may = PERMISSIONS.get(os.environ["ASKING_ROLE"], frozenset())
    if needed != "public" and needed not in may:
        assert response.status_code in (401, 403, 404, 405), f"{needed} was not refused"
