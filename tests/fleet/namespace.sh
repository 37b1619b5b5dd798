#!/usr/bin/env bash
# Runs a command in a network of its own, in which it reaches itself only; every process that it starts ends with it.
set -euo pipefail
exec unshare --map-root-user --net --pid --fork --mount-proc --kill-child bash -c 'ip link set lo up; exec "$@"' _ "$@"
