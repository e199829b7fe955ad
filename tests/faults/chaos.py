"""``python -m faults.chaos`` with ``tests`` on the path: kill anything at any time, then count what is missing.

Many series of different sizes from several senders, two destinations of which one is away for a while, and
every second or two a ``kill -9`` of whatever is there: arrival, work, the model process, the console, any other
process of the node, the supervisor, the database server. The supervisor and the server are started again, as systemd
would. Then the killing stops, a person releases what is held and retries what was set aside, and all is
counted. The result is ``build/chaos.json`` and a picture beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from faults.chaos_picture import draw
from faults.person import Person
from faults.recording_bundle import records_of
from faults.site import Site
from postgresql import Cluster, cluster
from running_node import wait_until
from sqlalchemy.exc import OperationalError

_DATABASE = "database"
_START_CPU_SECONDS = {"arrival": 1.0, "console": 1.5, "model-process": 1.4, "work": 1.5, "serve": 0.15}
"""What a process works for until it is of use, however busy the machine is."""
_LIVES_SECONDS = {
    "arrival": (1, 7),
    "model-process": (0, 7),
    "console": (2, 12),
    "work": (2, 14),
    "serve": (5, 35),
    _DATABASE: (2, 9),
}
"""How long it may live after that."""
_OTHERS_LIVE_SECONDS = (1, 7)
_SET_ASIDE = "max_recovery_attempts_exceeded"
"""State of the engine's row that was set aside; it stays as a record when its job is retried by another."""
_CHANCE_OF_DYING_YOUNG = 0.25
"""That it is killed before it is of use."""


@dataclass
class Lot:
    """When a process is to die: after it has worked for so long, and then lived for so long."""

    cpu_seconds: float
    seconds: float
    of_use_at: float | None = None


class Keeper(threading.Thread):
    """Starts the node and the database server again when they have ended, as systemd would."""

    def __init__(self, site: Site, server: Cluster | None) -> None:
        super().__init__(name="keeper", daemon=True)
        self.site = site
        self.server = server
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.1):
            if self.server is not None and self.server.process.poll() is not None:
                with suppress(psycopg.OperationalError):
                    self.server.start()
            process = self.site.node.process
            if process is None or process.poll() is not None:
                with suppress(RuntimeError, TimeoutError):  # killed again while it started
                    self.site.node.start(60)

    def stop(self) -> None:
        self._over.set()
        self.join()


class Killer(threading.Thread):
    """Kills what plays each role, again and again at random moments, until told to stop."""

    def __init__(self, site: Site, server: Cluster | None, chance: random.Random) -> None:
        super().__init__(name="killer", daemon=True)
        self.kills: list[tuple[float, str]] = []
        self._site = site
        self._server = server
        self._chance = chance
        self._lots: dict[int, Lot] = {}
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.1):
            alive = {role: pid for pid, role in self._site.node.processes().items()}
            if self._server is not None and self._server.process.poll() is None:
                alive[_DATABASE] = self._server.process.pid
            for role, pid in alive.items():
                self._kill_if_it_is_time(role, pid)

    def _kill_if_it_is_time(self, role: str, pid: int) -> None:
        now = time.monotonic()
        lot = self._lots.setdefault(pid, self._lot(role))
        if lot.of_use_at is None:
            if _cpu_seconds(pid) < lot.cpu_seconds:
                return
            lot.of_use_at = now
        if now < lot.of_use_at + lot.seconds:
            return
        if role == _DATABASE and self._server is not None:
            self._server.crash()
        else:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.kills.append((now, role))

    def _lot(self, role: str) -> Lot:
        start = _START_CPU_SECONDS.get(role, 0.0)
        if self._chance.random() < _CHANCE_OF_DYING_YOUNG:
            return Lot(self._chance.uniform(0, start), 0.0)
        return Lot(start, self._chance.uniform(*_LIVES_SECONDS.get(role, _OTHERS_LIVE_SECONDS)))

    def stop(self) -> None:
        self._over.set()
        self.join()


class Chaos:
    """One run of it.

    Args:
        site: the node and all around it.
        server: the database server, None on SQLite.
        seed: of who is killed when.
        say: told how far it is.
    """

    def __init__(self, site: Site, server: Cluster | None, seed: int, say: Callable[[str], None]) -> None:
        self.site = site
        self.keeper = Keeper(site, server)
        self.killer = Killer(site, server, random.Random(seed))
        self.outage: list[float] = []
        self.started = time.monotonic()
        self.person = Person(site, lambda: self._progress("settling"))
        self._seed = seed
        self._say = say
        self._said = 0.0

    def run(self, longest_seconds: float) -> dict[str, Any]:
        """Kill until most of it has arrived or that time is over, let it settle, and count."""
        site, wanted = self.site, 2 * len(self.site.numbers)
        self.keeper.start()
        wait_until(lambda: (site.node.storage / "arrival.port").exists(), 120)
        for sender in site.senders:
            sender.start()
        wait_until(lambda: site.sets_stored() > 0, 120)
        self.killer.start()
        deadline = time.monotonic() + longest_seconds
        while time.monotonic() < deadline and site.sets_stored() < 0.95 * wanted:
            self._take_a_destination_away(site.series_acknowledged() / len(site.numbers))
            self._progress("killing")
            time.sleep(0.1)
        self.killer.stop()
        wait_until(self._database_answers, 120)  # its server may have been the last that was killed
        self._bring_it_back()
        killing_seconds = time.monotonic() - self.started
        is_settled = self.person.settle(60 + 2.0 * len(site.numbers))
        return self._count(killing_seconds, is_settled=is_settled)

    def _take_a_destination_away(self, part_sent: float) -> None:
        """One of them is away from when a fifth is sent to when three fifths are."""
        if not self.outage and part_sent >= 0.2:
            self.outage.append(time.monotonic())
            self.site.destinations["archive"].close()
        if len(self.outage) == 1 and part_sent >= 0.6:
            self._bring_it_back()

    def _bring_it_back(self) -> None:
        if len(self.outage) == 1:
            self.outage.append(time.monotonic())
            self.site.destinations["archive"].open()

    def _database_answers(self) -> bool:
        with suppress(OperationalError):
            self.site.under_way()
            return True
        return False

    def _count(self, killing_seconds: float, *, is_settled: bool) -> dict[str, Any]:
        site = self.site
        engine = json.loads(site.node.command("status", "--json").stdout)["engine"]
        destinations = list(site.destinations.values())
        overlapping = len(records_of(site.records, "overlap")) + sum(one.overlapping for one in destinations)
        return {
            "database": "sqlite" if self.keeper.server is None else "postgresql",
            "series": len(site.numbers),
            "kills": len(self.killer.kills),
            "lost": site.sets_missing() + site.images_not_kept(),
            "duplicated": site.sets_too_many(),
            "overlapping": overlapping,
            "changed": sum(len(one.changed) for one in destinations),
            "settled": is_settled,
            "left_in_engine": sum(
                number
                for counts in engine.values()
                for state, number in counts.items()
                if state != _SET_ASIDE
            ),
            "images": site.images_acknowledged(),
            "sets": site.sets_stored(),
            "sent_more_than_once": sum(len(one.deliveries) - len(one.received) for one in destinations),
            "runs_of_the_model": len(records_of(site.records, "start")),
            "kills_by_role": dict(sorted(Counter(role for _, role in self.killer.kills).items())),
            **self.person.report(),
            "killing_seconds": round(killing_seconds, 1),
            "seconds": round(time.monotonic() - self.started, 1),
            "seed": self._seed,
        }

    def _progress(self, phase: str) -> None:
        now = time.monotonic()
        if now - self._said < 2:
            return
        self._said = now
        site, series = self.site, len(self.site.numbers)
        stored = ", ".join(f"{name} {len(there.received)}" for name, there in site.destinations.items())
        self._say(
            f"{now - self.started:5.0f} s {phase}: {len(self.killer.kills)} kills, "
            f"{site.series_acknowledged()} of {series} series sent, sets: {stored}"
        )


def _cpu_seconds(pid: int) -> float:
    """What a process has worked for so far; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def chaos(folder: Path, database: str, series: int, seed: int, say: Callable[[str], None]) -> Iterator[Chaos]:
    """A site in ``folder`` and its database, ended at the end."""
    if database == "sqlite":
        yield from _chaos(folder, None, series, seed, say)
    else:
        with cluster() as server:
            yield from _chaos(folder, server, series, seed, say)


def _chaos(
    folder: Path, server: Cluster | None, series: int, seed: int, say: Callable[[str], None]
) -> Iterator[Chaos]:
    site = Site(folder, "sqlite" if server is None else server.new_database(), series)
    made = Chaos(site, server, seed, say)
    try:
        yield made
    finally:
        for thread in (made.killer, made.keeper):
            if thread.is_alive():
                thread.stop()
        site.close()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="faults.chaos", description=__doc__)
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--longest", type=float, help="seconds after which the killing ends at the latest")
    parser.add_argument("--out", type=Path, default=Path("build"))
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    print(f"{asked.series} series, {asked.database}, SEED={seed}", flush=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="delineate-chaos-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the node ends with us
    with chaos(folder, asked.database, asked.series, seed, lambda line: print(line, flush=True)) as run:
        found = run.run(asked.longest or 3.0 * asked.series)
        picture = asked.out / f"chaos-{asked.database}.png"
        draw(run, found, picture)
    text = json.dumps(found, indent=2)
    for name in ("chaos.json", f"chaos-{asked.database}.json"):
        (asked.out / name).write_text(text + "\n")
    print(text)
    is_well = is_as_it_must_be(found)
    print(f"picture: {picture}")
    if is_well:
        shutil.rmtree(folder)
    else:
        print(f"NOT as it must be; everything is left in {folder}")
    sys.exit(0 if is_well else 1)


def is_as_it_must_be(found: dict[str, Any]) -> bool:
    """Nothing lost, doubled, run twice at once, changed under its UID, or kept from people."""
    counts = ("lost", "duplicated", "overlapping", "changed", "untold", "left_in_engine")
    return found["settled"] and not any(found[name] for name in counts)


if __name__ == "__main__":
    main()
