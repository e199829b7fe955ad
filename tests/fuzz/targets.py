"""Everything in the node that reads what a sender made, driven by bytes; what may come out, and nothing else."""

from __future__ import annotations

import re
import socket
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fuzz.seeds import SYNTAXES, Seed, make_seeds, siblings
from pydicom.uid import RTStructureSetStorage

from service.arrival.association import ReceivingAssociation
from service.arrival.instance import Claim, Origin, read_header
from service.arrival.intake import Intake
from service.arrival.listener import Listener
from service.arrival.routing import route
from service.arrival.series_headers import identity_of, read_headers
from service.arrival.series_of_folder import series_of
from service.arrival.spooled_series import read_folder, read_instance
from service.arrival.storage_scp import StorageScp
from service.backlog.records import ReceivedInstance
from service.backlog.spool import Spool
from service.config.reader import parse
from service.contouring.ct_series import CtSeries, Limits
from service.dicom.header_scan import HeaderIncomplete
from service.dicom.structure_set_reader import read_structure_set
from service.errors import InstanceRefused, NodeError, SeriesRefused

CONFIG = """
node: {port: 0, enhanced_ct: true, network_timeout_seconds: 1, disk: {reserve_gb: 0.001}}
senders: {ECLIPSE: null}
destinations: {tps: {ae_title: TPS, host: 127.0.0.1, port: 11113}}
protocols: {external: {model: external@1.0, structures: {External: null}}}
routes:
  - name: all
    when: {Modality: CT, StudyDescription: "*", SliceThickness: ">0", PatientID: "*"}
    unless: {SeriesDescription: "*CBCT*", ImageType: LOCALIZER, PatientName: nobody}
    contour: external
    send_to: [tps]
    mode: send
"""
ORIGIN = Origin("ECLIPSE", "DELINEATE", "127.0.0.1")
OUR_NAMES = re.compile(
    r"[0-9a-f]{32}(-\d+)?(\.dcm)?|\.association-end|spool|jobs|incoming|set-aside|structure-sets|purging"
)


class _Connection(socket.socket):
    """A pair of sockets that takes the options of TCP too."""

    def setsockopt(self, *_: object) -> None:
        pass


class Escaped(AssertionError):
    """A file lies where no file of that name may be."""


class House:
    """The receiving and the reading path, without a network and without a database.

    Args:
        folder: empty; everything that is written must lie in ``storage`` below it.
    """

    def __init__(self, folder: Path) -> None:
        warnings.simplefilter("ignore")  # pydicom's, of values that are wrong on purpose
        self.folder = folder
        self.outcomes: Counter[str] = Counter()
        self.seeds = make_seeds(folder / "seeds")
        self._siblings = siblings(folder)
        self._loaded = parse(CONFIG, folder / "config.yaml", check_bundles=False)
        self._spool = Spool(folder / "storage")
        self._before = self._outside()
        self._scp = StorageScp(lambda: self._loaded.site, self._spool, self)
        self._server = Listener(self._scp, self._loaded.site.node, "127.0.0.1", 0)

    def close(self) -> None:
        self._server.server_close()

    # what the SCP tells

    def arrived(self, association: int, instance: ReceivedInstance, *, new: bool) -> None:
        self.outcomes["arrived"] += 1

    def conflicting(self, association: int, instance: ReceivedInstance) -> None:
        self.outcomes["conflict"] += 1

    def ended(self, association: int, *, released: bool, at: float) -> None:
        self.outcomes["released" if released else "broken off"] += 1

    # targets

    def instance(self, seed: Seed, data: bytes) -> None:
        """A data set by C-STORE, and whatever reads it afterwards if it is taken."""
        claim = Claim(seed.sop_class_uid, self._uid(data, seed), seed.transfer_syntax_uid)
        intake = Intake(
            1, ORIGIN, self._spool, self, discard=(), reserve_bytes=0, clock=time.time, authorised=True
        )
        try:
            answer = intake.store(claim, [memoryview(data)], len(data))
            self.outcomes[f"{answer.status:04X} {answer.comment}".strip()] += 1
            self._inside()
            for file in sorted(self._spool.storage.rglob("*.dcm")):
                self._read(file)
        finally:
            self._sweep()

    def file(self, data: bytes) -> None:
        """A file that a person names on the command line, or that lies damaged in the spool."""
        file = self.folder / "given" / "given.dcm"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
        try:
            self._read(file)
            for series in series_of(file.parent, self._loaded):
                self._route(series.headers)
        finally:
            file.unlink()

    def conversation(self, stream: bytes) -> None:
        """Whatever comes over a connection, up to its end."""
        end, theirs = socket.socketpair()
        ours = _Connection(fileno=end.detach())
        with theirs:
            theirs.settimeout(0)
            try:
                theirs.sendall(stream[: 1 << 16])
                theirs.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            association = ReceivingAssociation(self._server.ae, self._scp, ours, "127.0.0.1", 1.0)
            acceptor = association.acceptor
            acceptor.maximum_length, acceptor.ae_title = 131072, "DELINEATE"
            acceptor.supported_contexts = self._server.contexts
            association.run_reactor()
        try:
            self._inside()
        finally:
            self._sweep()

    # parts

    def _read(self, file: Path) -> None:
        try:
            found: Sequence[ReceivedInstance] = [read_instance(file)]
            read_folder(file.parent)
        except InstanceRefused as refusal:
            self.outcomes[refusal.code] += 1
            found = []
        try:
            if found:
                headers = read_headers(found, self._loaded)
                identity_of(headers[0])
                self._route(headers)
        except SeriesRefused as refusal:
            self.outcomes[refusal.code] += 1
        try:
            CtSeries.read([*self._siblings, file], limits=Limits(enhanced_ct=True)).volume()
            self.outcomes["contoured"] += 1
        except SeriesRefused as refusal:
            self.outcomes[refusal.code] += 1
        try:
            read_structure_set(file)
            self.outcomes["structure set"] += 1
        except NodeError as refusal:
            self.outcomes[refusal.code] += 1

    def _route(self, headers: Sequence[object]) -> None:
        try:
            route(headers, "ECLIPSE", "DELINEATE", self._loaded)  # type: ignore[arg-type]
        except SeriesRefused as refusal:
            self.outcomes[refusal.code] += 1

    def _uid(self, data: bytes, seed: Seed) -> str:
        """The UID that the data set has, as a sender would announce it."""
        try:
            return read_header([data], seed.transfer_syntax_uid).sop_instance_uid
        except (InstanceRefused, HeaderIncomplete):
            return "2.25.1"

    def _outside(self) -> set[Path]:
        return {
            path
            for path in (
                *self.folder.iterdir(),
                *self.folder.parent.iterdir(),
                *(self.folder / "seeds").iterdir(),
            )
            if path.name != "given"
        }

    def _inside(self) -> None:
        strange = [path for path in self._spool.storage.rglob("*") if not OUR_NAMES.fullmatch(path.name)]
        if strange or self._outside() - self._before:
            raise Escaped

    def _sweep(self) -> None:
        for path in sorted(self._spool.storage.rglob("*"), reverse=True):
            if path.is_file():
                path.unlink()
            elif path.parent != self._spool.storage and path.parent != self._spool.storage / "spool":
                path.rmdir()


def from_bytes(house: House, data: bytes) -> None:
    """One input of the long run: the first byte chooses the target, the second the syntax and class."""
    if len(data) < 2:
        return
    which, syntax, rest = data[0] % 3, data[1], data[2:]
    if which == 0:
        house.instance(house.seeds[syntax % len(house.seeds)], rest)
    elif which == 1:
        house.file(rest)
    else:
        house.conversation(rest)


__all__ = ["SYNTAXES", "Escaped", "House", "RTStructureSetStorage", "from_bytes"]
