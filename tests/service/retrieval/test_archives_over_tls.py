"""Archives over DICOM TLS (PS3.15 B.12): Orthanc with certificates that are good, ended, or another's."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
import yaml
from archives import ORTHANC, RunningArchive, orthanc
from certificates import Authority, Certificate
from retrieval_desk import STUDY, slices
from review_desk import CONFIG, ReviewDesk
from running_node import free_port

from service.config.reader import load
from service.node.destination_query import Asked, DestinationQuery
from service.retrieval.troubles import PullStopped
from service.retrieval.wanted import Wanted

pytestmark = [pytest.mark.peer, pytest.mark.slow]


@dataclass(frozen=True)
class Street:
    """Three archives, the authority that has signed their certificates and ours, and one that nobody knows."""

    good: RunningArchive
    ended: RunningArchive
    elsewhere: RunningArchive
    shown: Certificate
    trusted: str
    stranger: str
    own: dict[str, str]
    node_port: int

    def tls(self, **changed: object) -> dict[str, object]:
        """What the configuration says of an archive that is trusted; None takes a key away."""
        said = {"trusted_certificates": self.trusted, **self.own, **changed}
        return {key: value for key, value in said.items() if value is not None}


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    if not ORTHANC.exists():
        pytest.skip("Orthanc (apt: orthanc) is not installed")
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = Authority(folder / "ca"), Authority(folder / "other", "Stranger")
    node = authority.sign("node")
    shown = {
        "good": authority.sign("good"),
        "ended": authority.sign("ended", days=-1),
        "elsewhere": authority.sign("elsewhere", names=("archive.hospital.example",)),
    }
    node_port = free_port()
    with ExitStack() as stack:
        archives = {
            name: stack.enter_context(orthanc(folder / name, node_port, title="PACS", tls=(each, authority)))
            for name, each in shown.items()
        }
        for name in ("good", "elsewhere"):
            for ds in slices():
                archives[name].upload(file_of(ds))
        yield Street(
            **archives,
            shown=shown["good"],
            trusted=str(authority.certificate),
            stranger=str(stranger.certificate),
            node_port=node_port,
            own={"certificate": str(node.certificate), "key": str(node.key)},
        )


def file_of(ds: pydicom.Dataset) -> bytes:
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    with io.BytesIO() as stream:
        pydicom.dcmwrite(stream, ds, enforce_file_format=True)
        return stream.getvalue()


CASES = [
    ("good", {}, None),
    ("good", {"trusted_certificates": "stranger"}, "tls-not-trusted"),
    ("ended", {}, "tls-expired"),
    ("elsewhere", {}, "tls-other-name"),
    ("elsewhere", {"server_name": "archive.hospital.example"}, None),
    ("good", {"trusted_certificates": None, "fingerprints": "shown"}, None),
    ("good", {"trusted_certificates": None, "fingerprints": ["00" * 32]}, "tls-other-fingerprint"),
    ("good", {"certificate": None, "key": None}, "tls-our-certificate-missing"),
]


def said_of(street: Street, changed: dict[str, object]) -> dict[str, object]:
    found = dict(changed)
    if found.get("trusted_certificates") == "stranger":
        found["trusted_certificates"] = street.stranger
    if found.get("fingerprints") == "shown":
        found["fingerprints"] = [street.shown.fingerprint]
    return street.tls(**found)


@pytest.mark.parametrize(("name", "changed", "trouble"), CASES)
def test_pulling(street: Street, make_node, name: str, changed, trouble: str | None) -> None:
    port = getattr(street, name).port
    node = make_node({"host": "127.0.0.1", "port": port, "tls": said_of(street, changed)})
    run = node.run()
    rows = [Wanted(1, study_instance_uid=STUDY)]
    if trouble is None:
        (result,) = run.pull(rows)
        assert (result.code, result.pulled, result.images, node.files()) == (None, 1, 10, 10)
        return
    with pytest.raises(PullStopped) as stopped:
        list(run.pull(rows))
    assert (stopped.value.code, node.files()) == (f"archive.{trouble}", 0)
    assert "archive" in stopped.value.sentence
    assert "destination" not in stopped.value.sentence
    assert node.watched.said == [], "nobody waits for what a person must mend"


@pytest.mark.parametrize(("name", "changed", "trouble"), CASES)
def test_the_nightly_look(
    street: Street, tmp_path: Path, caplog, name: str, changed, trouble: str | None
) -> None:
    desk = ReviewDesk(tmp_path / "node")
    try:
        edited = desk.edited(desk.job())
        archive = getattr(street, name)
        if trouble is None:
            archive.upload(edited.encoded())
        config = yaml.safe_load(CONFIG)
        tls = said_of(street, changed)
        config["destinations"]["tps"] |= {
            "port": archive.port,
            "ae_title": "ORTHANC",
            "timeout_seconds": 20,
            "tls": tls,
        }
        config["evaluation"] = {"query": {"destinations": ["tps"]}}
        (desk.folder / "config.yaml").write_text(yaml.safe_dump(config))
        loaded = load(desk.folder / "config.yaml", check_bundles=False)
        query = DestinationQuery(lambda: loaded, desk.ledger, desk.spool)
        with caplog.at_level(logging.WARNING, "delineate"):
            asked = query.ask("tps")
        kept = {file.stem for file in desk.spool.structure_sets.glob("*.dcm")}
        if trouble is None:
            assert (asked.answered, asked.fetched, len(kept)) == (True, asked.found, asked.found)
            assert asked.found >= 1
        else:
            assert (asked, kept) == (Asked(), set())
            told = [each.facts_["code"] for each in caplog.records if each.message == "review.no-association"]
            assert told == [f"delivery.{trouble}"]
    finally:
        desk.ledger.close()


def test_c_move_over_tls_there_and_back(street: Street, make_node) -> None:
    archive = {"host": "127.0.0.1", "port": street.good.port, "retrieve": "move", "tls": street.tls()}
    receiver = {"port": 0, "plain_port": "off", "quiet_seconds": 600, "disk": {"reserve_gb": 0.001}}
    node = make_node(
        archive, node=receiver | {"tls": street.tls(port=street.node_port)}, senders={"PACS": None}
    )
    (result,) = node.run().pull([Wanted(1, study_instance_uid=STUDY)])
    assert (result.code, result.pulled, result.images, node.files()) == (None, 1, 10, 10)


def test_an_archive_that_does_not_speak_tls(make_node, told, street: Street) -> None:
    """Nothing is said in the clear to who should speak TLS, nor waited for without end from who does."""
    tls = make_node({"host": "127.0.0.1", "port": told.port, "tls": street.tls()})
    with pytest.raises(PullStopped) as stopped:
        list(tls.run().pull([Wanted(1, study_instance_uid=STUDY)]))
    assert stopped.value.code in ("archive.tls-not-tls", "archive.tls-connection-lost", "archive.tls-stalled")
    assert told.asked == []
    clear = make_node({"host": "127.0.0.1", "port": street.good.port, "timeout_seconds": 2})
    with pytest.raises(PullStopped) as stopped:
        list(clear.run().pull([Wanted(1, study_instance_uid=STUDY)]))
    assert stopped.value.code in ("archive.broke-off", "archive.no-response")
