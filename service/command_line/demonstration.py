"""The demonstration's steps: phantom, node, C-STORE there and back, table, picture, report."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from models.metrics import dice
from models.synthetic_ct.phantoms.phantom import PhantomSample, pelvic_phantom
from models.synthetic_ct.tissues.tissue_maps import DELIVERED
from service.backlog.ledger import Ledger
from service.command_line.preview import draw_preview
from service.config.reader import load
from service.contouring.ct_series import CtSeries
from service.contouring.structure_names import structure_named
from service.dicom.ct_writer import write_ct
from service.dicom.structure_set_reader import read_masks
from service.errors import DeliveryFailed, SegmentationFailed

if TYPE_CHECKING:
    from pynetdicom.events import Event

_PATIENCE_SECONDS: Final = 600.0
_MARK: Final = "# Made by `delineate demo`"
_CONFIG: Final = """\
# Made by `delineate demo`: a node of its own on free loopback ports.
node: {{ae_title: DELINEATE, port: 0, bind: 127.0.0.1, storage: ./var, database: sqlite, quiet_seconds: 1.0}}
console: {{enabled: false}}
senders: {{DEMO_SCANNER: {{addresses: [127.0.0.1]}}}}
destinations: {{demo-tps: {{ae_title: DEMO_TPS, host: 127.0.0.1, port: {port}}}}}
protocols:
  pelvis-ct:
    model: pelvis-ct@2.0
    label: "Demo pelvis"
    allow_unvalidated: true
    structures: {{Bladder: , Rectum: , Bowel_Small: , Colon: , Femur_Head_L: , Femur_Head_R: ,
      Bone_Pelvic_L: , Bone_Pelvic_R: , Sacrum: , Spine: , SpinalCanal: }}
  external:
    model: external@1.0
    label: "Demo external"
    structures: {{External: }}
routes:
  - name: demonstration
    when: {{Modality: CT}}
    contour: [pelvis-ct, external]
    send_to: [demo-tps]
    mode: send
"""


@dataclass
class _Tps:
    """A waiting Storage SCP: what arrived, ``external`` or ``rtstruct``."""

    received: dict[str, bytes] = field(default_factory=dict)
    arrived_at: dict[str, float] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def store(self, event: Event) -> int:
        encoded = event.encoded_dataset()
        rois = pydicom.dcmread(BytesIO(encoded)).StructureSetROISequence
        what = "external" if any(roi.ROIName == "External" for roi in rois) else "rtstruct"
        with self.changed:
            self.received[what] = encoded
            self.arrived_at[what] = time.monotonic()
            self.changed.notify_all()
        return 0x0000


def run_demonstration(out: Path, seed: int) -> None:
    """Run the main job once and leave ``rtstruct.dcm``, ``preview.png`` and ``report.json`` in ``out``."""
    console = Console()
    _begin_anew(out)
    with console.status("Making the pelvic phantom"):
        patient = pelvic_phantom(seed)
        sample = patient.sample(patient.grid())
        files = write_ct(out / "ct", sample.hu, sample.grid, seed=seed)
    console.print(
        f"Phantom CT: {len(files)} slices of {sample.grid.rows} x {sample.grid.columns}, seed {seed}"
    )
    with _waiting_tps() as (tps, port), _node(out, port, console) as node_port:
        started = time.monotonic()
        with console.status("Sending it to the node by C-STORE"):
            _send(files, node_port)
        sent = time.monotonic()
        console.print(f"Sent to DELINEATE on port {node_port} in {sent - started:.1f} s")
        with console.status("Waiting for the structure sets"):
            _wait(tps, 2)
        received = max(tps.arrived_at.values())
        console.print(f"Two structure sets came back {received - sent:.1f} s after the last image")
        time.sleep(0.5)  # the ledger learns of the last 0x0000 just after we sent it
    seconds = {"send_ct": sent - started, "until_received": received - sent} | _stages(out)
    _report(out, sample, tps, seconds, console)


def _begin_anew(out: Path) -> None:
    """Empty the folder of an earlier demonstration; nobody else's."""
    config_file = out / "config.yaml"
    if out.exists() and any(out.iterdir()):
        if not (config_file.is_file() and config_file.read_text(errors="replace").startswith(_MARK)):
            sentence = f"{out} holds something else than an earlier demonstration. Give a new folder (--out)."
            raise DeliveryFailed("demo.folder-in-use", sentence)
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    config_file.write_text(f"{_MARK}\n")


@contextmanager
def _waiting_tps() -> Iterator[tuple[_Tps, int]]:
    from pydicom.uid import RTStructureSetStorage
    from pynetdicom import AE, evt

    tps = _Tps()
    ae = AE("DEMO_TPS")
    ae.add_supported_context(RTStructureSetStorage)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, tps.store)])
    if server is None or server.socket is None:
        code, sentence = "demo.no-port", "No free loopback port could be opened."
        raise DeliveryFailed(code, sentence)
    try:
        yield tps, int(server.socket.getsockname()[1])
    finally:
        server.shutdown()


@contextmanager
def _node(out: Path, tps_port: int, console: Console) -> Iterator[int]:
    config_file = out / "config.yaml"
    config_file.write_text(_CONFIG.format(port=tps_port))
    port_file = load(config_file).storage / "arrival.port"
    with (out / "node.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-m", "service", "serve", "--config", str(config_file)],
            stdout=log,
            stderr=log,
        )
    try:
        with console.status("Starting the node"):
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while not port_file.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    sentence = f"The node did not start; its log is {out / 'node.log'}."
                    raise SegmentationFailed("demo.node-did-not-start", sentence)
                time.sleep(0.1)
        yield int(port_file.read_text())
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _send(files: list[Path], port: int) -> None:
    from pydicom.uid import CTImageStorage
    from pynetdicom import AE

    from service.delivery.answers import answers_kept

    ae = AE("DEMO_SCANNER")
    ae.add_requested_context(CTImageStorage)
    # The node answers when an image is on disk. Just after an installation the disk may be busy for a minute.
    ae.dimse_timeout = ae.network_timeout = _PATIENCE_SECONDS
    association = ae.associate("127.0.0.1", port, ae_title="DELINEATE")
    statuses: list[int | None] = []
    if association.is_established:
        with answers_kept(association):
            statuses = [association.send_c_store(file).get("Status") for file in files]
        association.release()
    if statuses != [0] * len(files):
        raise DeliveryFailed("demo.not-sent", "The node did not take the phantom CT; its log is node.log.")


def _wait(tps: _Tps, count: int) -> None:
    with tps.changed:
        if not tps.changed.wait_for(lambda: len(tps.received) >= count, timeout=_PATIENCE_SECONDS):
            sentence = "The structure sets did not come back; the node's log is node.log."
            raise SegmentationFailed("demo.nothing-came-back", sentence)


def _stages(out: Path) -> dict[str, float]:
    """Seconds of each stage of the pelvic job by the ledger; steps of contouring by their own clock."""
    loaded = load(out / "config.yaml")
    ledger = Ledger(loaded.database_url, loaded.storage)
    job = next(job for job in ledger.find_jobs() if job.protocol == "pelvis-ct")
    story = ledger.story(job.id)
    begun = next(event.at for event in story.events if event.code == "job.contouring")
    made = story.contoured_at or begun
    delivered = max(attempt.ended_at or made for _, attempts in story.deliveries for attempt in attempts)
    steps = {f"contour_{step}": seconds for step, seconds in story.seconds.items()}
    stages = {
        "wait_until_complete": job.created_at - story.series.last_at,
        "wait_in_queue": begun - job.created_at,
        "contour": made - begun,
        "deliver": delivered - made,
    }
    return {stage: max(0.0, seconds) for stage, seconds in (stages | steps).items()}


def _report(
    out: Path, sample: PhantomSample, tps: _Tps, seconds: Mapping[str, float], console: Console
) -> None:
    """Compare what came back with the phantom's truth; write and print it."""
    series = CtSeries.read(sorted((out / "ct").iterdir()))
    slices = [(reference.sop_instance_uid, reference.frame_number) for reference in series.references]
    found: dict[str, NDArray[np.bool_]] = {}
    for what, encoded in sorted(tps.received.items(), reverse=True):
        (out / f"{what}.dcm").write_bytes(encoded)
        found |= read_masks(encoded, series.grid, slices)
    truth = {name: mask for name, mask in sample.truth().items() if name in DELIVERED}
    volumes_cm3 = sample.grid.voxel_volumes_mm3() / 1000.0
    rows = []
    for name, mask in found.items():
        known = truth.get(name)
        volume = round(float(mask.sum(axis=(1, 2)) @ volumes_cm3), 2)
        dsc = None if known is None else round(dice(mask, known), 4)
        rows.append({"name": name, "volume_cm3": volume, "dsc": dsc})
    rows += [{"name": name, "volume_cm3": 0.0, "dsc": 0.0} for name in truth if name not in found]
    rounded = {stage: round(value, 3) for stage, value in seconds.items()}
    (out / "report.json").write_text(json.dumps({"structures": rows, "seconds": rounded}, indent=2) + "\n")
    colors = {name: "#{:02x}{:02x}{:02x}".format(*structure_named(name).color) for name in found}
    title = "Phantom CT and the structure sets that came back"
    draw_preview(out / "preview.png", sample.hu, sample.grid, found, colors, title)
    _print_tables(console, rows, rounded)
    console.print(f"Results: {out / 'rtstruct.dcm'}, {out / 'preview.png'}, {out / 'report.json'}")


def _print_tables(console: Console, rows: list[dict[str, object]], seconds: Mapping[str, float]) -> None:
    table = Table(title="Structures", title_justify="left")
    for column in ("structure", "volume cm3", "DSC against the phantom's truth"):
        table.add_column(column, justify="left" if column == "structure" else "right")
    for row in rows:
        table.add_row(
            str(row["name"]), f"{row['volume_cm3']:.1f}", "-" if row["dsc"] is None else f"{row['dsc']:.3f}"
        )
    console.print(table)
    table = Table(title="Seconds", title_justify="left")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    for stage, value in seconds.items():
        table.add_row(stage.replace("_", " "), f"{value:.2f}")
    console.print(table)
