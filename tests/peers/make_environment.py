"""Make the environments of peers that cannot live in ours: ``python tests/peers/make_environment.py [NAME ...]``.

Each goes to ``.peers/NAME`` beside the project's own; without a name, the one that the tests read with. Done
already, it does nothing.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CONSTRAINTS: Final = REPOSITORY / "constraints.txt"

PACKAGES: Final = {
    # Both call what pydicom 3 no longer has.
    "pydicom2": ("dcmrtstruct2nii==5", "platipy==0.7.2", "pydicom==2.4.4", "setuptools<80"),
    "modern": ("rt-utils==1.2.7", "DicomRTTool==6.2.0", "highdicom==0.28.2", "pydicom==3.0.2"),
    "torch": ("nnunetv2==2.8.1", "monai", "TotalSegmentator==2.18.0", "rt-utils==1.2.7", "setuptools<80"),
}
"""What each environment is made of; the rest follows from these."""

AS_OURS: Final = frozenset({"modern", "torch"})
"""Environments under our own constraints: the libraries that they share with us have the versions we have."""

MEGABYTES: Final = {"pydicom2": 1000, "modern": 1000, "torch": 2800}


def folder(name: str) -> Path:
    """Where an environment is."""
    return REPOSITORY / ".peers" / name


def python(name: str = "pydicom2") -> Path:
    """The environment's interpreter."""
    return folder(name) / "bin" / "python"


def complete(name: str = "pydicom2") -> bool:
    """Whether all packages were installed."""
    done = folder(name) / "complete"
    return done.is_file() and done.read_text() == _made_of(name)


def make(name: str) -> Path:
    """Build an environment unless it is there; its interpreter."""
    if not complete(name):
        packages = PACKAGES[name]
        print(
            f"Installing {packages[0]} and others into .peers/{name} (about {MEGABYTES[name] / 1000:.1f} GB)",
            flush=True,
        )
        venv.EnvBuilder(with_pip=True, clear=True).create(folder(name))
        pip = [str(python(name)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        constraints = ["-c", str(CONSTRAINTS)] if name in AS_OURS else []
        subprocess.run([*pip, *constraints, *packages], check=True)
        (folder(name) / "complete").write_text(_made_of(name))
    return python(name)


def _made_of(name: str) -> str:
    return "\n".join(PACKAGES[name])


def main() -> None:
    """Build the environments named."""
    for name in sys.argv[1:] or ["pydicom2"]:
        make(name)


if __name__ == "__main__":
    sys.exit(main())
