"""What a process is spared of libraries that its work does not need."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "spared"),
    [
        (
            "service.contouring.rt_structure_set",
            "pydantic",
        ),  # 9 MiB; a set is written without a configuration
        ("service.contouring.worker", "SimpleITK"),  # 90 MiB in each worker
        ("service.contouring.worker", "torch"),  # the model process's alone
    ],
)
def test_a_library_waits_until_it_is_needed(module: str, spared: str) -> None:
    program = f"import sys, {module}; sys.exit({spared!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=300).returncode == 0
