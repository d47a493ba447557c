#!/bin/sh
# Makes what is missing, and only that: Debian's packages and the virtual environment .venv.
#
#   .ci/setup.sh run     what the exchange and its demo need
#   .ci/setup.sh test    that, and what the tests and the benchmark need
#
# Exit status: 0 ready, 3 something must be installed by somebody who may.
set -eu

purpose=${1:-run}
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}

# program:package, one for each that is needed
run_programs="gpg:gnupg gpg-agent:gpg-agent gpgconf:gpgconf ssh-keygen:openssh-client sftp:openssh-client"
test_programs="sshd:openssh-server psftp:putty-tools puttygen:putty-tools lftp:lftp rclone:rclone curl:curl
    chromium:chromium ps:procps setpriv:util-linux"

has() {
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/usr/lib/gnupg/$1" ]
}

# Python 3.11 or newer that can make a virtual environment; prints its name.
python() {
    for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
}

missing_packages() {
    wanted=$run_programs
    [ "$purpose" = test ] && wanted="$wanted $test_programs"
    for pair in $wanted; do
        has "${pair%%:*}" || echo "${pair#*:}"
    done
    [ -n "$(python)" ] || echo "python3 python3-venv"
    if [ "$purpose" = test ]; then
        set -- /usr/lib/postgresql/*/bin/initdb
        [ -x "$1" ] || echo postgresql
    fi
}

install_packages() {
    missing=$(missing_packages | tr ' ' '\n' | sort -u | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "Missing: ${missing}" >&2
        echo "Run this once, then try again:" >&2
        echo "    sudo apt-get update && sudo apt-get install --no-install-recommends ${missing}" >&2
        exit 3
    fi
    echo "Installing ${missing}" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q >&2
    # shellcheck disable=SC2086  # one word for each package
    apt-get install -y -q --no-install-recommends $missing >&2
}

# A stamp holds the checksum of what was installed, so that nothing is done twice.
install_python_packages() {
    lock=requirements.lock
    [ "$purpose" = test ] && lock=requirements-dev.lock
    stamp="$venv/.installed-$purpose"
    wanted=$(cat pyproject.toml "$lock" | cksum)
    if [ -x "$venv/bin/safehand" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return 0
    fi
    interpreter=$(python)
    [ -n "$interpreter" ] || { echo "Python 3.11 or newer with venv is needed: install python3 and python3-venv." >&2; exit 3; }
    [ -x "$venv/bin/python" ] || "$interpreter" -m venv "$venv"
    echo "Installing ${lock} into ${venv}" >&2
    "$venv/bin/python" -m pip install --quiet --require-hashes --no-deps -r "$lock"
    "$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
    echo "$wanted" >"$stamp"
}

install_packages
install_python_packages
