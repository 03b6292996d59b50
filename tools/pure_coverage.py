"""Fails unless every pure module is covered to the last branch.

The list is the import contract `pure` in pyproject.toml: what does no I/O has no excuse for a
line that no test reaches.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def pure_files() -> list[str]:
    """Paths, relative to the root, of the modules in the contract."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    pure = next(contract for contract in contracts if contract["id"] == "pure")
    return [module.replace(".", "/") + ".py" for module in pure["source_modules"]]


def main() -> int:
    include = ",".join(pure_files())
    command = [
        sys.executable,
        "-m",
        "coverage",
        "report",
        "--fail-under=100",
        f"--include={include}",
    ]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    if status:
        print("Pure modules must be covered to 100 % (CONTRIBUTING.md, Tests).", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
