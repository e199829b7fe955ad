"""Make the environment of readers that need an older pydicom than ours: ``python tests/peers/make_environment.py``.

It goes to ``.peers/pydicom2`` beside the project's own. Done already, it does nothing.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / ".peers" / "pydicom2"
PACKAGES = ("dcmrtstruct2nii==5", "pydicom==2.4.4", "setuptools<80")
"""dcmrtstruct2nii calls what pydicom 3 no longer has."""


def python() -> Path:
    """The environment's interpreter."""
    return FOLDER / "bin" / "python"


def complete() -> bool:
    """Whether all packages were installed."""
    done = FOLDER / "complete"
    return done.is_file() and done.read_text() == "\n".join(PACKAGES)


def main() -> None:
    """Build the environment unless it is there."""
    if complete():
        return
    print(f"Installing {PACKAGES[0]} and what it needs into {FOLDER.relative_to(REPOSITORY)} (about 0.2 GB)")
    venv.EnvBuilder(with_pip=True, clear=True).create(FOLDER)
    pip = [str(python()), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *PACKAGES], check=True)
    (FOLDER / "complete").write_text("\n".join(PACKAGES))


if __name__ == "__main__":
    sys.exit(main())
