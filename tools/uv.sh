#!/bin/sh
# uv.sh ARGS: uv, used for resolving only; fetched with pip into an environment of its own when it is not on PATH.
set -eu
# uv does not read pip's settings; the index is the one that matters.
if [ -n "${PIP_INDEX_URL:-}" ]; then export UV_DEFAULT_INDEX="$PIP_INDEX_URL"; fi
if command -v uv >/dev/null 2>&1; then exec uv "$@"; fi
here=$(dirname "$0")/..
if [ ! -x "$here/.venv-uv/bin/uv" ]; then
    "$here/.venv/bin/python" -m venv "$here/.venv-uv"
    "$here/.venv-uv/bin/python" -m pip install --quiet --disable-pip-version-check uv
fi
exec "$here/.venv-uv/bin/uv" "$@"
