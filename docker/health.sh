#!/bin/sh
# Exit 0 if the node answers and its worker is alive. Docker's health check; good for any other supervisor too.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
exec "${DELINEATE_VENV:-$here/.venv}/bin/delineate" health --config "${DELINEATE_CONFIG:-/etc/delineate/config.yaml}"
