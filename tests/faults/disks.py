"""Small disks, to be filled: a tmpfs of its own, which only root may mount."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory


@cache
def cannot_mount() -> str:
    """Why there is no small disk on this machine; empty when there is."""
    if os.geteuid() != 0:
        return "a small disk (tmpfs) needs root"
    with TemporaryDirectory() as name:
        if _run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", name) != 0:
            return "this machine mounts no tmpfs (a container without the right to)"
        _run("umount", "-l", name)
    return ""


@contextlib.contextmanager
def small_disk(at: Path, size: int) -> Iterator[None]:
    """``at`` lies on a disk of ``size`` bytes inside the block, with what it held before."""
    with TemporaryDirectory() as name:
        kept = Path(name) / "kept"
        shutil.copytree(at, kept)
        if _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)) != 0:
            raise OSError(f"no tmpfs can be mounted at {at}")
        try:
            shutil.copytree(kept, at, dirs_exist_ok=True)
            yield
        finally:
            _run("umount", "-l", str(at))


def resize(at: Path, size: int) -> None:
    """Give the disk at ``at`` another size."""
    if _run("mount", "-o", f"remount,size={size}", str(at)) != 0:
        raise OSError(f"the disk at {at} cannot be resized")


def _run(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode
