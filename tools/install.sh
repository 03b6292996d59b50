#!/bin/sh
# install.sh run|dev: makes .venv and installs the locked set into it; returns at once when nothing changed.
#
# "run" is what the two programs need, "dev" adds the tests' and checkers' packages. pip is used as the
# machine has it configured (index, certificates, find-links): nothing here overrides it.
set -eu
cd "$(dirname "$0")/.."

set_name=${1:?usage: install.sh run|dev}
case $set_name in
    run) lock=requirements.lock ;;
    dev) lock=requirements-dev.lock ;;
    *) echo "install.sh: unknown set '$set_name'; say run or dev" >&2; exit 2 ;;
esac
python=.venv/bin/python
stamp=.venv/.installed-$set_name
recent='import sys; sys.version_info >= (3, 11) or sys.exit(1)'

# The repository's path is part of it: a moved or copied environment does not work.
wanted=$( { pwd; cat pyproject.toml "$lock"; } | cksum)
if [ -x $python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && $python -c "$recent" 2>/dev/null; then
    exit 0
fi

find_python() {
    # By running them: a shim may be on PATH for a version that is not there.
    for candidate in python3.13 python3.12 python3.11 python3 python; do
        if "$candidate" -c "$recent" >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.11 or later is needed and none of python3.13, python3.12, python3.11, python3 runs as one." >&2
    return 1
}

make_environment() {
    base=$(find_python)
    if ! "$base" -c 'import venv, ensurepip' >/dev/null 2>&1; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
            echo "install: $base has no venv module: apt-get install -y python3-venv"
            apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
        else
            echo "$base has no venv module; on Debian and Ubuntu: sudo apt-get install -y python3-venv" >&2
            return 1
        fi
    fi
    "$base" -m venv --clear .venv
}

if ! $python -c "$recent; import pip" >/dev/null 2>&1 || ! $python -m pip --version >/dev/null 2>&1; then
    make_environment
fi
echo "install: $lock into .venv ($($python --version))"
$python -m pip install --quiet --disable-pip-version-check -r "$lock"
$python -m pip install --quiet --disable-pip-version-check --no-deps -e .
echo "$wanted" > "$stamp"
