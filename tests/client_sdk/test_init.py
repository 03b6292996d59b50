from __future__ import annotations

import subprocess
import sys

import pytest

import client_sdk

HEAVY = ("redis", "aiohttp", "cryptography", "pydantic", "jsonschema_rs", "prometheus_client")


def test_importing_the_library_loads_nothing_heavy() -> None:
    code = f"import client_sdk, sys; print([m for m in {HEAVY!r} if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_nothing_else() -> None:
    assert client_sdk.__all__ == sorted(client_sdk.__all__)
    assert all(getattr(client_sdk, name) for name in client_sdk.__all__)
    assert "Client" in dir(client_sdk)
    with pytest.raises(AttributeError, match="Nonsense"):
        client_sdk.Nonsense  # noqa: B018  # the look-up is the test
