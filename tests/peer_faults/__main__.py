"""``make peers-table``: the same faults done to the node, DCMTK's storescp and Orthanc, and what came of them.

One server after the other is alone with each fault; ours as shipped but for its limit of associations. How long a
silent peer is held is looked at at the end, by a server of its own for each, all at once, since it takes minutes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

from peer_faults.senders import FAULTS, Fault, Scene, ending, other_client
from peer_faults.servers import NAMES, NotHere, Server, server


def look_at(running: Server, fault: Fault) -> dict[str, object]:
    """One fault done to one server."""
    with closing(Scene(running.port, 10.0)) as scene:
        before = running.memory_mib()
        try:
            fault.begin(scene)
        except (OSError, EOFError, AssertionError) as error:
            return {"said": f"not even begun ({type(error).__name__})", "alive": running.is_alive()}
        other = other_client(running.port)
        found: dict[str, object] = {"said": scene.said, "other_client_seconds": other}
        if fault.ends and not fault.waits:
            found["ended"], seconds = ending(scene.peers[0], 5.0)
            found["ended_after_seconds"] = round(seconds, 2)
        found["growth_mib"] = round(running.memory_mib() - before, 1)
    found["alive"] = running.is_alive()
    return found


def hold(name: str, fault: Fault, folder: Path, seconds: float) -> dict[str, object]:
    """How long a silent peer is held by a server that has no other."""
    with server(name, folder) as running, closing(Scene(running.port, 10.0)) as scene:
        try:
            fault.begin(scene)
            how, after = ending(scene.peers[0], seconds)
        except (OSError, EOFError, AssertionError) as error:
            how, after = f"not even begun ({type(error).__name__})", 0.0
    return {"ended": how, "ended_after_seconds": round(after, 1)}


def main() -> None:
    """Do all of it and write ``build/peers/faults.json`` and the table."""
    parser = argparse.ArgumentParser(prog="make peers-table")
    parser.add_argument("--hold-seconds", type=float, default=200.0)
    parser.add_argument("--out", type=Path, default=Path("build/peers"))
    parser.add_argument("--only", default="", help="faults with this in their name")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, dict[str, object]]] = {}
    holding = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in NAMES:
            node = {"max_associations": 300} if name == "delineate" else {}
            results[name] = {}
            try:
                for number, fault in enumerate(FAULTS):
                    if given.only not in fault.name:
                        continue
                    with server(name, Path(scratch) / f"{name}-{number}".replace(" ", ""), **node) as running:
                        other_client(running.port)
                        results[name][fault.name] = look_at(running, fault)
                        print(name, fault.name, results[name][fault.name], flush=True)
            except NotHere:
                del results[name]

        def held(name: str, number: int) -> None:
            folder = Path(scratch) / f"{name}-held-{number}".replace(" ", "")
            results[name][FAULTS[number].name] |= hold(name, FAULTS[number], folder, given.hold_seconds)

        for name in results:
            for number, fault in enumerate(FAULTS):
                if fault.waits and fault.ends and fault.name in results[name]:
                    holding.append(threading.Thread(target=held, args=(name, number)))
                    holding[-1].start()
        for thread in holding:
            thread.join()
    content = {"at": time.strftime("%Y-%m-%d"), "hold_seconds": given.hold_seconds, "results": results}
    (given.out / "faults.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    table = as_table(results)
    (given.out / "table.md").write_text(table, encoding="utf-8")
    print(table)


def as_table(results: dict[str, dict[str, dict[str, object]]]) -> str:
    """A row a fault, a column a server."""
    names = list(results)
    lines = ["| fault | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    lines += [
        f"| {fault.name} | " + " | ".join(_cell(results[name].get(fault.name, {})) for name in names) + " |"
        for fault in FAULTS
        if any(fault.name in found for found in results.values())
    ]
    return "\n".join(lines) + "\n"


def _cell(found: dict[str, object]) -> str:
    if not found:
        return "not run"
    other = found.get("other_client_seconds")
    parts = [str(found["said"])] if found.get("said") else []
    if "ended" in found:
        after = found["ended_after_seconds"]
        parts.append(
            f"held > {after:.0f} s" if found["ended"] == "open" else f"{found['ended']} after {after:g} s"
        )
    if "other_client_seconds" in found:
        parts.append(
            "**others not served**" if other is None else f"others {1000 * float(str(other)):.0f} ms"
        )
    if float(str(found.get("growth_mib", 0))) > 20:
        parts.append(f"+{found['growth_mib']:.0f} MiB")
    if not found.get("alive", True):
        parts.append("**dead**")
    return ", ".join(parts)


if __name__ == "__main__":
    main()
