"""The long run: ``make fuzz SECONDS=600``. Coverage by atheris (libFuzzer), changes by :mod:`fuzz.mutations`.

In ``build/fuzz``: ``corpus`` (inputs that reached something new; kept and begun with the next time), ``findings``
(inputs that broke a promise, with what was raised beside them) and ``fuzz.json``. A run that ends by a signal,
by its time or by its memory is a finding too; the next one goes on. Exit code 1 if there are findings.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from random import Random

MEMORY_MB = 2048
INPUT_SECONDS = 30
LONGEST_BYTES = 1 << 17


def main() -> int:
    """Run children until the time is over."""
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given, rest = parser.parse_known_args()
    if given.child:
        fuzz(given.folder, given.child, rest)
        return 0
    corpus, findings = given.folder / "corpus", given.folder / "findings"
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    begun, runs = time.monotonic(), 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as scratch:
        while (left := given.seconds - (time.monotonic() - begun)) > 5:
            runs += 1
            house = Path(scratch) / str(runs) / "house"
            house.mkdir(parents=True)
            with (given.folder / "libfuzzer.log").open("ab") as log:
                subprocess.run(
                    [
                        sys.executable, "-m", "fuzz", "--folder", str(given.folder), "--child", str(house),
                        f"-max_total_time={int(left)}", f"-rss_limit_mb={MEMORY_MB}", f"-timeout={INPUT_SECONDS}",
                        f"-max_len={LONGEST_BYTES}", f"-artifact_prefix={findings}/", str(corpus),
                    ],
                    stdout=log, stderr=log, check=False, timeout=left + 120,
                )  # fmt: skip
            shutil.rmtree(house.parent)
    found = sorted(path.name for path in findings.iterdir() if path.suffix != ".txt")
    counts: dict[str, int] = {}
    inputs = 0
    for part in sorted(given.folder.glob("counts-*.json")):
        content = json.loads(part.read_text(encoding="ascii"))
        inputs += content["inputs"]
        for code, count in content["outcomes"].items():
            counts[code] = counts.get(code, 0) + count
        part.unlink()
    report = {
        "seconds": round(time.monotonic() - begun), "runs": runs, "inputs": inputs, "findings": found,
        "corpus": len(list(corpus.iterdir())), "outcomes": dict(sorted(counts.items())),
    }  # fmt: skip
    (given.folder / "fuzz.json").write_text(json.dumps(report, indent=2), encoding="ascii")
    print(json.dumps({key: value for key, value in report.items() if key != "outcomes"}, indent=2))
    return 1 if found else 0


def fuzz(folder: Path, scratch: Path, arguments: list[str]) -> None:
    """One child: libFuzzer's loop."""
    import atheris

    with atheris.instrument_imports(include=["service.arrival", "service.contouring", "service.dicom"]):
        import service.arrival.storage_scp
        import service.contouring.ct_series
        import service.dicom.structure_set_reader  # noqa: F401
    import logging

    from fuzz.mutations import mutated
    from fuzz.seeds import conversation_of
    from fuzz.targets import House, from_bytes

    logging.disable(logging.CRITICAL)
    house = House(scratch)
    seen: set[str] = set()
    state = {"inputs": 0, "written": 0.0}
    counts = folder / f"counts-{os.getpid()}.json"
    for number, seed in enumerate(house.seeds):
        for kind, data in enumerate((seed.data, seed.as_file(), conversation_of(seed))):
            (folder / "corpus" / f"seed-{kind}-{number}").write_bytes(bytes((kind, number)) + data)

    def one(data: bytes) -> None:
        state["inputs"] += 1
        try:
            from_bytes(house, data)
        except Exception as error:  # noqa: BLE001 - what comes out is the finding
            where = [
                f"{f.filename}:{f.lineno}"
                for f in traceback.extract_tb(error.__traceback__)
                if "service" in f.filename
            ]
            site = f"{type(error).__name__} {where[-1:]}"
            if site not in seen:
                seen.add(site)
                name = folder / "findings" / f"raised-{hashlib.sha256(site.encode()).hexdigest()[:12]}"
                name.write_bytes(data)
                name.with_suffix(".txt").write_text(
                    traceback.format_exc(), encoding="utf-8", errors="replace"
                )
        if time.monotonic() - state["written"] > 5:
            state["written"] = time.monotonic()
            content = {"inputs": state["inputs"], "outcomes": house.outcomes}
            counts.write_text(json.dumps(content), encoding="ascii")

    def change(data: bytes, longest: int, seed: int) -> bytes:
        chance = Random(seed)
        if chance.random() < 0.2 or len(data) < 3:
            return atheris.Mutate(data, longest)
        return (data[:2] + mutated(data[2:], chance))[:longest]

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    atheris.Setup([sys.argv[0], *arguments], one, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
