"""DICOMweb services that answer well, and those that do not; their secrets and where they send us."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import itertools
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pydicom
import pytest
from certificates import Authority, Certificate
from retrieval_desk import STUDY, UID, slices

from service.arrival.intake import LONGEST_BYTES
from service.retrieval.troubles import PullStopped
from service.retrieval.wanted import Wanted
from service.retrieval.web_archive import WebArchive

ROW = Wanted(1, study_instance_uid=STUDY)
TAGS = {
    "StudyInstanceUID": "0020000D", "SeriesInstanceUID": "0020000E", "SOPInstanceUID": "00080018",
    "SOPClassUID": "00080016", "Modality": "00080060", "PatientID": "00100020",
}  # fmt: skip


def file_of(ds: pydicom.Dataset) -> bytes:
    with io.BytesIO() as stream:
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        pydicom.dcmwrite(stream, ds, enforce_file_format=True)
        return stream.getvalue()


class ToldWeb:
    """A DICOMweb service: what it holds, how many it lists at once, and what to answer instead."""

    def __init__(self, certificate: Certificate | None = None) -> None:
        self.holds = slices()
        self.page = 4
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body: bytes | None = None
        self.goes_on: Iterator[bytes] | None = None
        """Sent after the body until who asked has enough."""
        self.seen: list[tuple[str, str | None]] = []
        web = self

        class _Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.seen.append((self.path, self.headers.get("Authorization")))
                kind, body = web.answer(self.path)
                self.send_response(web.status)
                goes_on = web.goes_on if "?" not in self.path else None
                length = {} if goes_on is not None else {"Content-Length": str(len(body))}
                for name, value in {"Content-Type": kind, **length, **web.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)
                    for more in goes_on or ():
                        self.wfile.write(more)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certificate, certificate.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}/archive/"

    def answer(self, target: str) -> tuple[str, bytes]:
        path, _, query = target.partition("?")
        if not query:
            kind = 'multipart/related; type="application/dicom"; boundary=b0'
            parts = b"".join(
                b"--b0\r\nContent-Type: application/dicom\r\n\r\n" + file_of(ds) + b"\r\n"
                for ds in self.holds
            )
            return kind, self.body if self.body is not None else parts + b"--b0--"
        keyword = (
            "SOPInstanceUID"
            if path.endswith("instances")
            else "SeriesInstanceUID"
            if path.endswith("series")
            else "StudyInstanceUID"
        )
        found = list({str(ds[keyword].value): ds for ds in self.holds}.values())
        offset = int(query.partition("offset=")[2].partition("&")[0])
        answers = [
            {tag: {"vr": "UI", "Value": [str(ds[name].value)]} for name, tag in TAGS.items()}
            for ds in found[offset : offset + self.page]
        ]
        return "application/dicom+json", self.body if self.body is not None else json.dumps(answers).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web() -> Iterator[ToldWeb]:
    service = ToldWeb()
    yield service
    service.close()


@pytest.fixture
def pull(make_node, web):
    def pull_by(**archive):
        node = make_node({"retrieve": "wado", "url": web.url, **archive})
        source = WebArchive(node.loaded.site.archives["pacs"], node.classes)
        (result,) = node.run(source).pull([ROW])
        return result, node

    return pull_by


def test_a_good_one_is_read_page_by_page_and_bytes_stay_as_they_are(pull, web):
    result, node = pull()
    assert (result.code, result.pulled, result.images) == (None, 1, 10)
    stored = {
        pydicom.dcmread(file).SOPInstanceUID: file for file in node.spool.series_folder(UID).glob("*.dcm")
    }
    for ds in web.holds:
        sent, kept = file_of(ds), stored[ds.SOPInstanceUID].read_bytes()
        assert kept.endswith(sent[sent.index(b"\x08\x00\x08\x00CS") :])
    assert sum("instances?" in path for path, _ in web.seen) == 4  # 4, 4, 2 and none


def test_secrets_come_from_files_and_from_the_environment(pull, web, tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("from file\nsecond line")
    pull(user="me", password_file=str(tmp_path / "secret"))
    assert {said for _, said in web.seen} == {"Basic " + base64.b64encode(b"me:from file").decode()}
    web.seen.clear()
    monkeypatch.setenv("CANARY_TOKEN", "t0ken")
    pull(token="${CANARY_TOKEN}")
    assert {said for _, said in web.seen} == {"Bearer t0ken"}


def test_a_secret_that_is_missing_stops_the_run(pull, web):
    with pytest.raises(PullStopped) as stopped:
        pull(token="${NOBODY_SET_THIS}")
    assert (stopped.value.code, web.seen) == ("archive.secret-missing", [])


@pytest.mark.parametrize(
    ("status", "headers", "code"),
    [
        (302, {"Location": "http://192.0.2.1/"}, "archive.redirects"),
        (400, {}, "archive.web-refused"),
        (503, {}, "archive.web-failed"),
    ],
)
def test_statuses(pull, web, status, headers, code):
    web.status, web.headers = status, headers
    result, _ = pull()
    assert result.code == code
    assert len(web.seen) == (3 if status == 503 else 1)


def test_no_entrance_stops_the_run(pull, web):
    web.status = 401
    with pytest.raises(PullStopped) as stopped:
        pull()
    assert stopped.value.code == "archive.not-allowed"


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[3]", b"[" * 100_000, b"\xff"])
def test_what_is_no_dicom_json(pull, web, body):
    web.body = body
    result, _ = pull()
    assert result.code == "archive.not-dicom-json"


def test_an_answer_that_is_cut_off_is_asked_for_again(pull, web):
    whole = web.answer("/x")[1]
    web.answer, told = (
        (
            lambda target: (
                ("multipart/related; boundary=b0", whole[: len(whole) // 2])
                if "?" not in target
                else told(target)
            )
        ),
        web.answer,
    )
    result, node = pull()
    assert result.code == "archive.broke-off"
    assert 0 < node.files() < 10
    assert node.ledger.jobs_of_series(UID) == []


def test_parts_that_are_no_dicom_files(pull, web):
    told = web.answer
    rubbish = b"".join(
        b"--b0\r\n\r\n" + body + b"\r\n"
        for body in [b"", b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM\2\0\2\0UI\xff\xff", b"x" * 9] * 3
    )
    web.answer = lambda target: (
        told(target) if "?" in target else ("multipart/related; boundary=b0", rubbish + b"--b0--")
    )
    result, node = pull()
    assert result.code in ("archive.not-dicom", "archive.not-a-ct")
    assert node.files() == 0


def test_a_login_page_in_place_of_images(pull, web):
    told = web.answer
    web.answer = lambda target: told(target) if "?" in target else ("text/html", b"<html>Sign in</html>")
    result, node = pull()
    assert (result.code, node.files()) == ("archive.not-multipart", 0)
    assert sum("?" not in path for path, _ in web.seen) == 1


def test_parts_without_end(pull, web, monkeypatch):
    monkeypatch.setattr("service.retrieval.web_archive._MOST_SUPERFLUOUS", 5)  # 25 are listened to
    part = b"\r\n--b0\r\n\r\n" + file_of(slices(1)[0])
    web.body, told = b"--b0\r\n\r\n" + file_of(slices(1)[0]), web.answer
    web.answer = lambda target: told(target) if "?" not in target else queried(web, told, target)
    web.goes_on = itertools.repeat(part)
    result, node = pull()
    assert (result.code, node.files()) == ("archive.too-many-answers", 1)


def queried(web, told, target):
    body, web.body = web.body, None
    try:
        return told(target)
    finally:
        web.body = body


def test_one_part_without_end(pull, web, monkeypatch):
    monkeypatch.setitem(LONGEST_BYTES, slices(1)[0].SOPClassUID, 1 << 20)
    web.body, told = b"--b0\r\n\r\n", web.answer
    web.answer = lambda target: told(target) if "?" not in target else queried(web, told, target)
    web.goes_on = itertools.repeat(bytes(1 << 16))
    result, node = pull()
    assert (result.code, node.files()) == ("archive.broke-off", 0)


def test_matches_without_end(pull, web, monkeypatch):
    monkeypatch.setattr("service.retrieval.web_archive.MOST_ANSWERS", 50)
    numbers = itertools.count()

    def answers(target):
        found = [
            {TAGS["SeriesInstanceUID"]: {"vr": "UI", "Value": [f"2.25.{next(numbers)}"]}} for _ in range(20)
        ]
        return "application/dicom+json", json.dumps(found).encode()

    web.answer = answers
    result, _ = pull()
    assert (result.code, len(web.seen)) == ("archive.too-many-answers", 3)


def test_matches_one_by_one_for_longer_than_anybody_waits(pull, web, monkeypatch):
    monkeypatch.setattr("service.retrieval.web_archive._LONGEST_QUERY_TIMEOUTS", 0.0)
    web.page = 1
    result, _ = pull()
    assert result.code == "archive.too-many-answers"


def test_what_is_packed_is_not_unpacked(pull, web):
    web.headers, web.body = {"Content-Encoding": "gzip"}, gzip.compress(b"[" + b" " * 10_000_000 + b"]")
    result, _ = pull()
    assert result.code == "archive.not-dicom-json"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_secret_does_not_go_where_an_archive_sends_us(pull, web, tmp_path, status):
    (tmp_path / "secret").write_text("canary")
    other = ToldWeb()
    try:
        web.status, web.headers = status, {"Location": other.url}
        result, _ = pull(token_file=str(tmp_path / "secret"))
        assert (result.code, other.seen) == ("archive.redirects", [])
        assert "canary" not in result.sentence
        assert str(other._server.server_port) not in result.sentence
    finally:
        other.close()


def test_https_by_the_authority_that_is_trusted_and_by_the_name_that_is_wanted(make_node, tmp_path):
    authority = Authority(tmp_path / "ca")
    service = ToldWeb(authority.sign("archive", names=("vna.example",)))
    trusted = {"trusted_certificates": str(authority.certificate)}
    stranger = {
        "trusted_certificates": str(Authority(tmp_path / "other").certificate),
        "server_name": "vna.example",
    }
    ended = ToldWeb(authority.sign("ended", days=-1))
    codes = []
    try:
        for at, tls in (
            (service, trusted | {"server_name": "vna.example"}),
            (service, trusted),
            (service, stranger),
            (service, None),
            (ended, trusted),
        ):
            more = {"tls": tls} if tls is not None else {}
            node = make_node({"retrieve": "wado", "url": at.url, **more})
            source = WebArchive(node.loaded.site.archives["pacs"], node.classes)
            try:
                codes += [each.code for each in node.run(source).pull([ROW])]
            except PullStopped as stopped:
                codes.append(stopped.code)
    finally:
        service.close()
        ended.close()
    untrusted = "archive.tls-not-trusted"
    assert codes == [None, "archive.tls-other-name", untrusted, untrusted, "archive.tls-expired"]
    assert ended.seen == []
