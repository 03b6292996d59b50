"""What a module may be."""

from __future__ import annotations

import pytest

from client_sdk.errors import UsageError
from client_sdk.modules.spec import ModuleSpec


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"key": "Not A Key"}, "is not a key"),
        ({"adopt": "session"}, "between turns"),
        ({"probe": 5}, "must be callable"),
        ({"build": None}, "needs a build function"),
    ],
)
def test_a_spec_that_cannot_be_is_refused_with_a_sentence(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        ModuleSpec(**{"key": "llm", "build": dict, **options})
