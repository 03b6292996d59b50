"""The SDK alone, as on Python 3.10: what drives a whole center is left out where there is none."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = (
    [] if find_spec("jsonschema_rs") else ["test_client.py", "test_following.py", "test_sync.py"]
)
