"""What the whole suite shares: skips with a reason for what a machine may lack."""

from __future__ import annotations

import shutil

import pytest

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("redis_server") and shutil.which("redis-server") is None:
        pytest.skip("no redis-server on PATH (apt-get install redis-server)")
    if item.get_closest_marker("browser") and not any(map(shutil.which, CHROMIUMS)):
        pytest.skip("no chromium on PATH (apt-get install chromium)")
