"""Archives that do other than they should: what is taken, what is not, and by which code people learn of it."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import SecondaryCaptureImageStorage
from retrieval_desk import STUDY, UID, slices

from service.backlog.records import JobState, SeriesState
from service.retrieval.dimse_archive import DimseArchive
from service.retrieval.journal import Journal
from service.retrieval.troubles import PullStopped
from service.retrieval.wanted import Wanted

ROW = Wanted(1, study_instance_uid=STUDY)


def pulled(node, *rows: Wanted, journal=None, **choices):
    return list(node.run(**choices).pull(rows or (ROW,), journal))


def test_an_honest_one(node, told):
    (result,) = pulled(node)
    assert (result.code, result.pulled, result.images) == (None, 1, 10)
    known = node.ledger.find_series(UID)
    assert (known.id, known.state, known.instances) == (result.series[0], SeriesState.ROUTED, 10)
    assert [job.state for job in node.ledger.jobs_of_series(UID)] == [JobState.QUEUED]
    assert node.watched.images == 10
    assert told.longest_pdu_bytes == 128 * 1024


def test_what_is_here_is_not_asked_for_again(node, told):
    pulled(node)
    (result,) = pulled(node)
    assert (result.code, result.pulled, result.here, told.gets) == (None, 0, 1, 1)


def test_fewer_than_promised_are_asked_for_again_and_never_contoured(node, told):
    told.gives = [slices(7)]
    (result,) = pulled(node)
    assert (result.code, told.gets) == ("archive.fewer-than-promised", 3)
    assert "promised 10 images of a CT and sent 7" in result.sentence
    assert node.files() == 7
    assert node.ledger.jobs_of_series(UID) == []


def test_the_rest_may_come_with_a_later_try(node, told):
    told.gives = [slices(7), slices(10)]
    (result,) = pulled(node)
    assert (result.code, result.pulled, told.gets) == (None, 1, 2)
    assert [len(job.files) for job in node.ledger.jobs_of_series(UID)] == [10]


def test_one_that_breaks_off_is_asked_again(node, told):
    told.gives = [[*slices(4), "abort"], slices(10)]
    (result,) = pulled(node)
    assert (result.code, told.gets) == (None, 2)


def test_one_that_always_breaks_off(node, told):
    told.gives = [[*slices(4), "abort"]]
    (result,) = pulled(node)
    assert (result.code, told.gets) == ("archive.broke-off", 3)


def test_another_series_than_was_asked_for_is_not_let_in(node, told):
    told.gives = [[*slices(3, series="2.25.66"), *slices(10)]]
    (result,) = pulled(node)
    assert (result.code, result.images) == (None, 10)
    assert (node.files("2.25.66"), node.ledger.find_series("2.25.66")) == (0, None)
    told.holds = told.gives[0] = slices(10, series="2.25.21")
    told.gives = [slices(10, series="2.25.67")]
    (result,) = pulled(node)
    assert result.code == "instance.not-ordered"
    assert node.files("2.25.67") == 0


def test_the_same_image_twice_is_one_image(node, told):
    told.gives = [[*slices(5), *slices(10)]]
    (result,) = pulled(node)
    assert (result.code, result.images, node.files()) == (None, 10, 10)


def test_another_data_set_under_a_known_uid_is_told(node, told):
    told.holds = slices(10)
    told.gives = [[*slices(9), *slices(1, first=8, Rows=17), *slices(1, first=9, PatientID="P1")]]
    (result,) = pulled(node)
    assert result.code is None
    assert [job.notes for job in node.ledger.jobs_of_series(UID)] == [
        ("1 images came twice with different content; the first was used.",)
    ]


def test_what_is_no_ct_is_neither_counted_nor_taken(node, told):
    report = slices(1, first=50)[0]
    report.SOPClassUID = SecondaryCaptureImageStorage
    told.holds = [*slices(10), report]
    (result,) = pulled(node)
    assert (result.code, result.images, node.files()) == (None, 10, 10)


def test_an_image_that_cannot_be_contoured_is_refused_by_its_code(node, told):
    told.gives = [[*slices(9), *slices(1, first=9, ImagePositionPatient=None)]]
    (result,) = pulled(node)
    assert (result.code, told.gets) == ("instance.position-missing", 1)


@pytest.mark.parametrize(
    ("status", "code", "gets"),
    [
        (0xA702, "archive.get-failed", 3),
        (0xA900, "archive.get-refused", 1),
        (0xC001, "archive.get-failed", 3),
    ],
)
def test_a_status_that_says_no(node, told, status, code, gets):
    told.gives = [[status]]
    (result,) = pulled(node)
    assert (result.code, told.gets) == (code, gets)
    assert f"{status:04X}h" in result.sentence


def test_a_failure_after_all_has_come_is_none(node, told):
    told.gives = [[*slices(10), 0xA702]]
    (result,) = pulled(node)
    assert (result.code, told.gets) == (None, 1)


def test_c_move_to_a_title_that_it_does_not_know(make_node, told):
    node = make_node({"host": "127.0.0.1", "port": told.port, "retrieve": "move"}, senders={"PACS": None})
    (result,) = pulled(node)
    assert result.code == "archive.move-refused"
    assert "move_to" in result.sentence


def test_answers_about_other_patients_are_not_believed(node, told):
    told.holds = [*slices(10, series="2.25.30", PatientID="OTHER", StudyInstanceUID="2.25.31")]
    told.answers = lambda level, asked: told._matches(level, without(asked, "PatientID"))
    (result,) = pulled(node, Wanted(1, patient_id="P1"))
    assert result.code == "archive.answers-other"
    assert told.gets == 0


def without(asked: Dataset, keyword: str) -> Dataset:
    """What an archive makes of a query of which it overlooks a key."""
    seen = Dataset()
    seen.update(asked)
    setattr(seen, keyword, "")
    return seen


def test_an_archive_that_overlooks_the_patient_gives_his_only(node, told):
    own, other = slices(10), slices(10, series="2.25.30", PatientID="OTHER", StudyInstanceUID="2.25.31")
    told.holds = [*other, *own]
    told.answers = lambda level, asked: told._matches(level, without(asked, "PatientID"))
    told.gives = [own]
    (result,) = pulled(node, Wanted(1, patient_id="P1"))
    assert (result.code, result.pulled, told.gets) == (None, 1, 1)


def test_answers_without_end(node, told, monkeypatch):
    monkeypatch.setattr("service.retrieval.dimse_archive.MOST_ANSWERS", 50)

    told.answers = endless(lambda level, asked: next(told._matches(level, asked)))
    (result,) = pulled(node)
    assert result.code == "archive.too-many-answers"


def endless(answer):
    def answers(level, asked):
        while True:
            yield answer(level, asked)

    return answers


def as_sent(answer, **values):
    """With values that are sent byte for byte, as no library would write them."""
    for keyword, value in values.items():
        tag = Tag(keyword)
        answer[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, True, True)
    answer.set_original_encoding(True, True, answer._character_set)
    return answer


@pytest.mark.filterwarnings("ignore")  # pydicom's, of what a test makes on purpose
def test_answers_that_nobody_can_read_are_counted_too(node, told, monkeypatch):
    monkeypatch.setattr("service.retrieval.dimse_archive.MOST_ANSWERS", 50)

    def unreadable(level, asked):
        return as_sent(Dataset(), NumberOfSeriesRelatedInstances=b"many")

    told.answers = endless(unreadable)
    (result,) = pulled(node)
    assert result.code == "archive.too-many-answers"


def test_answers_that_come_so_slowly_that_nobody_sees_the_end(node, told, monkeypatch):
    monkeypatch.setattr("service.delivery.query_retrieve._LONGEST_QUERY_TIMEOUTS", 0.02)  # of 10 s
    begun = time.monotonic()

    def slow(level, asked):
        time.sleep(0.05)
        return next(told._matches(level, asked))

    told.answers = endless(slow)
    (result,) = pulled(node)
    assert result.code == "archive.too-many-answers"
    assert time.monotonic() - begun < 20


def test_longer_answers_than_any_memory_is_for(node, told, monkeypatch):
    monkeypatch.setattr("service.delivery.query_retrieve._LARGEST_ANSWERS", 1 << 20)

    def long(level, asked):
        answer = next(told._matches(level, asked))
        answer.TextValue = "x" * (1 << 19)
        return answer

    told.answers = endless(long)
    (result,) = pulled(node)
    assert result.code == "archive.too-large"


def test_one_image_again_and_again(node, told, monkeypatch):
    monkeypatch.setattr("service.delivery.query_retrieve._MOST_SUPERFLUOUS", 5)
    told.gives = [slices(1) * 60]  # 25 are listened to
    (result,) = pulled(node)
    assert (result.code, node.files(), told.gets) == ("archive.too-many-answers", 1, 1)
    assert node.watched.images <= 26


def test_answers_at_another_level_than_was_asked(node, told):
    def at_study_level(level, asked):
        answer = Dataset()
        answer.QueryRetrieveLevel = "STUDY"
        answer.StudyInstanceUID = STUDY
        yield answer

    told.answers = at_study_level
    (result,) = pulled(node)
    assert (result.code, told.gets) == ("archive.answers-other", 0)


@pytest.mark.filterwarnings("ignore")  # pydicom's, of what a test makes on purpose
@pytest.mark.parametrize("uid", ["2." + "5" * 63, "2.25." + "9" * 5000, "2.25.20/../../etc"])
def test_identifiers_that_are_none_are_not_asked_for(node, told, uid):
    def with_uid(level, asked):
        for answer in told._matches(level, asked):
            yield as_sent(answer, SeriesInstanceUID=uid.encode() + b"\0" * (len(uid) % 2))

    told.answers = with_uid
    (result,) = pulled(node)
    assert (result.code, told.gets) == ("archive.answers-other", 0)


def test_a_patient_id_in_other_letters_is_asked_for_and_recognised(node, told):
    told.holds = slices(10, SpecificCharacterSet="ISO_IR 144", PatientID="\u0416-1")
    (result,) = pulled(node, Wanted(1, patient_id="\u0416-1"))
    assert (result.code, result.pulled) == (None, 1)
    asked = told.asked[0]
    assert (asked.SpecificCharacterSet, asked.PatientID) == ("ISO_IR 192", "\u0416-1")


@pytest.mark.filterwarnings("ignore")  # pydicom's, of what a test makes on purpose
@pytest.mark.parametrize("character_set", [b"ISO_IR 999", b"ISO 2022 IR 87", b"\\\\\\\\", b"GB18030 "])
def test_character_sets_that_are_none_or_another_match_nobody(node, told, character_set):
    def answers(level, asked):
        for answer in told._matches(level, asked):
            yield as_sent(answer, SpecificCharacterSet=character_set, PatientID=b"\xff\xfe\x1b$B1")

    told.answers = answers
    (result,) = pulled(node, Wanted(1, patient_id="P1"))
    assert result.code in ("archive.answers-other", "pull.not-found")
    assert told.gets == 0


def test_images_of_another_study_under_the_series_that_was_asked_for(node, told):
    told.gives = [[*slices(9), *slices(1, first=9, StudyInstanceUID="2.25.99")]]
    (result,) = pulled(node)
    assert (result.code, node.files()) == ("instance.not-ordered", 9)


def test_c_move_sends_another_series_than_was_asked_for(make_node, told):
    archive = {"host": "127.0.0.1", "port": told.port, "retrieve": "move", "timeout_seconds": 2}
    node = make_node(archive, senders={"PACS": None})
    told.moves_to, told.gives = node.port, [slices(10, series="2.25.67")]
    (result,) = pulled(node)
    assert (result.code, result.images, node.files()) == ("archive.fewer-than-promised", 0, 0)
    told.gives = [slices(10)]
    (result,) = pulled(node)
    assert (result.code, result.images) == (None, 10)


def test_more_at_once_than_any_image_is(node, told, monkeypatch):
    monkeypatch.setitem(DimseArchive._get.__globals__["LONGEST_BYTES"], slices(1)[0].SOPClassUID, 1000)
    told.gives = [slices(1, PixelData=bytes(3 << 20))]
    (result,) = pulled(node)
    assert result.code == "archive.too-large"
    assert node.files() == 0


@contextmanager
def dripping(port: int, whole: int):
    """Passes on what an archive says, after ``whole`` bytes of a connection 1280 of them in a second; its port."""
    over = threading.Event()

    def pump(source: socket.socket, target: socket.socket, drips: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(65536):
                fast = len(data) if not drips else max(min(whole - passed, len(data)), 0)
                target.sendall(data[:fast])
                passed += fast
                for place in range(fast, len(data), 64):
                    if over.wait(0.05):
                        return
                    target.sendall(data[place : place + 64])
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                ours, _ = listening.accept()
                theirs = socket.create_connection(("127.0.0.1", port))
                sockets.extend((ours, theirs))
                for source, target, drips in ((ours, theirs, False), (theirs, ours, True)):
                    threads.append(threading.Thread(target=pump, args=(source, target, drips)))
                    threads[-1].start()

    sockets: list[socket.socket] = []
    threads: list[threading.Thread] = [threading.Thread(target=serve)]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threads[0].start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)
            for each in sockets:
                each.close()
            for each in threads:
                each.join(10)


def test_an_image_that_comes_drop_by_drop_is_not_waited_for(make_node, told, monkeypatch):
    monkeypatch.setattr(
        "service.delivery.query_retrieve._LONGEST_PDU_BYTES", 256
    )  # five whole ones in a second
    told.gives = [slices(10, PixelData=bytes(1 << 20))]
    with dripping(told.port, 30_000) as port:  # queries pass whole, an image does not
        node = make_node({"host": "127.0.0.1", "port": port, "timeout_seconds": 1, "tries": 1})
        begun = time.monotonic()
        (result,) = pulled(node)
    assert (result.code, node.files()) == ("archive.no-response", 0)
    assert time.monotonic() - begun < 60  # what was announced would have bought two hours


def test_nothing_that_matches(node, told):
    told.holds = []
    (result,) = pulled(node)
    assert (result.code, result.series) == ("pull.not-found", [])


def test_an_archive_that_is_away_stops_the_run(node, told):
    told.close()
    with pytest.raises(PullStopped) as stopped:
        pulled(node)
    assert stopped.value.code == "archive.no-connection"


def test_a_node_that_is_away_stops_the_run(node, told):
    node.scp.stop(0.1)
    with pytest.raises(PullStopped) as stopped:
        pulled(node)
    assert stopped.value.code == "pull.node-away"


def test_a_full_disk_stops_the_run_and_loses_nothing(make_node, told):
    node = make_node(
        {"host": "127.0.0.1", "port": told.port},
        node={"port": 0, "quiet_seconds": 600, "disk": {"reserve_gb": 1e7}},
    )
    with pytest.raises(PullStopped) as stopped:
        pulled(node)
    assert stopped.value.code == "pull.disk-reserve"
    assert told.gets == 0


def test_a_disk_that_fills_meanwhile_stops_the_run(node, told, monkeypatch):
    monkeypatch.setattr("service.retrieval.room._BYTES_PER_IMAGE", 0)
    real, calls = node.spool.free_bytes, []

    def full_after_three():
        calls.append(1)
        return real() if len(calls) < 5 else 0

    node.spool.free_bytes = full_after_three
    with pytest.raises(PullStopped) as stopped:
        pulled(node)
    assert stopped.value.code == "spool.space-low"
    assert 0 < node.files() < 10


def test_no_more_are_pulled_while_others_wait(node, told):
    other = slices(10, series="2.25.21", StudyInstanceUID="2.25.12")
    told.holds = [*slices(10), *other]
    told.gives = [slices(10), other]
    run = node.run(ahead=1)
    results = iter(run.pull([ROW, Wanted(2, study_instance_uid="2.25.12")]))
    assert next(results).pulled == 1
    (job,) = node.ledger.jobs_of_series(UID)

    def contoured_at_last(sentence: str) -> None:
        if "wait to be contoured" in sentence and node.ledger.job(job.id).state is JobState.QUEUED:
            assert told.gets == 1
            with node.ledger.begin() as conn:
                node.ledger.move_job(conn, job.id, JobState.CANCELLED)

    node.watched.says = contoured_at_last
    assert next(results).pulled == 1
    assert told.gets == 2


def test_the_journal_keeps_rows_from_being_looked_up_again(node, told):
    with Journal(node.spool.storage, "list") as journal:
        (first,) = pulled(node, journal=journal)
    asked = len(told.asked)
    with Journal(node.spool.storage, "list") as journal:
        (again,) = pulled(node, journal=journal)
    assert (again.earlier, again.series, len(told.asked)) == (True, first.series, asked)


def test_a_row_that_was_not_found_is_looked_up_again(node, told):
    told.holds = []
    with Journal(node.spool.storage, "list") as journal:
        assert pulled(node, journal=journal)[0].code == "pull.not-found"
    told.holds = slices()
    with Journal(node.spool.storage, "list") as journal:
        assert pulled(node, journal=journal)[0].pulled == 1


def test_a_protocol_for_a_ct_that_is_here_by_routes(make_node, told):
    protocols = {
        name: {"model": "external@1.0", "structures": {"External": None}} for name in ("external", "other")
    }
    node = make_node({"host": "127.0.0.1", "port": told.port}, protocols=protocols)
    node.loaded.site.node.__dict__["quiet_seconds"] = 0.2  # all of it again: that is seen by silence
    pulled(node)
    (result,) = pulled(node, protocol="other", destinations=("tps",))
    assert (result.code, result.pulled) == (None, 1)
    jobs = {job.protocol: job for job in node.ledger.jobs_of_series(UID)}
    assert set(jobs) == {"external", "other"}
    assert (jobs["other"].destinations, jobs["other"].priority) == (("tps",), 900)
