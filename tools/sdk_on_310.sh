#!/bin/sh
# sdk_on_310.sh: the SDK's tests on Python 3.10 with the base dependencies only; one sentence when there is no 3.10.
set -eu
cd "$(dirname "$0")/.."
python310=${PYTHON310:-python3.10}
if ! "$python310" -c 'import sys, venv, ensurepip; sys.version_info[:2] == (3, 10) or sys.exit(1)' >/dev/null 2>&1; then
    echo "sdk on 3.10: skipped, $python310 does not run here (PYTHON310=/path/to/python3.10 names one)."
    exit 0
fi
venv=.venv310
wanted=$( { pwd; cat pyproject.toml requirements-dev.lock tools/sdk_on_310.sh; } | cksum)
if [ "$(cat $venv/.installed 2>/dev/null)" != "$wanted" ]; then
    "$python310" -m venv --clear $venv
    $venv/bin/python -m pip install --quiet --disable-pip-version-check -c requirements-dev.lock -e '.[http]' \
        pytest pytest-aiohttp pytest-asyncio pytest-timeout hypothesis
    echo "$wanted" > $venv/.installed
fi
exec $venv/bin/python -m pytest -q -p no:cacheprovider tests/client_sdk
