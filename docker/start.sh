#!/bin/sh
# Start a stage (default: all of them) with the configuration that DELINEATE_CONFIG names.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
config=${DELINEATE_CONFIG:-/etc/delineate/config.yaml}
stage=${1:-serve}
[ "$#" -gt 0 ] && shift
exec "${DELINEATE_VENV:-$here/.venv}/bin/delineate" "$stage" --config "$config" "$@"
