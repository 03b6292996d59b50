#!/bin/sh
# floors.sh: the SDK's tests on the lowest versions that pyproject.toml allows.
set -eu
cd "$(dirname "$0")/.."
tools/uv.sh pip compile pyproject.toml --extra http --resolution lowest-direct --python-version 3.11 \
    --quiet --no-header --no-annotate -o "${work:=$(mktemp -d)}/floors.txt"
trap 'rm -rf "$work"' EXIT
.venv/bin/python -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$work/floors.txt"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -e .
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$work/floors.txt" \
    pytest pytest-aiohttp pytest-asyncio pytest-timeout hypothesis
cat "$work/floors.txt"
"$work/venv/bin/python" -m pytest -q -p no:cacheprovider tests/client_sdk
