"""tests/ mirrors the packages: who looks for the test of a module finds it by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("client_sdk", "config_center", "device_gateway")

# Modules that are tested through another, each with the test module that does it.
EXCEPTIONS: dict[str, str] = {
    "client_sdk/modules/handle.py": "tests/client_sdk/test_serving.py",
    "client_sdk/connecting.py": "tests/client_sdk/test_client.py",
    "client_sdk/drafts.py": "tests/client_sdk/test_serving.py",
    "client_sdk/kinds/asr.py": "tests/client_sdk/kinds/test_kinds.py",
    "client_sdk/kinds/gateway.py": "tests/client_sdk/kinds/test_kinds.py",
    "client_sdk/kinds/greeting.py": "tests/client_sdk/kinds/test_kinds.py",
    "client_sdk/kinds/lexicon.py": "tests/client_sdk/kinds/test_kinds.py",
    "client_sdk/kinds/llm.py": "tests/client_sdk/kinds/test_kinds.py",
    "client_sdk/kinds/prompt.py": "tests/client_sdk/kinds/test_kinds.py",
    "client_sdk/kinds/tts.py": "tests/client_sdk/kinds/test_kinds.py",
    "client_sdk/kinds/vad.py": "tests/client_sdk/kinds/test_kinds.py",
    "client_sdk/listeners.py": "tests/client_sdk/test_client.py",
    "client_sdk/modules/builder.py": "tests/client_sdk/test_serving.py",
    "client_sdk/outcomes.py": "tests/client_sdk/test_serving.py",
    "client_sdk/plan.py": "tests/client_sdk/test_client.py",
    "client_sdk/publish.py": "tests/client_sdk/test_client.py",
    "client_sdk/reports.py": "tests/config_center/test_service.py",
    "client_sdk/served.py": "tests/client_sdk/test_serving.py",
    "client_sdk/steps.py": "tests/client_sdk/test_replica.py",
    "client_sdk/transports/cluster.py": "tests/test_cluster.py",
    "client_sdk/transports/keyspace.py": "tests/client_sdk/test_client.py",
    "client_sdk/transports/memory.py": "tests/client_sdk/testing/test_memory.py",
    "client_sdk/views.py": "tests/client_sdk/test_serving.py",
    "config_center/api/changes.py": "tests/config_center/api/test_keys.py",
    "config_center/api/context.py": "tests/config_center/api/test_keys.py",
    "config_center/api/namespaces.py": "tests/config_center/api/test_keys.py",
    "config_center/api/peer.py": "tests/config_center/test_peers.py",
    "config_center/api/route.py": "tests/config_center/api/test_keys.py",
    "config_center/api/system.py": "tests/config_center/api/test_keys.py",
    "config_center/api/trust.py": "tests/config_center/cli/test_trust.py",
    "config_center/api/watch.py": "tests/config_center/api/test_keys.py",
    "config_center/app.py": "tests/config_center/api/test_keys.py",
    "config_center/asking.py": "tests/config_center/test_service.py",
    "config_center/audit/opening.py": "tests/config_center/audit/test_audit.py",
    "config_center/audit/reading.py": "tests/config_center/api/test_audit.py",
    "config_center/center.py": "tests/config_center/api/test_keys.py",
    "config_center/changes.py": "tests/config_center/test_service.py",
    "config_center/cli/children.py": "tests/config_center/test_main.py",
    "config_center/cli/fleet.py": "tests/config_center/test_main.py",
    "config_center/cli/keys.py": "tests/config_center/test_main.py",
    "config_center/cli/ports.py": "tests/config_center/test_main.py",
    "config_center/cli/rollouts.py": "tests/config_center/test_main.py",
    "config_center/cli/server.py": "tests/config_center/test_main.py",
    "config_center/history.py": "tests/config_center/test_service.py",
    "config_center/leash.py": "tests/config_center/test_embedded.py",
    "config_center/bounds.py": "tests/config_center/test_settings.py",
    "config_center/kek_settings.py": "tests/config_center/test_settings.py",
    "config_center/review/proposal.py": "tests/config_center/review/test_drafts.py",
    "config_center/rollouts/moves.py": "tests/config_center/test_service.py",
    "config_center/journal_base.py": "tests/config_center/ledger/test_pruning.py",
    "config_center/journal_tables.py": "tests/config_center/test_journal.py",
    "config_center/logging_in.py": "tests/config_center/api/test_login.py",
    "config_center/ledger/keeper.py": "tests/config_center/ledger/test_ledger.py",
    "config_center/ledger/registry.py": "tests/config_center/ledger/test_ledger.py",
    "config_center/ledger/rings.py": "tests/config_center/secrets/test_exchange.py",
    "config_center/ledger/words.py": "tests/config_center/ledger/test_ledger.py",
    "config_center/ledger/writer.py": "tests/config_center/ledger/test_ledger.py",
    "config_center/metrics.py": "tests/config_center/api/test_keys.py",
    "config_center/namespaces.py": "tests/config_center/test_service.py",
    "config_center/openapi.py": "tests/config_center/api/test_keys.py",
    "config_center/past.py": "tests/config_center/test_service.py",
    "config_center/publishing.py": "tests/config_center/test_service.py",
    "config_center/reading.py": "tests/config_center/test_service.py",
    "config_center/recovering.py": "tests/config_center/api/test_recovery.py",
    "config_center/space.py": "tests/config_center/test_service.py",
    "config_center/store/collecting.py": "tests/config_center/store/test_stores.py",
    "config_center/store/decoding.py": "tests/test_tampering.py",
    "config_center/store/script_line.py": "tests/config_center/store/test_stores.py",
    "config_center/store/rings.py": "tests/config_center/store/test_stores.py",
    "config_center/store/scripts.py": "tests/config_center/store/test_stores.py",
    "config_center/store/memory.py": "tests/config_center/store/test_stores.py",
    "config_center/store/servers.py": "tests/test_cluster.py",
    "config_center/store/redis.py": "tests/config_center/store/test_stores.py",
    "config_center/tokens.py": "tests/config_center/test_service.py",
    "device_gateway/config.py": "tests/device_gateway/test_server.py",
    "device_gateway/errors.py": "tests/device_gateway/test_server.py",
    "device_gateway/metrics.py": "tests/device_gateway/test_server.py",
    "device_gateway/notices.py": "tests/device_gateway/test_server.py",
}


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
    assert all((ROOT / home).is_file() for home in EXCEPTIONS.values())
