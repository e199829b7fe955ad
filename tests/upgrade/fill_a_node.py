"""Makes what the upgrade tests open: a node's storage folder and database, jobs in every state, killed at work.

Run once with an older version of the project first on the path, never by the tests:
``PYTHONPATH=OLD:OLD/tests python tests/upgrade/fill_a_node.py FOLDER [sqlite|postgresql]``; it leaves
``FOLDER/storage.tar.xz`` and, for PostgreSQL, ``FOLDER/database.sql.xz``. All patients are made up.
"""

from __future__ import annotations

import lzma
import socket
import subprocess
import sys
import tarfile
import time
from contextlib import ExitStack
from pathlib import Path

import pydicom
from analytic_bundle import MODEL, STRUCTURES, small_ct, write_bundle
from postgresql import cluster
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage
from running_node import ReceivingTps, RunningNode, free_port, send_ct, wait_until

from service.backlog.records import DeliveryState, JobState

SLOW = MODEL.replace(
    "def segment(volume):", "def segment(volume):\n        import time\n        time.sleep(3600)"
)
RAISES = "def segment(volume):\n    raise ValueError\n"
ROUTES = {  # by sender: model, destinations, mode
    "GOOD": ("analytic", ["tps"], "send"),
    "SHADOW": ("analytic", ["tps"], "shadow"),
    "HOLD": ("analytic", ["tps"], "hold"),
    "GONE": ("analytic", ["gone"], "send"),
    "STALLS": ("analytic", ["stalls"], "send"),
    "REFUSES": ("analytic", ["refuses"], "send"),
    "RAISES": ("raises", ["tps"], "send"),
    "SLOW": ("slow", ["tps"], "send"),
}


def config_of(folder: Path, ports: dict[str, int], database: str) -> dict:
    """The node's configuration, in the words of schema version 1."""
    again = {"first_seconds": 1, "factor": 1, "longest_seconds": 1, "give_up_hours": 10000}
    return {
        "node": {
            "quiet_seconds": 1, "hard_timeout_seconds": 4, "poll_seconds": 0.1, "database": database,
            "bundles": [str(folder / "bundles")],
        },
        "senders": dict.fromkeys([*ROUTES, "UNROUTED"]),
        "destinations": {
            name: {"ae_title": "TPS", "host": "127.0.0.1", "port": port, "retry": again, "timeout_seconds": 600}
            for name, port in ports.items()
        },
        "protocols": {
            name: {"model": f"{name}@1.0", "structures": dict.fromkeys(STRUCTURES)}
            for name in ("analytic", "slow", "raises")
        },
        "routes": [
            {"name": who, "when": {"calling_ae": who}, "contour": model, "send_to": to, "mode": mode}
            for who, (model, to, mode) in ROUTES.items()
        ],
    }  # fmt: skip


class Filling:
    """A node that is brought into every state."""

    def __init__(self, folder: Path, database: str, stack: ExitStack) -> None:
        self.folder = folder
        for name, program in (("analytic", MODEL), ("slow", SLOW), ("raises", RAISES)):
            write_bundle(folder / "bundles" / name, program)
        tps, refuses = ReceivingTps(), ReceivingTps(answer=lambda _count: 0xC001)
        stalls = socket.create_server(("127.0.0.1", 0))  # accepts by the kernel, and never says a word
        for end in (tps, refuses, stalls):
            stack.callback(end.close)
        ports = {
            "tps": tps.port,
            "gone": free_port(),
            "stalls": stalls.getsockname()[1],
            "refuses": refuses.port,
        }
        self.node = RunningNode(folder, config_of(folder, ports, database)).start()
        stack.callback(self.node.kill_all)

    def send(self, sender: str, seed: int, part: slice = slice(None), tweak: object = None) -> str:
        """One series; its UID."""
        files = small_ct(self.folder / f"ct-{seed}", seed, tweak=tweak)[part]
        send_ct(files, self.node.port, calling=sender)
        return str(pydicom.dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID)

    def job(self, uid: str, *states: JobState) -> str:
        return self.node.wait_for_job(uid, *states, seconds=300).id

    def deliveries(self, job: str) -> list[DeliveryState]:
        with self.node.ledger() as ledger:
            return [delivery.state for delivery, _ in ledger.story(job).deliveries]

    def fill(self) -> None:
        def localizer(_k: int, ds: pydicom.Dataset) -> pydicom.Dataset:
            ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
            return ds

        def without_slope(k: int, ds: pydicom.Dataset) -> pydicom.Dataset:
            if k == 5:
                ds.RescaleSlope = "0"
            return ds

        def hole(k: int, ds: pydicom.Dataset) -> pydicom.Dataset | None:
            return None if k == 5 else ds

        self.job(self.send("GOOD", 1), JobState.DONE)
        self.job(self.send("SHADOW", 2), JobState.DONE)
        self.job(self.send("HOLD", 3), JobState.HELD)
        cancelled = self.job(self.send("HOLD", 4), JobState.HELD)
        self.node.command("cancel", cancelled)
        grows = self.send("HOLD", 5, slice(0, 10))
        self.job(grows, JobState.HELD)
        self.send("HOLD", 5, slice(10, 12))
        self.node.wait_for_job(grows, JobState.HELD, number=2, seconds=300)
        self.job(self.send("RAISES", 6), JobState.FAILED)
        self.job(self.send("GOOD", 7, tweak=without_slope), JobState.REFUSED)
        self.send("GOOD", 8, tweak=hole)
        self.send("UNROUTED", 9)
        self.send("GOOD", 10, tweak=localizer)
        for seed, command in ((11, None), (12, "hold"), (13, "cancel")):
            job = self.job(self.send("GONE", seed), JobState.DELIVERING)
            wait_until(lambda job=job: DeliveryState.RETRYING in self.deliveries(job))
            if command is not None:
                self.node.command(command, job)
        refused = self.job(self.send("REFUSES", 14), JobState.FAILED, JobState.DELIVERING, JobState.DONE)
        wait_until(lambda: DeliveryState.DEAD in self.deliveries(refused))
        stalls = self.job(self.send("STALLS", 15), JobState.DELIVERING)
        wait_until(lambda: DeliveryState.SENDING in self.deliveries(stalls))
        for seed in range(16, 22):
            slow = self.send("SLOW", seed)
            self.job(slow, JobState.QUEUED, JobState.CONTOURING)
        time.sleep(6)  # the series with a hole waits in vain for so long
        ae = AE("GOOD")
        ae.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
        association = ae.associate("127.0.0.1", self.node.port, ae_title="DELINEATE")
        for file in small_ct(self.folder / "ct-22", 22)[:6]:
            association.send_c_store(pydicom.dcmread(file))
            time.sleep(0.05)
        self.node.kill_all()


def main() -> None:
    out, database = Path(sys.argv[1]).absolute(), sys.argv[2] if len(sys.argv) > 2 else "sqlite"
    work = out / "work"
    work.mkdir(parents=True)
    with ExitStack() as stack:
        url = "sqlite"
        if database == "postgresql":
            server = stack.enter_context(cluster())
            url = server.new_database()
        filling = Filling(work, url, stack)
        filling.fill()
        with filling.node.ledger() as ledger:
            counts = ledger.counts()
            print(
                {
                    "series": dict(counts.series),
                    "jobs": dict(counts.jobs),
                    "deliveries": dict(counts.deliveries),
                }
            )
        if database == "postgresql":
            plain = url.replace("+psycopg", "")
            dump = subprocess.run(
                ["pg_dump", "--no-owner", "--no-privileges", plain], capture_output=True, check=True
            ).stdout
            (out / "database.sql.xz").write_bytes(lzma.compress(dump, preset=9))
        with tarfile.open(out / "storage.tar.xz", "w:xz", preset=9) as archive:
            archive.add(filling.node.storage, arcname=".")


if __name__ == "__main__":
    main()
