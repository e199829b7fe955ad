#!/bin/sh
# Ask whether a vulnerability is known of anything in .venv, by pip-audit in an environment of its own.
# Exit 1 if one is. Where the service that knows cannot be reached this says so and fails nothing.
set -eu
cd "$(dirname "$0")/.."
venv=${DELINEATE_VENV:-.venv}
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$venv/bin/python" -m venv "$tools"
version=$(sed -n 's/^pip-audit==//p' constraints.txt)
if ! "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "pip-audit==$version"; then
    echo "Not audited: pip-audit cannot be installed here." >&2
    exit 0
fi
packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
mkdir -p build
rm -f build/audit.json
if "$tools/bin/pip-audit" --progress-spinner off --skip-editable --path "$packages" --format json --output build/audit.json \
    2> build/audit.log; then
    audited=$("$venv/bin/python" -c 'import json; print(sum("vulns" in each for each in
        json.load(open("build/audit.json"))["dependencies"]))')
    if [ "$audited" -eq 0 ]; then
        echo "Not audited: the vulnerability service that is reached from here knows none of the packages." >&2
    else
        echo "No vulnerability is known of the $audited packages in $venv that are known to the service."
    fi
elif [ -s build/audit.json ]; then
    cat build/audit.log build/audit.json >&2
    exit 1
else
    echo "Not audited: the vulnerability service cannot be reached from here (build/audit.log)." >&2
fi
