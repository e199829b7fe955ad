#!/bin/sh
# Write the software bill of materials of .venv (CycloneDX, JSON), by cyclonedx-bom in an environment of its own.
# The first argument names the file; the image is built with one.
set -eu
cd "$(dirname "$0")/.."
file=${1:-build/sbom.cdx.json}
venv=${DELINEATE_VENV:-.venv}
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
mkdir -p "$(dirname "$file")"
"$venv/bin/python" -m venv "$tools"
version=$(sed -n 's/^cyclonedx-bom==//p' constraints.txt)
"$tools/bin/python" -m pip install --quiet --disable-pip-version-check "cyclonedx-bom==$version"
"$tools/bin/cyclonedx-py" environment --pyproject pyproject.toml --output-reproducible --output-format JSON \
    --output-file "$file" "$venv/bin/python"
echo "Written: $file"
