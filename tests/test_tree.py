"""tests/ mirrors the packages: who looks for the test of a module finds it by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("client_sdk", "config_center", "device_gateway")

# Modules without a test module of their own, each with where it is tested or why not at all.
EXCEPTIONS: dict[str, str] = {}


def modules_with_logic() -> list[str]:
    """Every module but `__init__` (a table) and `base` (an interface), as a path from the root."""
    return sorted(
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.stem not in {"__init__", "__main__", "base"}
    )


def homes_of_tests(module: str) -> list[Path]:
    path = Path(module)
    return [
        ROOT / "tests" / path.parent / f"test_{path.stem}.py",
        *(ROOT / "tests" / path.parent).glob(f"test_{path.stem}_*.py"),
    ]


@pytest.mark.parametrize("module", [m for m in modules_with_logic() if m not in EXCEPTIONS])
def test_every_module_has_a_test_of_its_name(module: str) -> None:
    assert any(path.exists() for path in homes_of_tests(module)), (
        f"tests/{module} has no test module"
    )


def test_no_exception_outlives_its_reason() -> None:
    stale = {
        module
        for module in EXCEPTIONS
        if not (ROOT / module).exists() or any(path.exists() for path in homes_of_tests(module))
    }

    assert stale == set()
