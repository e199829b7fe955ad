"""What peers' programs make for tests: once for an environment and a script, and kept beside the environment."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path

import pytest
from peers.make_environment import CONSTRAINTS, complete, folder, python

_SCRIPTS = Path(__file__).resolve().parents[1]
_TIMEOUT_SECONDS = 1200  # they train networks, on a machine that may be busy


def made_once(script: str, *what: str) -> Path:
    """The folder that ``python SCRIPT.py FOLDER WHAT...`` made in the environment ``torch``; nobody writes in it.

    It is made anew when the script, the phantoms it learns from or the packages are others.
    """
    if not complete("torch"):
        pytest.skip("the environment .peers/torch is not here; tests/peers/make_environment.py makes it")
    file, phantoms = _SCRIPTS / f"{script}.py", _SCRIPTS / "nnunet_artefact.py"
    depends_on = (file, phantoms, folder("torch") / "complete", CONSTRAINTS)
    digest = hashlib.sha256(b"\0".join(each.read_bytes() for each in depends_on)).hexdigest()[:16]
    made = folder("made") / "-".join((script, *what, digest))
    if not made.is_dir():
        folder("made").mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder("made")) as place:
            command = [str(python("torch")), str(file), f"{place}/made", *what]
            subprocess.run(
                command,
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_TIMEOUT_SECONDS,
            )
            if not made.is_dir():  # nobody else was as quick
                Path(f"{place}/made").rename(made)
    return made
