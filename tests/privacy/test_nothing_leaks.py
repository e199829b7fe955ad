"""A recognisable patient is sent down every path that fails, then looked for wherever no patient may be.

Identity belongs into the spool, the structure sets and the ledger's columns for it, so that people can find a
patient's CT, and nowhere else.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
import sqlalchemy as sa
import yaml
from analytic_bundle import STRUCTURES, write_bundle
from canary import (
    BIRTH_DATE,
    MODEL_THAT_ABORTS,
    MODEL_THAT_RAISES,
    STORAGE,
    UID_ROOT,
    TalkativeTps,
    canaries_in,
    canary_ct,
    replace_bytes,
    uid,
)
from letter_box import LetterBox
from pydicom.uid import JPEG2000Lossless
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage
from running_node import NoticeBoard, ReceivingTps, RunningNode, free_port, send_ct, wait_until

from service.backlog.records import JobState
from service.delivery.answers import answers_kept

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::UserWarning"),  # pydicom's, of values that are wrong on purpose
]

IDENTITY = {
    "series": {
        "series_instance_uid", "study_instance_uid", "patient_id", "patient_name", "birth_date", "sex",
        "accession_number", "study_date", "study_description", "series_description",
    },
    "resent": {"series_instance_uid"},
    "config": {"text"},
}  # fmt: skip
"""Columns of the ledger that may say whose it is; the configuration's own text names its folders."""

REACHED = {
    "series.hole", "series.broken-off", "series.too-few-slices", "identity-differs", "series.pixels-truncated",
    "series.pixels-undecodable", "series.rescale-invalid", "routing.slices-disagree", "series.no-route",
    "series.only-localizers", "instance.uid-invalid", "instance.modality-differs", "instance.conflict",
    "model.failed", "model.crashed", "delivery.not-understood", "delivery.unlike-class", "delivery.coerced",
    "delivery.no-connection", "delivery.stored", "config.invalid", "notify.failed", "notify.sent",
    "association.broken-off", "node.child-died",
}  # fmt: skip
"""Codes of everything that must have happened before the looking is worth anything."""


EXPORTED = ["nifti", "nifti-structures", "segmentation", "preview-pdf"]


@dataclass
class Answer:
    """One answer of the HTTP process."""

    asked: str
    status: int
    text: str


@dataclass
class House:
    """The node and its neighbours."""

    folder: Path
    node: RunningNode
    tps: ReceivingTps
    board: NoticeBoard
    box: LetterBox
    answers: list[Answer]
    """What the HTTP process said, to those who may see patients and to those who may not."""

    def send(self, sender: str, files: list[Path]) -> list[int]:
        return send_ct(files, self.node.port, calling=sender)

    def reached(self) -> set[str]:
        """Codes in the log and in the ledger."""
        events = self.node.events()
        found = {event[key] for event in events for key in ("event", "code") if event.get(key)}
        with self.node.ledger() as ledger, ledger.reading() as conn:
            for table in ("event", "attempt", "job", "series"):
                found |= set(
                    conn.execute(sa.text(f"select code from {table} where code is not null")).scalars()
                )
        return found


def config_of(folder: Path, neighbours: dict[str, int], board: NoticeBoard, box: LetterBox) -> dict:
    """Each sender has a route of its own to the neighbour or model that fails."""
    for name, program in (("raises", MODEL_THAT_RAISES), ("aborts", MODEL_THAT_ABORTS)):
        write_bundle(folder / "bundles" / name, program)
    write_bundle(folder / "bundles" / "analytic")
    usual = {"contour": "analytic", "send_to": ["tps"], "mode": "send"}
    routes = {
        "CTSCANNER": usual | {"send_to": ["tps", "export"]}, "RAISES": usual | {"contour": "raises"}, "ABORTS": usual | {"contour": "aborts"},
        **{name.upper(): usual | {"send_to": [name]} for name in neighbours if name != "tps"},
    }  # fmt: skip
    return {
        "node": {
            "quiet_seconds": 0.3, "hard_timeout_seconds": 3,
            "storage": STORAGE, "bundles": [str(folder / "bundles")],
            "notify": {"webhook": board.url, "email_to": ["physics@example.org"], "smtp_port": box.port},
        },
        "console": {"port": 0},
        "senders": dict.fromkeys([*routes, "DESCRIBED", "UNROUTED"]),
        "destinations": {
            "export": {"folder": str(folder / "export"), "objects": EXPORTED},
            **{name: {"ae_title": name.upper(), "host": "127.0.0.1", "port": port} for name, port in neighbours.items()},
        },
        "protocols": {
            name: {"model": f"{name}@1.0", "structures": dict.fromkeys(STRUCTURES)}
            for name in ("analytic", "raises", "aborts")
        },
        "routes": [
            *({"name": title, "when": {"calling_ae": title}, **rest} for title, rest in routes.items()),
            {"name": "by description", "when": {"calling_ae": "DESCRIBED", "StudyDescription": "*pelvis*"}, **usual},
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    (folder / "export").mkdir()
    tps, coercing = ReceivingTps(), ReceivingTps("COERCING", lambda _count: 0xB000)
    refusing, unlike = TalkativeTps(0xC001), TalkativeTps(0xA900)
    board, box = NoticeBoard(), LetterBox()
    neighbours = {
        "tps": tps.port, "coercing": coercing.port, "refusing": refusing.port, "unlike": unlike.port,
        "closed": free_port(),
    }  # fmt: skip
    node = RunningNode(folder, config_of(folder, neighbours, board, box), storage=folder / STORAGE)
    made = House(folder, node.start(), tps, board, box, [])
    try:
        everything_that_fails(made)
        yield made
    finally:
        node.stop()
        for neighbour in (tps, coercing, refusing, unlike, board, box):
            neighbour.close()


def everything_that_fails(house: House) -> None:
    bad_instances(house)
    bad_series(house)
    bad_models_and_neighbours(house)
    bad_configuration(house)
    bad_requests(house)
    house.node.kill("work")
    wait_until(lambda: house.reached() >= REACHED)
    house.send("CTSCANNER", canary_ct(house.folder, 90))
    house.tps.wait_for_series(uid(90, 2))
    wait_until(lambda: house.node.jobs_of(uid(90, 2))[0].state is JobState.DONE)


def bad_instances(house: House) -> None:
    """What is refused or set aside while it arrives."""
    zeros = canary_ct(house.folder, 1)
    replace_bytes(zeros, uid(1, 2).encode() + b"\0", (uid(1, 2)[:-2] + ".02").encode())
    assert set(house.send("CTSCANNER", zeros)) == {0xA900}

    def other_modality(_k: int, ds: pydicom.Dataset) -> pydicom.Dataset:
        ds.Modality = "MR"
        return ds

    assert set(house.send("CTSCANNER", canary_ct(house.folder, 2, other_modality))) == {0xA900}
    known = canary_ct(house.folder, 3)
    house.send("UNROUTED", known)
    replace_bytes(known[:2], b"CanaryComment", b"CanaryComma!!")
    assert house.send("UNROUTED", known[:2]) == [0x0111, 0x0111]
    ae = AE("CTSCANNER")
    ae.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
    association = ae.associate("127.0.0.1", house.node.port, ae_title="DELINEATE")
    with answers_kept(association):
        for file in canary_ct(house.folder, 4)[:8]:
            association.send_c_store(pydicom.dcmread(file))
    association.abort()


def bad_series(house: House) -> None:
    """What is refused when it is complete, or when it is read to be contoured."""

    def changed(seed: int, sender: str = "CTSCANNER", *, k: int | None = 5, **values: object) -> None:
        def change(slice_index: int, ds: pydicom.Dataset) -> pydicom.Dataset:
            for keyword, value in values.items() if k in (None, slice_index) else ():
                setattr(ds, keyword, value)
            return ds

        assert set(house.send(sender, canary_ct(house.folder, seed, change))) == {0}

    house.send("CTSCANNER", canary_ct(house.folder, 10, lambda k, ds: None if k == 5 else ds))
    house.send("CTSCANNER", canary_ct(house.folder, 11, slices=3))
    changed(12, PatientName="CanaryOther^Person")
    changed(13, PixelData=b"\0" * 100)
    changed(14, RescaleSlope="0")
    changed(15, "DESCRIBED", StudyDescription="CanaryStudy of another region")
    changed(16, k=None, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    compressed = canary_ct(house.folder, 17, transfer_syntax=JPEG2000Lossless)
    replace_bytes(compressed, b"\xff\x4f\xff\x51", b"\xff\x4f\xff\x00")  # SOC, and no SIZ after it
    assert set(house.send("CTSCANNER", compressed)) == {0}
    odd = replace_bytes(canary_ct(house.folder, 18), BIRTH_DATE.encode(), b"CanaryDt")
    house.send("CTSCANNER", odd)
    house.send("CTSCANNER", replace_bytes(canary_ct(house.folder, 19), b"ISO_IR 192", b"CANARY_CS "))


def bad_models_and_neighbours(house: House) -> None:
    """What goes wrong with a CT that is as it should be."""
    for seed, sender in enumerate(("RAISES", "ABORTS", "COERCING", "REFUSING", "UNLIKE", "CLOSED"), 30):
        assert set(house.send(sender, canary_ct(house.folder, seed))) == {0}


def bad_configuration(house: House) -> None:
    """An edit that cannot be taken up, and a web server for notices that is out of order."""
    good = house.node.config_file.read_text()
    config = yaml.safe_load(good)
    config["routes"][0]["when"]["CanaryKeyword"] = "CanaryValue"
    house.node.config_file.write_text(yaml.safe_dump(config))
    wait_until(lambda: house.node.events("config.invalid"))
    house.node.config_file.write_text(good)
    house.board.out_of_order = True
    house.send("CTSCANNER", canary_ct(house.folder, 50, slices=4))
    wait_until(lambda: house.node.events("notify.failed"))
    house.board.out_of_order = False


def bad_requests(house: House) -> None:
    """People look at the patient over HTTP, and say who it is where nobody asked."""
    port_file = house.node.storage / "console.port"
    wait_until(port_file.exists)
    base = f"http://127.0.0.1:{port_file.read_text()}"
    subprocess.run(
        [sys.executable, "-P", "-m", "service", "users", "add", "anna", "--role", "administrator",
         "--config", str(house.node.config_file)],
        input="correct horse battery\n", text=True, check=True, capture_output=True, cwd=house.node.folder,
    )  # fmt: skip
    words = ("users", "token", "anna", "--label", "test")
    token = house.node.command(*words).stdout.strip()
    job = next(job.id for job in house.node.jobs_of(uid(34, 2)))
    asked: list[tuple[str, str, object]] = [
        ("GET", f"/api/v1/jobs/{job}", None),
        ("POST", "/api/v1/jobs/search", {"patient_id": "CANARYID77"}),
        ("POST", "/api/v1/jobs/search", {"text": "CanaryName"}),
        ("POST", "/api/v1/jobs/search", {"patient_id": ["CanaryName"]}),
        ("POST", "/api/v1/jobs/search", "CanaryName^Phi"),
        ("POST", "/api/v1/session", {"name": "CanaryName", "password": "CanaryName"}),
        ("POST", f"/api/v1/jobs/{job}/resend", {"destination": "CanaryPlace"}),
        ("GET", "/api/v1/jobs/CanaryName", None),
        ("GET", "/api/v1/models/CanaryName", None),
        ("GET", "/CanaryName", None),
        ("GET", "/api/v1/audit", None),
        ("GET", "/api/v1/status", None),
        ("GET", "/ready", None),
        ("GET", "/metrics", None),
    ]
    for method, path, body in asked:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(base + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as found:
                status, text = found.status, found.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                status, text = error.code, error.read().decode()
        house.answers.append(Answer(f"{method} {path} {json.dumps(body)}", status, text))


def test_over_http_only_those_who_look_for_the_patient_see_who_it_is(house: House) -> None:
    looks, found, by_name, *others = house.answers
    for answer in (looks, found, by_name):
        assert answer.status == 200, answer
        assert canaries_in(answer.text), "or the looking below would be worth nothing"
    assert {answer.status for answer in others} >= {200, 401, 404, 422}
    for answer in others:
        if "delivery.no-such-destination" in answer.text or "console.no-such-model" in answer.text:
            continue  # says back the name of a place or a model that somebody typed
        assert canaries_in(answer.text) == [], answer.asked


def test_no_address_of_the_http_process_takes_a_patient(house: House) -> None:
    base = f"http://127.0.0.1:{(house.node.storage / 'console.port').read_text()}"
    with urllib.request.urlopen(f"{base}/api/v1/openapi.json", timeout=30) as answer:
        schema = json.load(answer)
    taken = {
        parameter["name"]
        for methods in schema["paths"].values()
        for operation in methods.values()
        for parameter in operation.get("parameters", ())
    }
    assert taken == {
        "job", "action", "state", "limit", "name", "reference", "since", "until", "first", "count", "row",
        "review", "structure", "protocol", "model",
    }  # fmt: skip


def test_all_of_it_was_reached_and_the_patient_is_where_people_look(house: House) -> None:
    assert house.reached() >= REACHED
    found = json.loads(house.node.command("jobs", "--patient", "CANARYID77", "--json").stdout)
    assert len(found["jobs"]) >= 10
    assert found["jobs"][0]["patient"]["patient_name"] == "CanaryName^Phi"
    assert canaries_in(json.dumps(found))
    assert str(house.tps.of_series(uid(90, 2))[0].PatientName) == "CanaryName^Phi"


def test_no_process_says_it_on_standard_output_or_in_its_log(house: House) -> None:
    assert len(house.node.events()) > 100
    assert canaries_in(house.node.log()) == []


def test_every_line_that_a_process_writes_is_an_event_of_ours(house: House) -> None:
    strange = [line for line in house.node.log().splitlines() if not line.startswith('{"')]
    assert strange == []


def test_no_file_or_folder_is_named_so(house: House) -> None:
    names = [str(file.relative_to(house.node.storage)) for file in house.node.storage.rglob("*")]
    assert len(names) > 100
    assert canaries_in("\n".join(names)) == []


def test_only_dicom_files_and_the_database_hold_it(house: House) -> None:
    """And the copy of the configuration, which names the node's own folders."""
    for file in house.node.storage.rglob("*"):
        if file.name == "structures.json":
            only_the_uids_of_the_ct(file)
        elif file.is_file() and file.suffix not in (".dcm", ".part", ".yaml") and ".sqlite" not in file.name:
            assert canaries_in(file.read_bytes().decode("latin-1")) == [], file.name


def only_the_uids_of_the_ct(file: Path) -> None:
    """Beside NIfTI files: by these two the files are laid upon the CT they belong to."""
    said = json.loads(file.read_text())
    uids = {said.pop("ct_series_instance_uid"), said.pop("ct_frame_of_reference_uid")}
    assert all(uid.startswith(UID_ROOT) for uid in uids)
    assert canaries_in(json.dumps(said, indent=0)) == []


def test_what_lies_in_a_folder_is_called_after_the_job(house: House) -> None:
    files = [file for file in (house.folder / "export").rglob("*") if file.is_file()]
    names = "\n".join(str(file.relative_to(house.folder / "export")) for file in files)
    assert {file.name for file in files} >= {"structures.json", "labels.nii.gz"}
    assert canaries_in(names) == []
    for file in files:
        if file.suffix == ".gz":
            assert canaries_in(gzip.decompress(file.read_bytes()).decode("latin-1")) == []
        elif file.suffix == ".json":
            only_the_uids_of_the_ct(file)
    (document, *_) = (file for file in files if file.name.endswith("preview-pdf.dcm"))
    assert canaries_in(pydicom.dcmread(document).EncapsulatedDocument.decode("latin-1")) == []


def test_no_notice_and_no_letter_says_it(house: House) -> None:
    told = {notice["code"] for notice in house.board.notices}
    assert told >= {"series.hole", "identity-differs", "delivery.not-understood", "instance.conflict"}
    assert canaries_in(json.dumps(house.board.notices, indent=0)) == []
    assert len(house.box.letters) >= 8
    assert canaries_in("\n".join(house.box.letters)) == []


def test_no_table_says_it_but_the_ledger_s_columns_for_it(house: House) -> None:
    engine = sa.create_engine(f"sqlite:///{house.node.storage / 'delineate.sqlite'}")
    looked_at = {}
    with engine.connect() as conn:
        for table in sa.inspect(conn).get_table_names():
            rows = conn.execute(sa.text(f'select * from "{table}"')).mappings().all()
            looked_at[table] = len(rows)
            for row in rows:
                for column, value in row.items():
                    if column not in IDENTITY.get(table, ()):
                        assert canaries_in(str(value)) == [], (table, column)
    engine.dispose()
    assert all(
        looked_at[name] for name in ("event", "attempt", "job", "workflow_status", "operation_outputs")
    )


def test_status_and_health_say_it_to_nobody(house: House) -> None:
    for command in (["status"], ["status", "--json"], ["health"]):
        done = house.node.command(*command, check=False)
        assert canaries_in(done.stdout + done.stderr) == []


def test_after_a_purge_no_byte_of_the_patient_is_left(house: House) -> None:
    """The last of all, since it deletes everything; the node runs meanwhile."""
    asked = ("purge", "--patient", "CANARYID77")
    assert "Would delete" in house.node.command(*asked, "--dry-run", check=False).stdout
    assert patient_in(house.node.storage)
    under_way = {"queued", "contouring", "held", "delivering"}
    for job in json.loads(house.node.command("jobs", "--patient", "CANARYID77", "--json").stdout)["jobs"]:
        if job["state"] in under_way:
            house.node.command("cancel", job["job"])
    wait_until(lambda: house.node.command(*asked, "--yes", check=False).returncode == 0, 180)
    assert patient_in(house.node.storage) == []
    assert json.loads(house.node.command("jobs", "--patient", "CANARYID77", "--json").stdout) == {
        "jobs": [],
        "series_without_jobs": [],
    }


def patient_in(storage: Path) -> list[str]:
    """Files that hold the patient's name, number, date of birth or UIDs; the database and its log among them."""
    words = [word.encode() for word in ("CanaryName", "CANARYID77", BIRTH_DATE, UID_ROOT)]
    files = [file for file in storage.rglob("*") if file.is_file()]
    return [file.name for file in files if any(word in file.read_bytes() for word in words)]
