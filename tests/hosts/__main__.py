"""Hosts cut off, frozen, killed, stopped and started at random, and the database killed, for as long as is said.

``make hosts`` (``SECONDS=600``): leaves ``build/hosts.json`` with what was done how often, and what was lost or came
twice.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from hosts.namespaces import unavailable
from hosts.site import NOTHING_WRONG, Host, Site, site
from running_node import wait_until

ROLES = {"one": "arrival,contour,deliver", "two": "arrival,contour,deliver", "three": "contour,deliver"}
_FAULT_SECONDS = (2, 25)


def main() -> int:
    """Exit code 1 if anything was lost or came twice."""
    reason = unavailable()
    if reason is not None:
        print(f"skipped: {reason}")
        return 0
    parser = argparse.ArgumentParser(prog="hosts")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--out", type=Path, default=Path("build/hosts.json"))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="delineate-hosts-"))
    with site(folder, ROLES) as made:
        found = run(made, options.seconds, random.Random(options.seed))
        found["seed"] = options.seed
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    wrong = any(found[key] for key in NOTHING_WRONG)
    if not wrong:
        shutil.rmtree(folder)
    else:
        print(f"The logs are in {folder}.")
    return int(wrong)


def run(made: Site, seconds: float, chance: random.Random) -> dict:
    """Send all the time, break something all the time, mend everything, and count."""
    for host in made.hosts.values():
        host.start()
    wait_until(lambda: any(host.receives() for host in made.hosts.values()), 120)
    over, failed = threading.Event(), []

    def keep_sending() -> None:
        seed = 1000
        try:
            while not over.is_set():
                if len(made.sent) - made.tps.count() < 15:
                    made.send([seed], 300)
                    seed += 1
                over.wait(0.5)
        except BaseException as error:
            failed.append(error)
            raise

    sender = threading.Thread(target=keep_sending)
    sender.start()
    done: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end and not failed:
        done[_break_and_mend(made, chance)] += 1
        time.sleep(chance.uniform(1, 8))
    over.set()
    sender.join()
    try:
        made.wait_for_all(300)
    except TimeoutError:
        failed.append(TimeoutError("not all arrived"))
    return {**made.count(), "faults": dict(done), "repeats": made.tps.repeats, "failed": len(failed)}


def _break_and_mend(made: Site, chance: random.Random) -> str:
    host = chance.choice(list(made.hosts.values()))
    kind = chance.choice(("cut off", "frozen", "killed", "stopped", "database killed"))
    lasts = chance.uniform(*_FAULT_SECONDS)
    if kind == "database killed":
        made.restart_database(lasts / 4)
    elif kind == "cut off":
        made.network.unplug(host.name)
        time.sleep(lasts)
        made.network.plug_in(host.name)
    elif kind == "frozen":
        host.signal(signal.SIGSTOP)
        time.sleep(lasts)
        host.signal(signal.SIGCONT)
    else:
        _end(host, kind)
        time.sleep(lasts)
        host.start()
    return kind


def _end(host: Host, kind: str) -> None:
    if kind == "killed":
        host.kill()
    else:
        host.stop(90)


if __name__ == "__main__":
    sys.exit(main())
