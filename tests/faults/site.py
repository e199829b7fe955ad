"""A whole site for tests of faults: a node with a recording model, senders, destinations, people who are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
from analytic_bundle import STRUCTURES
from faults.destination import Destination
from faults.recording_bundle import numbered_ct, series_uid_of, write_recording_bundle
from persistent_sender import Sender
from running_node import NoticeBoard, RunningNode, free_port, send_ct

from service.backlog.engine import EngineClient
from service.backlog.operations import Operations
from service.backlog.records import DeliveryState, Job, JobState
from service.backlog.spool import hashed

SENDERS = {"SCANNER1": 100, "SCANNER2": 100, "ARCHIVE": 4, "TPS1": 6, "EACHIMAGE": 1}
"""By AE title: how many images it sends in one association."""
_UNDER_WAY = 15
"""Series that are sent before the first sets are back; further ones follow as sets come back."""
_RETRY = {"first_seconds": 1, "factor": 1.5, "longest_seconds": 3}


class Site:
    """Everything around one node, and the node.

    Args:
        folder: for configuration, log and CTs.
        database: ``sqlite`` or a URL.
        series: how many CTs there are, numbered from 1.
        storage: the node's storage folder if not below ``folder``.
        program: the end of the model's program, see :func:`write_recording_bundle`.
        node: further settings of the node.
    """

    def __init__(
        self,
        folder: Path,
        database: str = "sqlite",
        series: int = 0,
        storage: Path | None = None,
        *,
        program: str = "",
        **node: Any,
    ) -> None:
        self.folder = folder
        self.numbers = range(1, series + 1)
        self.records = folder / "records"
        write_recording_bundle(folder / "bundles", self.records, program)
        self.board = NoticeBoard()
        self.paces: int | None = None
        """How many series each sender may have begun, if that shall not depend on what has come back."""
        self.destinations = {name: Destination(name.upper()) for name in ("tps", "archive")}
        port = free_port()
        self.node = RunningNode(folder, self._config(database, port, node), storage=storage)
        self.senders = [
            Sender(title, port, self._cts_of(nth), at_once, self._may_send)
            for nth, (title, at_once) in enumerate(SENDERS.items())
        ]

    def _config(self, database: str, port: int, node: dict[str, Any]) -> dict[str, Any]:
        settings = {
            "port": port, "quiet_seconds": 1.5, "hard_timeout_seconds": 120,
            "database": database, "bundles": [str(self.folder / "bundles")], "device": "cpu",
            "disk": {"reserve_gb": 0.001}, "notify": {"webhook": self.board.url},
        }  # fmt: skip
        return {
            "node": settings | node,
            "console": {"port": 0},
            "senders": dict.fromkeys(SENDERS),
            "destinations": {
                name: {"ae_title": there.ae_title, "host": "127.0.0.1", "port": there.port, "retry": _RETRY}
                for name, there in self.destinations.items()
            },
            "protocols": {"recording": {"model": "recording@1.0", "structures": dict.fromkeys(STRUCTURES)}},
            "routes": [
                {"name": "all", "contour": "recording", "send_to": list(self.destinations), "mode": "send"}
            ],
        }

    def _cts_of(self, sender: int) -> list[list[Path]]:
        mine = self.numbers[sender :: len(SENDERS)]
        return [numbered_ct(self.folder / f"ct-{number}", number) for number in mine]

    def _may_send(self, nth: int) -> bool:
        """Whether a sender may go on to its series of that number, so that there is always one on its way."""
        if self.paces is not None:
            return nth < self.paces
        return nth * len(SENDERS) < _UNDER_WAY + max(len(one.received) for one in self.destinations.values())

    def images_acknowledged(self) -> int:
        """How many images the senders need never send again."""
        return sum(len(sender.acknowledged) for sender in self.senders)

    def series_acknowledged(self) -> int:
        """How many series the senders have sent whole."""
        return sum(len(sender.finished_at) for sender in self.senders)

    def sets_stored(self) -> int:
        """How many series are at the destinations, counted at each."""
        return sum(len(there.received) for there in self.destinations.values())

    def sets_missing(self) -> int:
        """Series of which no set is at a destination, counted at each destination."""
        wanted = {series_uid_of(number) for number in self.numbers}
        return sum(len(wanted - set(there.sets_of_series())) for there in self.destinations.values())

    def sets_too_many(self) -> int:
        """Different sets of one series at one destination, beyond the first."""
        return sum(
            (there.sets_of_series() - Counter(set(there.sets_of_series()))).total()
            for there in self.destinations.values()
        )

    def images_not_kept(self) -> int:
        """Acknowledged images that are not in the spool with the pixels that were sent."""
        return sum(not self.is_kept(file) for file in self.acknowledged())

    def send(self, number: int, slices: int | None = None) -> list[int]:
        """Have a scanner send the CT of that number; the status of each image."""
        files = numbered_ct(self.folder / f"ct-{number}", number, slices)
        return send_ct(files, self.node.port, calling="SCANNER1")

    def wait_for_sets(self, number: int, seconds: float = 240.0) -> None:
        """Wait until each destination has exactly one set of the CT of that number."""
        for there in self.destinations.values():
            assert len(there.wait_for_series(series_uid_of(number), 1, seconds)) == 1

    def acknowledged(self) -> list[Path]:
        """The files of all images that the senders need never send again."""
        return [file for sender in self.senders for file in list(sender.acknowledged.values())]

    def is_kept(self, file: Path) -> bool:
        """Whether the image that was sent from this file is in the spool with the same pixels."""
        sent = pydicom.dcmread(file)
        series, image = str(sent.SeriesInstanceUID), str(sent.SOPInstanceUID)
        kept = self.node.storage / "spool" / "incoming" / hashed(series) / f"{hashed(image)}.dcm"
        try:
            return bool(pydicom.dcmread(kept).PixelData == sent.PixelData)
        except (OSError, pydicom.errors.InvalidDicomError, AttributeError):
            return False

    def jobs_for_a_person(self) -> list[Job]:
        """Jobs that nobody but a person brings further: held, set aside, refused."""
        with self.node.ledger() as ledger:
            return [
                job
                for state in (JobState.HELD, JobState.FAILED, JobState.REFUSED)
                for job in ledger.find_jobs(state, limit=None)
            ]

    @contextmanager
    def operations(self) -> Iterator[Operations]:
        """What a person does by the command line."""
        with self.node.ledger() as ledger:
            client = EngineClient(ledger.database_url)
            try:
                yield Operations(ledger, client)
            finally:
                client.close()

    def is_told(self, job: Job) -> bool:
        """Whether people heard of that job."""
        return any(notice["job"] == job.id for notice in list(self.board.notices))

    def under_way(self) -> int:
        """Jobs that are not done, or overtaken by one with further slices, and deliveries that are not."""
        with self.node.ledger() as ledger:
            jobs = ledger.find_jobs(limit=None)
            deliveries = [each for job in jobs for each in ledger.deliveries(job.id)]
        ended = (JobState.DONE, JobState.CANCELLED, JobState.SUPERSEDED)
        open_jobs = sum(job.state not in ended for job in jobs)
        return open_jobs + sum(
            each.state not in (DeliveryState.DELIVERED, DeliveryState.CANCELLED) for each in deliveries
        )

    def close(self) -> None:
        """End all of it, however far it is."""
        for sender in self.senders:
            sender.stopped.set()
        self.node.kill_all()
        for there in self.destinations.values():
            there.close()
        self.board.close()
