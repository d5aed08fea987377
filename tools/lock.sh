#!/usr/bin/env bash
# Makes the lock files anew from the .in files: `tools/lock.sh [--upgrade]`. Wants
# pip-tools on PATH (requirements-dev.txt); takes a few minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CUSTOM_COMPILE_COMMAND="tools/lock.sh"
for name in requirements requirements-gpu tools/requirements-npm; do
  pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
    "$@" --output-file="$name.txt" "$name.in"
done
