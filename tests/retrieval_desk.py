"""A node in this process, and an archive that does what a test tells it to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from bare_sender import CT, ct_dataset
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_context, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from service.arrival.reception import Reception
from service.arrival.storage_scp import StorageScp
from service.backlog.engine import EngineClient
from service.backlog.ledger import Ledger
from service.backlog.pull_orders import PullOrders
from service.backlog.spool import Spool
from service.config.reader import parse
from service.delivery.association import Peer
from service.retrieval.choices import Choices, RowResult
from service.retrieval.dimse_archive import DimseArchive
from service.retrieval.run import NodeParts, Run
from service.retrieval.source import Source

UID, STUDY = "2.25.20", "2.25.10"


def slices(count: int = 10, *, series: str = UID, first: int = 0, **changed: Any) -> list[Dataset]:
    """CT slices of a patient as an archive sends them."""
    found = [ct_dataset(number, series=series, **changed) for number in range(first, first + count)]
    for ds in found:
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.set_original_encoding(False, True)
    return found


class ToldArchive:
    """A query and retrieve SCP: ``holds`` is what it says to have, ``gives`` what it sends, try after try."""

    def __init__(self, sop_class: str = CT) -> None:
        self.holds: list[Dataset] = slices()
        self.gives: list[list[Dataset | int | str]] = []
        """For each C-GET: data sets, ``"abort"``, or a status to end with; the last one for all that follow."""
        self.moves_to: int | None = None
        """The port to which a C-MOVE sends what ``gives`` says; None if it knows nobody."""
        self.answers: Callable[[str, Dataset], Iterator[Dataset]] = self._matches
        self.asked: list[Dataset] = []
        self.longest_pdu_bytes = 0
        """That who asked last has announced to read."""
        self.gets = 0
        ae = AE("PACS")
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelMove)
        ae.add_supported_context(sop_class, scp_role=True, scu_role=False)
        handlers = [(evt.EVT_C_FIND, self._find), (evt.EVT_C_GET, self._get), (evt.EVT_C_MOVE, self._move)]
        self._server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        assert self._server is not None
        self.port = int(self._server.socket.getsockname()[1])

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def _matches(self, level: str, asked: Dataset) -> Iterator[Dataset]:
        keyword = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}[
            level
        ]
        seen = set()
        for ds in self.holds:
            wanted = all(
                not asked.get(key) or asked[key].value == ds[key].value
                for key in ("StudyInstanceUID", "SeriesInstanceUID", "PatientID")
                if key in asked
            )
            if wanted and ds[keyword].value not in seen:
                seen.add(ds[keyword].value)
                answer = Dataset()
                for element in asked:
                    setattr(answer, element.keyword, ds.get(element.keyword))
                answer.QueryRetrieveLevel = level
                yield answer

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        asked = event.identifier
        self.asked.append(asked)
        self.longest_pdu_bytes = event.assoc.requestor.maximum_length
        for answer in self.answers(str(asked.QueryRetrieveLevel), asked):
            yield 0xFF00, answer
        yield 0x0000, None

    def _get(self, event: evt.Event) -> Iterator[Any]:
        self.gets += 1
        gives = self.gives[min(self.gets, len(self.gives)) - 1] if self.gives else list(self.holds)
        yield max(sum(isinstance(each, Dataset) for each in gives), 1)
        for each in gives:
            if each == "abort":
                event.assoc.abort()
                return
            if isinstance(each, int):
                yield each, None
                return
            yield 0xFF00, each

    def _move(self, event: evt.Event) -> Iterator[Any]:
        if self.moves_to is None:
            yield None, None
            return
        yield "127.0.0.1", self.moves_to, {"contexts": [build_context(CT)]}
        yield from self._get(event)


@dataclass
class Watched:
    """Takes down what is shown."""

    rows: list[RowResult] = field(default_factory=list)
    images: int = 0
    said: list[str] = field(default_factory=list)

    def row(self, result: RowResult) -> None:
        self.rows.append(result)

    def image(self) -> None:
        self.images += 1

    def says(self, sentence: str) -> None:
        self.said.append(sentence)


class NodeHere:
    """SCP, reception, spool and ledger of a node."""

    def __init__(self, folder: Path, archive: dict[str, Any], **sections: Any) -> None:
        config: dict[str, Any] = {
            "node": {"port": 0, "quiet_seconds": 600, "disk": {"reserve_gb": 0.001}},
            "archives": {"pacs": {"ae_title": "PACS", "tries": 3, "retry_seconds": 0.01, "timeout_seconds": 10} | archive},
            "destinations": {"tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": 11113}},
            "protocols": {"external": {"model": "external@1.0", "structures": {"External": None}}},
            "routes": [{"name": "CT", "contour": "external", "mode": "shadow"}],
        }  # fmt: skip
        self.loaded = parse(yaml.safe_dump(config | sections), folder / "config.yaml", check_bundles=False)
        self.url = f"sqlite:///{folder / 'delineate.sqlite'}"
        self.ledger, self.spool = Ledger(self.url, folder), Spool(folder)
        self.engine = EngineClient(self.url)
        told = type("Told", (), {"tell": lambda *_: None})()
        self.reception = Reception(lambda: self.loaded, self.spool, self.ledger, self.engine, told, time.time)
        self.scp = StorageScp(lambda: self.loaded.site, self.spool, self.reception, time.time)
        self.port = self.scp.start()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._step, daemon=True)
        self._thread.start()
        self.watched = Watched()
        self.orders = PullOrders(folder)
        self.classes = (CT,)

    def run(self, source: Source | None = None, **choices: Any) -> Run:
        chosen = Choices("pacs", "physicist", **{"ahead": 100} | choices)
        archive = self.loaded.site.archives["pacs"]
        receiver = Peer("DELINEATE", "127.0.0.1", self.port, "PACS", 30.0)
        parts = NodeParts(self.loaded, self.ledger, self.spool, self.orders, lambda: receiver, self.classes)
        asked = source or DimseArchive(archive, "DELINEATE", self.classes, self.spool.series_folder)
        return Run(parts, asked, chosen, self.watched, sleep=lambda seconds: time.sleep(min(seconds, 0.05)))

    def files(self, series: str = UID) -> int:
        return len(list(self.spool.series_folder(series).glob("*.dcm")))

    def close(self) -> None:
        self.scp.stop(1.0)
        self._stop.set()
        self._thread.join()
        self.reception.close()
        self.engine.close()
        self.ledger.close()

    def _step(self) -> None:
        while not self._stop.wait(0.02):
            self.reception.step()
