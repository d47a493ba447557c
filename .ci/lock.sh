#!/bin/sh
# Makes the two locks: requirements.lock (what runs, and what builds it) and requirements-dev.lock (that and the tests).
# Versions that still fit stay; with --upgrade the newest are taken.
set -eu
cd "$(dirname "$0")/.."

header='# Made by "make lock". Every file by its hash, no address: pip asks whichever index it is set up with.'

compile() {
    lock=$1
    shift
    .venv/bin/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header --no-annotate \
        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
        --output-file "$lock" "$@" pyproject.toml .ci/build.in
    if grep -nE '://|^-|^[^# ]*/| @ ' "$lock"; then
        echo "$lock names an address or a path" >&2
        exit 1
    fi
    printf '%s\n%s\n' "$header" "$(grep -v '^#' "$lock")" >"$lock.new"
    mv "$lock.new" "$lock"
}

compile requirements.lock "$@"
compile requirements-dev.lock --extra dev --constraint requirements.lock "$@"
