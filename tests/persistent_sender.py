"""A sender that does what real ones do: what was not acknowledged it sends again, what was acknowledged never."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.sop_class import CTImageStorage

from service.delivery.answers import answers_kept
from service.delivery.association import Watch, associate
from service.delivery.outcome import Outcome
from service.delivery.storage_scu import Peer


@dataclass
class OpenTransfer:
    """An association by which everything was sent that should be."""

    association: Association
    watch: Watch

    def release(self) -> None:
        """The proper end."""
        self.association.release()
        self.watch.close()

    def abort(self) -> None:
        """The end of one whose other side may be gone."""
        self.association.abort()
        self.watch.close()


class Sender(threading.Thread):
    """Sends series one after the other, ``at_once`` images in an association, until each is acknowledged."""

    def __init__(
        self, title: str, port: int, series: Sequence[list[Path]], at_once: int, may: Callable[[int], bool]
    ) -> None:
        super().__init__(name=title, daemon=True)
        self.acknowledged: dict[str, Path] = {}
        self.finished_at: list[float] = []
        """When each series was acknowledged whole, by the monotonic clock."""
        self.stopped = threading.Event()
        self.needless = 0
        """How often an image was sent although it had been acknowledged."""
        self._port = port
        self.series = list(series)
        self._at_once = at_once
        self._may = may

    def run(self) -> None:
        for number, files in enumerate(self.series):
            while not (self.stopped.is_set() or self._may(number)):
                time.sleep(0.05)
            waiting = list(files)
            while waiting and not self.stopped.is_set():
                transfer = self.begin(waiting)
                if transfer is None:
                    time.sleep(0.2)
                else:
                    transfer.release()
            self.finished_at.append(time.monotonic())

    def begin(self, waiting: list[Path]) -> OpenTransfer | None:
        """An association by which images were sent, still open; None if something went wrong.

        What was acknowledged is taken from ``waiting``.
        """
        watch = Watch(30)
        peer = Peer("DELINEATE", "127.0.0.1", self._port, self.name)
        association = associate(peer, [build_context(CTImageStorage, ExplicitVRLittleEndian)], watch)
        if isinstance(association, Outcome):
            return None
        transfer = OpenTransfer(association, watch)
        with answers_kept(association):
            for file in waiting[: self._at_once]:
                ds = pydicom.dcmread(file)
                uid = str(ds.SOPInstanceUID)
                self.needless += uid in self.acknowledged
                watch.expect(file.stat().st_size)
                try:
                    status = association.send_c_store(ds)
                except RuntimeError:  # the association is gone
                    status = pydicom.Dataset()
                if status.get("Status") != 0x0000:
                    transfer.abort()
                    return None
                self.acknowledged[uid] = file
                waiting.remove(file)
        return transfer

    def keep_back(self) -> list[Path]:
        """The last series, which the test sends itself."""
        return self.series.pop()
