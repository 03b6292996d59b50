#!/bin/sh
# lock.sh [--upgrade]: resolves pyproject.toml into the two locks, for every platform and Python >= 3.11.
set -eu
cd "$(dirname "$0")/.."
compile() { tools/uv.sh pip compile pyproject.toml --extra server --universal --python-version 3.11 \
    --quiet --no-header --no-annotate "$@"; }
compile -o requirements.lock "$@"
compile --group dev -c requirements.lock -o requirements-dev.lock "$@"
