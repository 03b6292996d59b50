#!/bin/sh
# system_packages.sh: the system programs that some tests use. Never fails: without them those tests
# are skipped and say why.
set -u
want() { # want BINARY[|BINARY...] PACKAGE WHAT_FOR
    for binary in $(echo "$1" | tr '|' ' '); do
        command -v "$binary" >/dev/null 2>&1 && return 0
    done
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "system: apt-get install -y $2 ($3)"
        # The package would start a server of its own; a policy of "no" keeps the machine as it was.
        apt-get update -qq >/dev/null 2>&1
        RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" \
            >/dev/null 2>&1 && return 0
        echo "system: $2 could not be installed; $3 are skipped."
        return 0
    fi
    echo "system: $2 is missing and this is not root on Debian; $3 are skipped. sudo apt-get install -y $2"
}
want redis-server redis-server "the tests against a Redis by URL"
want "chromium|chromium-browser|google-chrome" chromium "the tests of the page in a browser"
want faketime faketime "the tests of clocks that jump"
