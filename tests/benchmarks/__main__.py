"""``python -m benchmarks [NAME ...]`` with ``tests`` on the path: runs benchmarks, prints and keeps what they find.

Each is a module ``measure_NAME`` with a function ``measure(settings) -> Scoreboard``.
"""

from __future__ import annotations

import argparse
import compileall
import importlib
import time
from pathlib import Path

from benchmarks.rounds import REPOSITORY
from benchmarks.settings import Settings


def names() -> list[str]:
    """Every benchmark there is."""
    here = Path(__file__).parent
    return sorted(file.stem.removeprefix("measure_") for file in here.glob("measure_*.py"))


def main() -> None:
    """Run the benchmarks named, or all."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"which; all without a name: {', '.join(names())}")
    parser.add_argument("--rounds", type=int, help="rounds that count, instead of the benchmark's own number")
    parser.add_argument("--small", action="store_true", help="a small case: does it run, not how fast")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "build" / "bench")
    chosen = parser.parse_args()
    unknown = set(chosen.name) - set(names())
    if unknown:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    for folder in ("service", "models", "tests"):  # as installing does; else ours alone is compiled each time
        compileall.compile_dir(REPOSITORY / folder, quiet=1)
    for name in chosen.name or names():
        started = time.perf_counter()
        out = chosen.out / "small" if chosen.small else chosen.out
        settings = Settings(out, chosen.rounds, small=chosen.small)
        board = importlib.import_module(f"benchmarks.measure_{name}").measure(settings)
        file = board.write(out)
        print(f"\n{name}, {time.perf_counter() - started:.0f} s, {file}\n{board.table()}", flush=True)


if __name__ == "__main__":
    main()
