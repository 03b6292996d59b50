"""What the whole suite shares: skips with a reason for what a machine may lack."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator

import hypothesis
import pytest

FAULT = "fault round"  # the name of a row that a round hands over
_TRACED = "COVERAGE_PROCESS_CONFIG"  # by which a process that is started counts its lines, too
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")

# Its own bounds (0.2 s an example, 1 s to make ten) fail a machine that stands still for once.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")

# A shell without job control starts what is in the background with SIGINT ignored, and so would be
# every process that a test starts and ends with Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of the fault rounds, if any were played."""
    reports = (each for kind in ("passed", "failed") for each in terminalreporter.getreports(kind))
    rows = [value for each in reports for name, value in each.user_properties if name == FAULT]
    if rows:
        terminalreporter.section("fault rounds (fault, seed, rate, acknowledged, lost, ...)")
        terminalreporter.write_line("\n".join(sorted(rows)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Workers are traced by their plugin; a tracer as of any process would run on in its pauses."""
    os.environ.pop(_TRACED, None)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """In a worker pytest-cov first starts the tracer of a controller, which would do the same."""
    plugin = session.config.pluginmanager.getplugin("_cov")
    if hasattr(session.config, "workerinput") and plugin is not None:
        plugin.cov_controller.pause()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """What needs its speed is not traced, nor are the processes that it starts."""
    traced = os.environ.get(_TRACED)
    if traced and item.get_closest_marker("no_cover"):
        del os.environ[_TRACED]
    try:
        return (yield)
    finally:
        if traced:
            os.environ[_TRACED] = traced


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("redis_server") and shutil.which("redis-server") is None:
        pytest.skip("no redis-server on PATH (apt-get install redis-server)")
    if item.get_closest_marker("browser") and not any(map(shutil.which, CHROMIUMS)):
        pytest.skip("no chromium on PATH (apt-get install chromium)")
