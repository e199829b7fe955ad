"""STOW-RS: done only where the answer names the instance among those stored; what else may come is told apart."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from certificates import Authority
from dicomweb_servers import ORTHANC, PLUGIN, OrthancWeb, orthanc, scripted
from hypothesis import given
from hypothesis import strategies as st
from running_node import free_port

from service.config.dicomweb_section import DicomWeb
from service.config.transport_security import ClientTls
from service.delivery import outcome
from service.delivery.outcome import Kind
from service.delivery.stow_outcome import of_response
from service.delivery.stow_rs import Service, store

UID = "2.25.1234567890"


def answer_of(
    stored: bool = True, *, reason: int | None = None, warning: int | None = None, uid: str = UID
) -> bytes:
    item: dict[str, object] = {"00081155": {"vr": "UI", "Value": [uid]}}
    if reason is not None:
        item["00081197"] = {"vr": "US", "Value": [reason]}
    if warning is not None:
        item["00081196"] = {"vr": "US", "Value": [warning]}
    tag = "00081199" if stored else "00081198"
    return json.dumps({tag: {"vr": "SQ", "Value": [item]}}).encode()


@pytest.mark.parametrize(
    ("http", "body", "kind", "code"),
    [
        (200, answer_of(), Kind.DONE, "delivery.stored"),
        (200, answer_of(warning=0xB000), Kind.DONE_WITH_WARNING, "delivery.coerced"),
        (202, answer_of(warning=0xB006), Kind.DONE_WITH_WARNING, "delivery.elements-discarded"),
        (200, answer_of(uid="2.25.5"), Kind.SLOW_RETRY, "delivery.stow-unclear"),
        (200, b"", Kind.SLOW_RETRY, "delivery.stow-unclear"),
        (200, b"<NativeDicomModel/>", Kind.SLOW_RETRY, "delivery.stow-unclear"),
        (200, b'{"00081199": 5}', Kind.SLOW_RETRY, "delivery.stow-unclear"),
        (202, answer_of(stored=False, reason=0xA700), Kind.RETRY, "delivery.out-of-resources"),
        (409, answer_of(stored=False, reason=0xA900), Kind.DEAD, "delivery.unlike-class"),
        (409, answer_of(stored=False, reason=0xC000), Kind.DEAD, "delivery.not-understood"),
        (409, answer_of(stored=False, reason=0x0122), Kind.DEAD, "delivery.class-not-supported"),
        (409, answer_of(stored=False, reason=0x0110), Kind.RETRY, "delivery.processing-failure"),
        (409, answer_of(stored=False, reason=0x0111), Kind.DONE, "delivery.already-there"),
        (409, answer_of(stored=False, reason=0x0000), Kind.SLOW_RETRY, "delivery.unknown-status"),
        (409, answer_of(stored=False), Kind.SLOW_RETRY, "delivery.unknown-status"),
        (409, answer_of(), Kind.SLOW_RETRY, "delivery.unknown-status"),
        (400, b"", Kind.DEAD, "delivery.not-understood"),
        (401, b"", Kind.SLOW_RETRY, "delivery.stow-not-signed-in"),
        (403, b"", Kind.SLOW_RETRY, "delivery.not-authorized"),
        (404, b"", Kind.SLOW_RETRY, "delivery.stow-no-service"),
        (405, b"", Kind.SLOW_RETRY, "delivery.stow-no-service"),
        (413, b"", Kind.SLOW_RETRY, "delivery.stow-too-large"),
        (415, b"", Kind.DEAD, "delivery.class-not-supported"),
        (429, b"", Kind.RETRY, "delivery.out-of-resources"),
        (500, b"", Kind.RETRY, "delivery.out-of-resources"),
        (503, answer_of(), Kind.RETRY, "delivery.out-of-resources"),
        (302, b"", Kind.SLOW_RETRY, "delivery.stow-redirected"),
        (204, answer_of(), Kind.SLOW_RETRY, "delivery.stow-unusual-answer"),
    ],
)
def test_what_an_answer_means(http: int, body: bytes, kind: Kind, code: str) -> None:
    found = of_response(http, body, UID)
    assert (found.kind, found.code) == (kind, code)
    assert found.sentence.endswith(f"(HTTP {http})")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from([UID, 0xA700]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["00081199", "00081198", "00081155", "00081197", "00081196", "Value", "vr"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(http=st.sampled_from([200, 202, 409]), document=_JSON)
def test_no_answer_is_taken_for_stored_unless_it_names_the_instance(http: int, document: object) -> None:
    body = json.dumps(document).encode()
    found = of_response(http, body, UID)
    assert not found.stored or UID.encode() in body or http == 409


@pytest.mark.parametrize("body", [b"[" * 100_000, b"\xff\xfe", b"{" * 50_000])
def test_answers_without_sense_say_nothing(body: bytes) -> None:
    assert of_response(200, body, UID).code == "delivery.stow-unclear"


@pytest.fixture
def service(tmp_path: Path) -> Callable[..., Service]:
    def make(url: str, *, tls: ClientTls | None = None, timeout: float = 10.0, **web: str) -> Service:
        section = DicomWeb(url=url, **web)
        return Service(section.studies_url, section, tmp_path, timeout, tls)

    return make


def test_the_file_is_sent_byte_for_byte_as_one_part(structure_set: Path, service) -> None:
    with scripted(lambda: (200, answer_of())) as peer:
        found = store(structure_set, service(peer.url), sop_instance_uid=UID)
    assert found.code == "delivery.stored"
    ((headers, content),) = peer.requests
    boundary = headers["content-type"].partition("boundary=")[2]
    assert headers["content-type"].startswith('multipart/related; type="application/dicom"')
    assert headers["accept"] == "application/dicom+json"
    head, _, rest = content.partition(b"\r\n\r\n")
    assert head == f"--{boundary}\r\nContent-Type: application/dicom".encode()
    assert rest == structure_set.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    assert "authorization" not in headers


def test_a_token_comes_from_a_file_or_the_environment(structure_set, service, tmp_path, monkeypatch) -> None:
    (tmp_path / "token").write_text("from-file\nnot this\n")
    monkeypatch.setenv("ARCHIVE_TOKEN", "from-environment")
    with scripted(lambda: (200, answer_of())) as peer:
        store(structure_set, service(peer.url, token_file="token"), sop_instance_uid=UID)
        store(structure_set, service(peer.url, token="${ARCHIVE_TOKEN}"), sop_instance_uid=UID)
    said = [headers["authorization"] for headers, _ in peer.requests]
    assert said == ["Bearer from-file", "Bearer from-environment"]


def test_a_token_with_other_letters_than_a_header_takes_is_not_sent(structure_set, service, tmp_path) -> None:
    (tmp_path / "token").write_text("gehe\u00efm")
    with scripted(lambda: (200, answer_of())) as peer:
        found = store(structure_set, service(peer.url, token_file="token"), sop_instance_uid=UID)
    assert found.code == "delivery.stow-secret-missing"
    assert peer.requests == []


@pytest.mark.parametrize("web", [{"token_file": "absent"}, {"user": "u", "password": "${NOT_SET_HERE}"}])
def test_a_secret_that_is_not_there_is_told_and_nothing_is_sent(structure_set, service, web) -> None:
    with scripted(lambda: (200, answer_of())) as peer:
        found = store(structure_set, service(peer.url, **web), sop_instance_uid=UID)
    assert (found.kind, found.code, found.alarm) == (Kind.SLOW_RETRY, "delivery.stow-secret-missing", True)
    assert peer.requests == []


def test_a_redirection_is_not_followed(structure_set, service, tmp_path) -> None:
    (tmp_path / "token").write_text("secret")
    with scripted(lambda: (307, b"")) as peer:
        found = store(structure_set, service(peer.url, token_file="token"), sop_instance_uid=UID)
    assert found.code == "delivery.stow-redirected"
    assert len(peer.requests) == 1


def test_silence_has_an_end(structure_set, service) -> None:
    silent = threading.Event()
    with scripted(lambda: (200 if silent.wait(20) else 500, b"")) as peer:
        assert (
            store(structure_set, service(peer.url, timeout=0.3), sop_instance_uid=UID) is outcome.NO_RESPONSE
        )
        silent.set()


def test_nobody_there_and_no_such_host(structure_set, service) -> None:
    nobody = service(f"http://127.0.0.1:{free_port()}/dicom-web")
    assert store(structure_set, nobody, sop_instance_uid=UID) is outcome.REFUSED
    unknown = service("http://no-such-host.invalid/dicom-web")
    assert store(structure_set, unknown, sop_instance_uid=UID) is outcome.UNRESOLVED


def test_another_file_than_the_ledger_means_is_not_sent(structure_set, service, tmp_path) -> None:
    with scripted(lambda: (200, answer_of())) as peer:
        assert store(structure_set, service(peer.url), sop_instance_uid="2.25.9") is outcome.OTHER_INSTANCE
        absent = store(tmp_path / "absent.dcm", service(peer.url), sop_instance_uid=UID)
    assert absent is outcome.FILE_MISSING
    assert peer.requests == []


def test_tls_trusts_whom_the_configuration_names_and_nobody_else(structure_set, service, tmp_path) -> None:
    authority, other = Authority(tmp_path / "one"), Authority(tmp_path / "two", "Another")
    shown = authority.sign("archive")
    trusts = {each: ClientTls(trusted_certificates=str(each.certificate)) for each in (authority, other)}
    with scripted(lambda: (200, answer_of()), (shown.certificate, shown.key)) as peer:
        good = store(structure_set, service(peer.url, tls=trusts[authority]), sop_instance_uid=UID)
        bad = store(structure_set, service(peer.url, tls=trusts[other]), sop_instance_uid=UID)
        machine = store(structure_set, service(peer.url), sop_instance_uid=UID)
        pinned = ClientTls(fingerprints=["00" * 32])
        wrong = store(structure_set, service(peer.url, tls=pinned), sop_instance_uid=UID)
        known = ClientTls(fingerprints=[shown.fingerprint])
        right = store(structure_set, service(peer.url, tls=known), sop_instance_uid=UID)
    assert (good.code, right.code) == ("delivery.stored", "delivery.stored")
    assert (bad.code, machine.code) == ("delivery.tls-not-trusted", "delivery.tls-not-trusted")
    assert wrong.code == "delivery.tls-other-fingerprint"
    assert len(peer.requests) == 2, "nothing was sent to whom we do not trust"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancWeb]:
    if not ORTHANC.exists() or not PLUGIN.exists():
        pytest.skip("Orthanc's DICOMweb plugin is not installed (Debian package orthanc-dicomweb)")
    with orthanc(tmp_path_factory.mktemp("orthanc"), "node", "secret") as running:
        yield running


@pytest.mark.peer
def test_orthanc_has_it_and_says_so(structure_set, service, archive: OrthancWeb, tmp_path) -> None:
    (tmp_path / "password").write_text("secret\n")
    at = service(archive.url, user="node", password_file="password")
    for _ in range(2):  # the second time it is there already
        found = store(structure_set, at, sop_instance_uid=UID)
        assert (found.kind, found.code) == (Kind.DONE, "delivery.stored"), found.sentence
    (kept,) = archive.files()
    got, sent = pydicom.dcmread(BytesIO(kept)), pydicom.dcmread(structure_set)
    assert got.SOPInstanceUID == UID
    assert got.PatientName == sent.PatientName


@pytest.mark.peer
def test_orthanc_lets_nobody_in_with_another_password(structure_set, service, archive, tmp_path) -> None:
    (tmp_path / "password").write_text("guessed\n")
    at = service(archive.url, user="node", password_file="password")
    assert store(structure_set, at, sop_instance_uid=UID).code == "delivery.stow-not-signed-in"
