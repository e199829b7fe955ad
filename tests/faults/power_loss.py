"""``python -m faults.power_loss`` with ``tests`` on the path: cut the power at random moments, look what is left.

Spool and database lie on a disk of their own. While CTs are sent to the node and contoured, the power of that
disk is cut: what was not made durable is gone. Every process is killed, the disk is mounted anew, everything
is started again, and every image that was acknowledged must be there as it was sent. In the end every CT must
have become its sets. With ``--careless`` nothing is made durable (libeatmydata takes the place of fsync): then
images must be missing, or this would prove nothing. The result is ``build/power-loss.json``.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from faults.disk import Disk, Unavailable
from faults.person import Person
from faults.site import SENDERS, Site
from postgresql import Cluster, cluster
from running_node import wait_until

_SHORT_SECONDS, _LONG_SECONDS = (0.0, 1.5), (4.0, 12.0)
"""From the first image that is acknowledged to the cut."""
_EVERY_SO_MANY_IS_LONG = 4
_CARELESS = "libeatmydata.so"


class PowerLoss:
    """One run of it.

    Args:
        site: the node, whose storage lies on ``disk``, and all around it.
        disk: whose power is cut.
        server: the database server with its data on ``disk``, None on SQLite.
        seed: of when it is cut.
        say: told how far it is.
    """

    def __init__(
        self, site: Site, disk: Disk, server: Cluster | None, seed: int, say: Callable[[str], None]
    ) -> None:
        self.site = site
        self.cuts: list[int] = []
        """Images that had been acknowledged at each cut."""
        self.lost: set[Path] = set()
        self.damaged = 0
        """How often the database was found damaged after a cut, or the node could not go on with it."""
        self._disk = disk
        self._server = server
        self._seed = seed
        self._chance = random.Random(seed)
        self._say = say
        self._person = Person(site, lambda: None)
        self._checked: set[Path] = set()
        self._started = time.monotonic()

    def run(self, cuts: int, settle_seconds: float) -> dict[str, Any]:
        """Cut so often, let it settle, and count; without time to settle the end is not waited for."""
        site = self.site
        site.node.start(120)
        for sender in site.senders:
            sender.start()
        for number in range(1, cuts + 1):
            site.paces = number
            is_long = number % _EVERY_SO_MANY_IS_LONG == 0
            self._wait_for_an_image()
            time.sleep(self._chance.uniform(*(_LONG_SECONDS if is_long else _SHORT_SECONDS)))
            self._cut()
            self._say(
                f"{time.monotonic() - self._started:5.0f} s: {number} cuts, {self.cuts[-1]} images acknowledged, "
                f"{len(self.lost)} lost, {site.sets_stored()} sets"
            )
            if self.damaged:
                break
        site.paces = len(site.numbers)
        is_settled = bool(settle_seconds) and self._person.settle(settle_seconds)
        self._look(site.acknowledged(), again=True)
        return self._count(is_settled=is_settled)

    def _wait_for_an_image(self) -> None:
        before = self.site.images_acknowledged()
        with suppress(TimeoutError):  # there may be none left to send
            wait_until(lambda: self.site.images_acknowledged() > before, 10)

    def _cut(self) -> None:
        """The power goes, and comes again."""
        acknowledged = self.site.acknowledged()  # what comes after this may be answered or not
        self._disk.cut_power()
        self.site.node.kill_all()
        if self._server is not None:
            self._server.crash()
        self.cuts.append(self.site.images_acknowledged())
        self._disk.unmount()
        self._disk.mount()
        try:
            if self._server is not None:
                self._server.start()
            self.site.node.start(120)
            self.damaged += not self._is_sound()
        except (RuntimeError, TimeoutError, psycopg.Error, sqlite3.Error) as error:
            self._say(f"it does not go on: {type(error).__name__}")
            self.damaged += 1
        self._look(acknowledged)

    def _look(self, acknowledged: list[Path], *, again: bool = False) -> None:
        """See whether images are there that were acknowledged since the last look, or all of them again."""
        new = set(acknowledged) - (set() if again else self._checked)
        self.lost |= {file for file in new if not self.site.is_kept(file)}
        self._checked |= new

    def _is_sound(self) -> bool:
        """Whether the database's own check finds nothing."""
        if self._server is not None:
            with self.site.node.ledger() as ledger:  # the server has recovered; our tables answer
                ledger.check()
                ledger.find_jobs(limit=None)
            return True
        connection = sqlite3.connect(self.site.node.storage / "delineate.sqlite", timeout=60)
        try:
            found = [row for (row,) in connection.execute("PRAGMA integrity_check")]
            return found == ["ok"] and not connection.execute("PRAGMA foreign_key_check").fetchall()
        finally:
            connection.close()

    def _count(self, *, is_settled: bool) -> dict[str, Any]:
        site = self.site
        destinations = site.destinations.values()
        return {
            "database": "sqlite" if self._server is None else "postgresql",
            "cuts": len(self.cuts),
            "images": site.images_acknowledged(),
            "lost": len(self.lost),
            "damaged": self.damaged,
            "settled": is_settled,
            "series": len(site.numbers),
            "sets": site.sets_stored(),
            "sets_missing": site.sets_missing(),
            "duplicated": site.sets_too_many(),
            "changed": sum(len(there.changed) for there in destinations),
            **self._person.report(),
            "seconds": round(time.monotonic() - self._started, 1),
            "seed": self._seed,
        }


@contextmanager
def power_loss(
    folder: Path, database: str, cuts: int, seed: int, say: Callable[[str], None], *, careless: bool = False
) -> Iterator[PowerLoss]:
    """A site in ``folder`` whose storage and database are on a disk of their own.

    Raises:
        faults.disk.Unavailable: no disk can be made here.
    """
    shim = {"LD_PRELOAD": _CARELESS} if careless else {}
    disk = Disk(600)
    try:
        if database == "sqlite":
            yield from _power_loss(folder, disk, None, cuts, seed, say, shim)
        else:
            with cluster(disk.folder, durable=not careless) as server:
                yield from _power_loss(folder, disk, server, cuts, seed, say, shim)
    finally:
        disk.close()


def _power_loss(
    folder: Path,
    disk: Disk,
    server: Cluster | None,
    cuts: int,
    seed: int,
    say: Callable[[str], None],
    shim: dict[str, str],
) -> Iterator[PowerLoss]:
    url = "sqlite" if server is None else server.new_database()
    disk.sync()
    site = Site(folder, url, cuts * len(SENDERS), disk.folder / "var")
    site.node.environment.update(shim)
    try:
        yield PowerLoss(site, disk, server, seed, say)
    finally:
        site.close()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="faults.power_loss", description=__doc__)
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int)
    parser.add_argument(
        "--careless", action="store_true", help="make nothing durable: images must be missing"
    )
    parser.add_argument("--out", type=Path, default=Path("build"))
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    asked.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the node ends with us
    folder = Path(tempfile.mkdtemp(prefix="delineate-power-loss-"))
    print(f"{asked.cuts} cuts, {asked.database}, SEED={seed}{', careless' * asked.careless}", flush=True)
    try:
        with power_loss(
            folder,
            asked.database,
            asked.cuts,
            seed,
            lambda line: print(line, flush=True),
            careless=asked.careless,
        ) as run:
            found = run.run(asked.cuts, 0 if asked.careless else 240 + 6.0 * asked.cuts)
    except Unavailable as reason:
        sys.exit(f"not run: {reason}")
    text = json.dumps(found, indent=2)
    name = f"power-loss-{asked.database}{'-careless' * asked.careless}.json"
    for file in ("power-loss.json", name):
        (asked.out / file).write_text(text + "\n")
    print(text)
    is_well = bool(found["lost"] or found["damaged"]) if asked.careless else is_as_it_must_be(found)
    if is_well:
        with suppress(OSError):
            shutil.rmtree(folder)
    else:
        print(f"NOT as it must be; the node's log is left in {folder}")
    sys.exit(0 if is_well else 1)


def is_as_it_must_be(found: dict[str, Any]) -> bool:
    """All that was acknowledged is there, the database is sound, and every CT became its sets."""
    counts = ("lost", "damaged", "sets_missing", "duplicated", "changed", "untold")
    return found["settled"] and not any(found[name] for name in counts)


if __name__ == "__main__":
    main()
