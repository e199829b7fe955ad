#!/bin/sh
# Make the Python environment .venv with everything the node, its tests and the demonstration need.
# Used by `make setup` and by the Dockerfile. Respects PYTHON, PIP_INDEX_URL and PIP_EXTRA_INDEX_URL.
# DELINEATE_EXTRAS chooses optional parts (default: test), DELINEATE_VENV another folder.
set -eu
cd "$(dirname "$0")/.."
venv=${DELINEATE_VENV:-.venv}
extras=${DELINEATE_EXTRAS-test}

stop() { printf '%s\n' "$*" >&2; exit 2; }

supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; }

if [ -n "${PYTHON:-}" ] && ! supported "$PYTHON"; then
    stop "PYTHON names $PYTHON, which is not Python 3.11, 3.12 or 3.13. Name another one, or leave it out."
fi
python=
for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
    if supported "$candidate"; then python=$candidate; break; fi
done
[ -n "$python" ] || stop "Python 3.11, 3.12 or 3.13 is needed and none was found. Install one (Debian, Ubuntu: apt-get install python3 python3-venv) or name it: PYTHON=/path/to/python3.12 make setup"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    stop "Python $version has no venv module. Install the package python$version-venv (Debian, Ubuntu: apt-get install python$version-venv; Fedora has it in python3), then run this again."

# Done before with the same inputs: nothing to do.
fingerprint=$({ cat pyproject.toml constraints.txt setup/environment.sh; echo "$extras $version"; pwd; } | sha256sum | cut -c1-16)
if [ -f "$venv/.installed" ] && [ "$(cat "$venv/.installed")" = "$fingerprint" ] && "$venv/bin/python" -c 'import service' 2>/dev/null; then
    exit 0
fi

constraints=$(mktemp)
trap 'rm -f "$constraints"' EXIT
present=$("$python" -c 'import importlib.metadata as m; print(m.version("torch"))' 2>/dev/null || true)
site=
download="PyTorch with what it needs: about 0.2 GB for its CPU build, about 3 GB for a build with CUDA (README tells how to choose)"
case "$present" in
    2.11.* | 2.12.* | 2.13.*)
        site=--system-site-packages
        download="not PyTorch: version $present is already here and is used"
        grep -v '^torch==' constraints.txt > "$constraints"
        echo "torch==${present%%+*}" >> "$constraints" ;;
    *) cp constraints.txt "$constraints" ;;
esac

cat <<TEXT
Setting up $venv with Python $version. To download:
  - about 0.3 GB of Python packages (DICOM libraries, SimpleITK, NumPy, the database driver, test tools)
  - $download
On disk: about 1.8 GB with the CPU build.
TEXT
present_version=$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true)
if [ "$present_version" != "$version" ]; then  # none yet, or one of another Python
    # shellcheck disable=SC2086
    "$python" -m venv --clear $site "$venv"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$constraints" hatchling editables
"$venv/bin/python" -m pip install --disable-pip-version-check --no-build-isolation --progress-bar off -q \
    -c "$constraints" -e ".${extras:+[$extras]}"
sync  # a node that is started next flushes each image to disk: let it not wait for the installation
echo "$fingerprint" > "$venv/.installed"
echo "Ready: $venv/bin/delineate"
