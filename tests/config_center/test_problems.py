from __future__ import annotations

import pytest

from config_center import problems
from config_center.problems import Problem


def test_a_problem_is_told_as_rfc_9457_with_its_parameters():
    problem = Problem("rollout-running", "promote or abort it", rollout="ro_1")

    assert problem.to_json() == {
        "type": "urn:config-center:problem:rollout-running",
        "title": "A rollout is running on the key",
        "status": 409,
        "detail": "promote or abort it",
        "rollout": "ro_1",
    }


@pytest.mark.parametrize("name", problems.STATUS)
def test_every_name_has_a_status_and_a_title(name):
    problem = Problem(name, "what to do")

    assert problem.status >= 400
    assert problem.title


def test_a_member_cannot_replace_what_the_problem_is():
    assert Problem("busy", "try again", status=200).to_json()["status"] == 503


def test_the_short_forms():
    assert problems.invalid("a").status == 400
    assert problems.not_found("a").status == 404
    assert problems.too_large("a", 5).members == {"limit": 5}
    assert problems.schema("a", [{"path": "/x", "message": "m"}]).members == {
        "errors": [{"path": "/x", "message": "m"}]
    }


def test_a_problem_carries_headers():
    assert Problem("busy", "later", headers={"Retry-After": "1"}).headers == {"Retry-After": "1"}
