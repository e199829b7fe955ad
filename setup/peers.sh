#!/bin/sh
# Make the environments of peers that cannot live in ours (older pydicom). Used by `make test`.
set -eu
cd "$(dirname "$0")/.."
.venv/bin/python tests/peers/make_environment.py
sync  # the tests flush what they receive: let them not wait for the installation
