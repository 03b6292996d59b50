#!/bin/sh
# sdk_on_310.sh: the SDK's tests on Python 3.10 with the base dependencies only; one sentence when there is no 3.10.
set -eu
cd "$(dirname "$0")/.."
python310=
for candidate in "${PYTHON310:-}" python3.10 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10.*/bin/python3.10; do
    if "${candidate:-false}" -c 'import sys, venv, ensurepip; sys.version_info[:2] == (3, 10) or sys.exit(1)' \
            >/dev/null 2>&1; then
        python310=$candidate
        break
    fi
done
if [ -z "$python310" ]; then
    echo "sdk on 3.10: skipped, no python3.10 runs here (PYTHON310=/path/to/python3.10 names one)."
    exit 0
fi
venv=.venv310
wanted=$( { pwd; cat pyproject.toml requirements-dev.lock tools/sdk_on_310.sh; } | cksum)
if [ "$(cat $venv/.installed 2>/dev/null)" != "$wanted" ]; then
    "$python310" -m venv --clear $venv
    # Not by the lock, which is resolved for 3.11 and later and holds versions that 3.10 cannot run.
    $venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[http]' \
        pytest pytest-aiohttp pytest-asyncio pytest-timeout pytest-xdist hypothesis
    echo "$wanted" > $venv/.installed
fi
exec $venv/bin/python -m pytest -q -n 2 -p no:cacheprovider tests/client_sdk
