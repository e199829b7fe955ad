"""What becomes of what arrives: real spool, ledger and engine, the clock turned by hand."""

from __future__ import annotations

import copy

import pydicom
import pytest
import yaml
from sqlalchemy.exc import OperationalError

from service.arrival import recording
from service.arrival.series_headers import read_headers
from service.backlog import ledger_tables as tables
from service.backlog.operations import Operations
from service.backlog.records import DeliveryState, JobState, Mode, SeriesState

SLICES = range(10)
HOLE = [n for n in SLICES if n != 4]


def keys(desk):
    """The engine's rows that wait or run."""
    return desk.engine.under_way()


def purge(desk):
    """The CT is gone as after ``node.retention.ct_days``, its structure sets are here."""
    with desk.ledger.begin() as conn:
        conn.execute(tables.series.update().values(purged_at=desk.now))
    for file in desk.spool.series_folder("2.25.20").iterdir():
        file.unlink()


# complete series


def test_a_complete_series_becomes_a_job_that_the_engine_knows(desk):
    desk.send(SLICES)
    desk.wait(4)
    series, (job,) = desk.series(), desk.jobs()
    assert (series.state, series.instances, series.calling_ae_title) == (SeriesState.ROUTED, 10, "ECLIPSE")
    assert series.identity.patient_id == "P1"
    assert series.identity.patient_name == "Canary^Patient"
    assert (job.state, job.protocol, job.destinations) == (JobState.QUEUED, "external", ("tps",))
    assert {pydicom.dcmread(file).SOPInstanceUID for file in job.files} == {f"2.25.20.{n}" for n in SLICES}
    assert job.config_version == desk.loaded.version
    assert desk.ledger.config_text(job.config_version) == desk.loaded.text
    assert keys(desk) == {f"contour:{job.id}:1"}
    assert desk.told.messages == []


def test_localizers_are_no_slices_of_the_job(desk):
    desk.send(SLICES)
    desk.send([90], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    desk.wait(4)
    assert desk.series().instances == 11
    assert len(desk.jobs()[0].files) == 10


def test_localizers_alone_are_ignored_and_nobody_is_told(desk):
    desk.send(range(2), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    desk.wait(4)
    assert desk.series().state is SeriesState.IGNORED
    assert desk.jobs() == []
    assert desk.told.messages == []


def test_a_whole_ct_that_calls_itself_localizers_is_told(desk):
    desk.send(SLICES, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    desk.wait(4)
    assert (desk.series().state, desk.series().code) == (SeriesState.REFUSED, "series.only-localizers")
    assert desk.told.codes == ["series.only-localizers"]


def test_slices_that_call_themselves_localizers_let_the_job_wait_for_a_person(desk):
    desk.send(SLICES)
    desk.send([10, 11, 12], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    desk.wait(4)
    (job,) = desk.jobs()
    assert (job.state, job.code, len(job.files)) == (JobState.HELD, "series.localizers-like-slices", 10)
    assert desk.told.codes == ["series.localizers-like-slices"]


def test_scouts_hold_nothing_up(desk):
    desk.send(SLICES)
    scout = {
        "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"],
        "ImageOrientationPatient": [1, 0, 0, 0, 0, -1],
    }
    desk.send([10, 11, 12], **scout)
    desk.wait(4)
    assert [job.state for job in desk.jobs()] == [JobState.QUEUED]


def test_a_series_without_a_route_is_kept_and_shown_and_not_contoured(make_desk):
    desk = make_desk(routes=[])
    desk.send(SLICES)
    desk.wait(4)
    assert desk.series().state is SeriesState.UNROUTED
    assert desk.jobs() == []
    assert "series.no-route" in desk.codes()


def test_an_enhanced_ct_is_one_instance_and_one_job(desk):
    desk.send([1], SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1", ImagePositionPatient=None)
    desk.wait(4)
    assert desk.series().state is SeriesState.ROUTED
    assert len(desk.jobs()[0].files) == 1


def test_why_each_route_applied_or_not_is_written_down(desk):
    desk.send(SLICES)
    desk.wait(4)
    assert "series.routing" in desk.codes()


def test_a_held_or_shadowed_route_is_passed_on(make_desk):
    route = {"name": "x", "contour": "external", "send_to": ["tps"], "mode": "shadow", "priority": 7}
    desk = make_desk(routes=[route])
    desk.send(SLICES)
    desk.wait(4)
    (job,) = desk.jobs()
    assert (job.mode.value, job.priority) == ("shadow", 7)


def test_slices_that_disagree_on_a_routed_attribute_are_refused_and_people_told(make_desk):
    route = {"name": "x", "when": {"StudyDescription": "Pelvis"}, "contour": "external", "mode": "shadow"}
    desk = make_desk(routes=[route])
    desk.send(range(5))
    desk.send(range(5, 10), StudyDescription="Thorax")
    desk.wait(4)
    assert (desk.series().state, desk.series().code) == (SeriesState.REFUSED, "routing.slices-disagree")
    assert desk.told.codes == ["routing.slices-disagree"]


def test_a_hole_is_shown_while_it_is_waited_for_and_refused_in_the_end(desk):
    desk.send(HOLE)
    desk.wait(10)
    assert (desk.series().state, desk.series().code) == (SeriesState.COLLECTING, "series.hole")
    desk.wait(895, step=20)
    assert (desk.series().state, desk.series().code) == (SeriesState.REFUSED, "series.hole")
    assert "between z = 9.0 and 15.0 mm" in desk.series().sentence
    assert desk.told.codes == ["series.hole"]
    assert desk.jobs() == []


def test_the_missing_slice_in_time_makes_it_whole(desk):
    desk.send(HOLE)
    desk.wait(10)
    desk.send([4])
    desk.wait(120, step=5)
    assert desk.series().state is SeriesState.ROUTED
    assert len(desk.jobs()) == 1


def test_a_refused_series_that_is_completed_later_is_contoured(desk):
    desk.send(HOLE)
    desk.wait(905, step=20)
    desk.send([4])
    desk.wait(905, step=20)
    assert desk.series().state is SeriesState.ROUTED
    assert [job.state for job in desk.jobs()] == [JobState.QUEUED]


def test_several_series_and_senders_at_once(desk):
    for uid, sender in (("2.25.21", "ECLIPSE"), ("2.25.22", "OTHER"), ("2.25.23", "ECLIPSE")):
        desk.send(SLICES, series=uid, calling=sender)
    desk.wait(5)
    assert [len(desk.jobs(uid)) for uid in ("2.25.21", "2.25.22", "2.25.23")] == [1, 1, 1]
    assert desk.series("2.25.22").calling_ae_title == "OTHER"


def test_the_same_series_from_two_senders_is_one_job(desk):
    desk.send(SLICES)
    desk.send(SLICES, calling="OTHER")
    desk.wait(4)
    assert len(desk.jobs()) == 1


def test_the_fourth_set_of_a_study_in_a_day_waits_for_a_person(desk):
    for number in range(4):
        desk.send(SLICES, series=f"2.25.3{number}")
        desk.wait(4)
    states = [desk.jobs(f"2.25.3{number}")[0].state for number in range(4)]
    assert states == [JobState.QUEUED] * 3 + [JobState.HELD]
    (held,) = desk.jobs("2.25.33")
    assert held.code == "job.too-many-sets"
    assert f"contour:{held.id}:1" not in keys(desk)
    assert desk.told.messages[-1][0::2] == ("job.too-many-sets", held.id)


def test_other_content_under_a_known_uid_is_reported_once_and_noted_in_the_job(desk):
    assert desk.send(SLICES) == [0] * 10
    assert desk.send(range(3), RescaleIntercept=0) == [0x0111] * 3
    desk.wait(4)
    assert desk.told.codes == ["instance.conflict"]
    assert desk.told.messages[0][1].startswith("3 images")
    (job,) = desk.jobs()
    assert job.notes == ("3 images came twice with different content; the first was used.",)


# sent again


def routed(when_sent_again, mode="send"):
    route = {"name": "CT", "contour": "external", "send_to": ["tps"], "mode": mode}
    return [route | {"when_sent_again": when_sent_again}]


def test_sent_again_the_same_set_is_sent_again(desk):
    desk.send(SLICES)
    desk.wait(4)
    first = desk.finish(desk.jobs()[0])
    desk.wait(3600, step=600)
    desk.send(SLICES)
    desk.wait(4)
    (job,) = desk.jobs()
    old, new = desk.ledger.deliveries(job.id)
    assert (old.id, old.state) == (first.id, DeliveryState.DELIVERED)
    assert (new.state, new.sop_instance_uid, new.file) == (DeliveryState.WAITING, "2.25.99", old.file)
    assert f"deliver:{new.id}:1" in keys(desk)
    assert job.state is JobState.DELIVERING


def deliver_all(desk):
    """Whatever is to be sent arrives."""
    sent = 0
    for delivery in desk.ledger.open_deliveries():
        n = desk.ledger.start_attempt(delivery.id)
        how = {"status": 0, "code": "delivery.stored", "sentence": "Stored."}
        desk.ledger.finish_attempt(delivery.id, n, state=DeliveryState.DELIVERED, **how)
        sent += 1
    return sent


def test_two_machines_that_forward_to_one_another_do_not_go_on_for_ever(desk):
    desk.send(SLICES)
    desk.wait(4)
    desk.finish(desk.jobs()[0])
    sent = 0
    for _ in range(25):  # again and again, as soon as it was seen
        desk.send(SLICES)
        desk.wait(90, step=45)
        sent += deliver_all(desk)
    assert sent == 3
    assert "series.sent-again-too-often" in desk.codes()
    desk.wait(86400, step=7200)
    desk.send(SLICES)
    desk.wait(4)
    assert deliver_all(desk) == 1


def test_within_ten_minutes_it_is_sent_again_only_once(desk):
    desk.send(SLICES)
    desk.wait(4)
    desk.finish(desk.jobs()[0])
    for _ in range(3):
        desk.send(SLICES)
        desk.wait(100, step=10)
    assert len(desk.ledger.deliveries(desk.jobs()[0].id)) == 2


@pytest.mark.parametrize("mode", ["hold", "shadow"])
def test_sent_again_sends_nothing_once_the_route_says_that_nothing_leaves_by_itself(make_desk, mode):
    desk = make_desk()
    desk.send(SLICES)
    desk.wait(4)
    desk.finish(desk.jobs()[0])
    desk.configure(yaml.safe_load(desk.loaded.text) | {"routes": routed("send_same", mode)})
    desk.send(SLICES)
    desk.wait(4)
    (job,) = desk.jobs()
    assert len(desk.ledger.deliveries(job.id)) == 1
    assert "job.sent-again-ignored" in desk.codes()


def test_sent_again_goes_nowhere_where_the_routes_no_longer_send(make_desk):
    desk = make_desk()
    desk.send(SLICES)
    desk.wait(4)
    desk.finish(desk.jobs()[0])
    config = yaml.safe_load(desk.loaded.text)
    config["destinations"]["new"] = {"ae_title": "NEW", "host": "127.0.0.1", "port": 9}
    config["routes"][0]["send_to"] = ["new"]
    desk.configure(config)
    desk.send(SLICES)
    desk.wait(4)
    first, second = desk.jobs()
    assert len(desk.ledger.deliveries(first.id)) == 1
    assert (second.state, second.destinations) == (JobState.QUEUED, ("new",))


def test_sent_again_may_be_ignored(make_desk):
    desk = make_desk(routes=routed("ignore"))
    desk.send(SLICES)
    desk.wait(4)
    desk.finish(desk.jobs()[0])
    desk.send(SLICES)
    desk.wait(4)
    assert len(desk.ledger.deliveries(desk.jobs()[0].id)) == 1
    assert "job.sent-again-ignored" in desk.codes()


def test_sent_again_may_be_contoured_again_as_a_set_that_replaces_the_first(make_desk):
    desk = make_desk(routes=routed("contour_again"))
    desk.send(SLICES)
    desk.wait(4)
    desk.finish(desk.jobs()[0])
    desk.send(SLICES)
    desk.wait(4)
    first, second = desk.jobs()
    assert (first.state, second.state, second.predecessor) == (JobState.DONE, JobState.QUEUED, first.id)
    assert f"contour:{second.id}:1" in keys(desk)
    desk.start()
    desk.wait(10)
    assert len(desk.jobs()) == 2


def test_sent_again_while_the_job_is_under_way_changes_nothing(desk):
    desk.send(SLICES)
    desk.wait(4)
    desk.send(SLICES)
    desk.wait(4)
    (job,) = desk.jobs()
    assert job.state is JobState.QUEUED
    assert desk.ledger.resent("2.25.20") == []


def test_sent_again_after_the_job_failed_is_contoured_again(desk):
    desk.send(SLICES)
    desk.wait(4)
    with desk.ledger.begin() as conn:
        desk.ledger.move_job(conn, desk.jobs()[0].id, JobState.FAILED)
    desk.send(SLICES)
    desk.wait(4)
    assert [job.state for job in desk.jobs()] == [JobState.FAILED, JobState.QUEUED]


def test_sent_again_after_a_person_cancelled_it_stays_cancelled(desk):
    desk.send(SLICES)
    desk.wait(4)
    with desk.ledger.begin() as conn:
        desk.ledger.move_job(conn, desk.jobs()[0].id, JobState.CANCELLED)
    desk.send(SLICES)
    desk.wait(4)
    assert [job.state for job in desk.jobs()] == [JobState.CANCELLED]


def test_sent_again_after_a_route_was_added_gets_the_new_job_only(make_desk):
    desk = make_desk(routes=[])
    desk.send(SLICES)
    desk.wait(4)
    assert desk.series().state is SeriesState.UNROUTED
    config = desk.loaded.text.replace("routes: []\n", "")
    route = "routes:\n- {name: CT, contour: external, send_to: [tps], mode: send}\n"
    (desk.folder / "config.yaml").write_text(config + route, encoding="utf-8")
    desk.loaded = type(desk.loaded)(
        desk.loaded.site.model_copy(update={"routes": _routes()}), "abc", desk.loaded.path, config + route
    )
    desk.send(SLICES)
    desk.wait(4)
    assert desk.series().state is SeriesState.ROUTED
    assert [job.state for job in desk.jobs()] == [JobState.QUEUED]


def _routes():
    from service.config.route_section import Route

    return [Route(name="CT", contour="external", send_to=["tps"], mode="send")]


# slices that come late


def test_a_late_slice_stops_what_has_not_left_and_the_series_is_contoured_anew(desk):
    desk.send(SLICES)
    desk.wait(4)
    desk.send([10])
    desk.reception.step()
    assert desk.jobs()[0].state is JobState.SUPERSEDED, "at once, not only when the series is complete again"
    assert keys(desk) == set()
    desk.wait(4)
    _, second = desk.jobs()
    assert (second.state, second.predecessor, len(second.files)) == (JobState.QUEUED, None, 11)
    assert keys(desk) == {f"contour:{second.id}:1"}


def test_a_late_slice_cancels_a_delivery_that_waits(desk):
    desk.send(SLICES)
    desk.wait(4)
    (job,) = desk.jobs()
    with desk.ledger.begin() as conn:
        desk.ledger.move_job(conn, job.id, JobState.CONTOURING)
        file = desk.spool.job_folder(job.id) / "rtstruct.dcm"
        how = {"job_id": job.id, "destination": "tps", "file": file, "sop_instance_uid": "2.25.9"}
        delivery = desk.ledger.create_delivery(conn, **how)
        desk.ledger.move_job(conn, job.id, JobState.DELIVERING)
        desk.engine.submit(conn, "deliver", f"deliver:{delivery.id}:1", str(delivery.id), partition="tps")
    desk.send([10])
    desk.wait(4)
    assert desk.ledger.delivery(delivery.id).state is DeliveryState.CANCELLED
    assert desk.engine.status(f"deliver:{delivery.id}:1") == "CANCELLED"
    assert [each.state for each in desk.jobs()] == [JobState.SUPERSEDED, JobState.QUEUED]


def test_a_late_slice_after_delivery_makes_a_set_that_names_its_predecessor(desk):
    desk.send(SLICES)
    desk.wait(4)
    desk.finish(desk.jobs()[0])
    desk.wait(600, step=60)
    desk.send([10])
    desk.wait(4)
    first, second = desk.jobs()
    assert (first.state, second.state, second.predecessor) == (JobState.DONE, JobState.QUEUED, first.id)


def test_a_second_late_slice_still_names_the_set_that_had_left(desk):
    desk.send(SLICES)
    desk.wait(4)
    desk.finish(desk.jobs()[0])
    for number in (10, 11):
        desk.send([number])
        desk.wait(4)
    first, second, third = desk.jobs()
    assert [first.state, second.state, third.state] == [JobState.DONE, JobState.SUPERSEDED, JobState.QUEUED]
    assert third.predecessor == first.id


def test_a_set_that_replaces_one_of_hours_ago_waits_for_a_person(desk):
    desk.send(SLICES)
    desk.wait(4)
    desk.finish(desk.jobs()[0])
    desk.wait(3 * 3600, step=600)
    desk.send([10])
    desk.wait(4)
    _, second = desk.jobs()
    assert (second.state, second.code) == (JobState.HELD, "job.replaces-an-old-set")
    assert desk.told.messages[-1][0::2] == ("job.replaces-an-old-set", second.id)
    assert f"contour:{second.id}:1" not in keys(desk)


@pytest.mark.parametrize("stopped", ["hold", "hold-while-contoured", "cancel"])
def test_what_a_person_stopped_is_not_sent_because_of_a_late_slice(desk, stopped):
    desk.send(SLICES)
    desk.wait(4)
    (job,) = desk.jobs()
    person = Operations(desk.ledger, desk.engine, "anna")
    if stopped == "hold-while-contoured":
        with desk.ledger.begin() as conn:
            desk.ledger.move_job(conn, job.id, JobState.CONTOURING)
    (person.cancel if stopped == "cancel" else person.hold)(job.id)
    for number in (10, 11):
        desk.send([number])
        desk.wait(4)
    assert [each.mode for each in desk.jobs()[1:]] == [Mode.HOLD, Mode.HOLD]
    assert desk.jobs()[-1].state is JobState.QUEUED, "it is contoured, and its set waits"


def test_slices_of_somebody_else_do_not_give_the_series_their_study(desk):
    desk.send(SLICES)
    desk.wait(4)
    desk.send(range(10, 20), PatientID="P2", StudyInstanceUID="2.25.999")
    desk.wait(4)
    series = desk.series()
    assert (series.instances, series.identity.patient_id, series.study_instance_uid) == (20, "P1", "2.25.10")


def test_a_late_localizer_makes_no_new_set(desk):
    desk.send(SLICES)
    desk.wait(4)
    desk.finish(desk.jobs()[0])
    desk.send([90], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    desk.wait(4)
    assert [job.state for job in desk.jobs()] == [JobState.DONE]
    assert "job.unchanged" in desk.codes()


def test_late_slices_with_a_hole_are_refused_and_nothing_of_before_is_sent(desk):
    desk.send(SLICES)
    desk.wait(4)
    desk.send([12])
    desk.wait(905, step=20)
    assert [job.state for job in desk.jobs()] == [JobState.SUPERSEDED]
    assert desk.series().code == "series.hole"
    assert desk.told.codes == ["series.hole"]


# crashes


def test_a_crash_between_the_file_and_the_ledger_loses_nothing(desk):
    desk.send(SLICES)
    desk.start()
    desk.wait(4)
    assert [job.state for job in desk.jobs()] == [JobState.QUEUED]


def test_after_a_restart_what_is_recorded_is_left_alone(desk):
    desk.send(SLICES)
    desk.wait(4)
    before = desk.codes()
    desk.start()
    desk.wait(30)
    assert desk.codes() == before


def test_after_a_restart_a_repeat_and_a_late_slice_are_still_told_apart(desk):
    desk.send(SLICES)
    desk.wait(4)
    desk.finish(desk.jobs()[0])
    desk.start()
    desk.send(SLICES)
    desk.wait(4)
    assert len(desk.ledger.deliveries(desk.jobs()[0].id)) == 2
    desk.start()
    desk.send([10])
    desk.wait(4)
    assert len(desk.jobs()) == 2


def test_after_a_restart_in_the_middle_of_an_association_the_rest_is_waited_for(desk):
    desk.send(range(6), released=False)
    desk.start()
    desk.wait(600, step=20)
    assert desk.jobs() == []
    desk.send(range(6, 10))
    desk.wait(700, step=20)
    assert len(desk.jobs()[0].files) == 10


def test_a_late_slice_whose_ledger_entry_was_lost_in_a_crash_is_taken_up(desk):
    desk.send(SLICES)
    desk.wait(4)
    desk.send([10])
    desk.start()
    desk.wait(4)
    assert [job.state for job in desk.jobs()] == [JobState.SUPERSEDED, JobState.QUEUED]


def test_a_ledger_that_fails_is_tried_again_and_others_go_on(desk, monkeypatch):
    real = desk.ledger.record_series
    failures = []

    def failing(conn, series, *rest):
        if series.series_instance_uid == "2.25.20" and len(failures) < 2:
            failures.append(series)
            raise OperationalError("insert", {}, Exception("disk I/O error"))
        return real(conn, series, *rest)

    monkeypatch.setattr(desk.ledger, "record_series", failing)
    desk.send(SLICES)
    desk.send(SLICES, series="2.25.21")
    desk.wait(4)
    assert len(desk.jobs("2.25.21")) == 1
    assert desk.ledger.find_series("2.25.20") is None
    desk.wait(12)
    assert len(failures) == 2
    assert len(desk.jobs()) == 1


def test_a_series_that_cannot_be_written_down_for_a_minute_is_told_once(desk, monkeypatch):
    def failing(*_):
        raise OperationalError("insert", {}, Exception("disk I/O error"))

    monkeypatch.setattr(desk.ledger, "record_series", failing)
    desk.send(SLICES)
    desk.wait(50)
    assert desk.told.codes == []
    desk.wait(600, step=5)
    assert desk.told.codes == ["series.not-recorded"]


def test_what_a_late_slice_stops_is_stopped_although_the_ledger_failed_at_first(desk, monkeypatch):
    desk.send(SLICES)
    desk.wait(4)
    real, failures = desk.ledger.jobs_of_series, []

    def failing(*given):
        if not failures:
            failures.append(given)
            raise OperationalError("select", {}, Exception("disk I/O error"))
        return real(*given)

    monkeypatch.setattr(desk.ledger, "jobs_of_series", failing)
    desk.send([10], released=False)
    with pytest.raises(OperationalError):
        desk.reception.step()
    desk.reception.step()
    assert [job.state for job in desk.jobs()] == [JobState.SUPERSEDED]


def test_what_a_broken_off_purge_has_left_is_no_series_that_came_again(desk):
    desk.send(SLICES)
    desk.wait(4)
    desk.finish(desk.jobs()[0])
    assert desk.ledger.mark_series_purged(desk.series().id, before=9e9)
    desk.start()
    desk.wait(10)
    (job,) = desk.jobs()
    assert len(desk.ledger.deliveries(job.id)) == 1
    desk.now += 4000  # no purge takes what is younger than an hour
    desk.send([*SLICES, 10])
    desk.start()
    desk.wait(10)
    assert len(desk.jobs()) == 2


def test_a_file_damaged_in_the_spool_is_refused_and_named(desk):
    desk.send(SLICES)
    file = desk.spool.instance_file("2.25.20", "2.25.20.3")
    file.write_bytes(b"damaged")
    desk.wait(4)
    assert (desk.series().state, desk.series().code) == (SeriesState.REFUSED, "spool.file-damaged")


def test_a_purged_series_that_comes_again_is_contoured_since_nothing_is_left_to_compare_it_with(desk):
    desk.send(SLICES)
    desk.wait(4)
    desk.finish(desk.jobs()[0])
    purge(desk)
    desk.wait(700, step=100)
    desk.send(SLICES, RescaleIntercept=-1000)
    desk.wait(4)
    first, second = desk.jobs()
    assert len(desk.ledger.deliveries(first.id)) == 1
    assert (second.state, second.predecessor) == (JobState.QUEUED, first.id)


@pytest.mark.parametrize(
    ("numbers", "changed"), [(range(1, 11), {}), (SLICES, {"PatientID": "P2"})], ids=["slices", "patient"]
)
def test_a_purged_series_that_comes_again_as_another_one_gets_a_set_of_its_own(desk, numbers, changed):
    desk.send(SLICES)
    desk.wait(4)
    first = desk.jobs()[0]
    desk.finish(first)
    purge(desk)
    desk.wait(700, step=100)
    desk.send(numbers, **changed)
    desk.wait(4)
    assert len(desk.ledger.deliveries(first.id)) == 1, "the set of what it was before is not sent again"
    _, second = desk.jobs()
    replaced = None if changed else first.id
    assert (second.state, second.predecessor) == (JobState.QUEUED, replaced)
    assert {file.name for file in second.files} == {
        desk.spool.instance_file("2.25.20", f"2.25.20.{n}").name for n in numbers
    }


def test_no_patient_and_no_uid_in_any_log(desk, caplog):
    caplog.set_level("DEBUG")
    desk.send(HOLE)
    desk.wait(10)
    desk.send([4])
    desk.send([4], RescaleIntercept=0)
    desk.wait(120, step=10)
    desk.send([10])
    desk.wait(10)
    said = " ".join(str(vars(record)) for record in caplog.records if record.name.startswith("delineate"))
    assert "Canary" not in said
    assert "2.25.20" not in said
    assert "Canary" not in str(desk.told.messages)


def test_the_configuration_of_the_moment_counts(desk):
    config = copy.deepcopy(desk.loaded)
    desk.send(SLICES)
    desk.loaded = type(config)(config.site.model_copy(update={"routes": []}), "off", config.path, config.text)
    desk.wait(4)
    assert desk.series().state is SeriesState.UNROUTED


@pytest.mark.parametrize("count", [1, 4])
def test_too_few_slices_are_refused_and_people_told(desk, count):
    desk.send(range(count))
    desk.wait(905, step=20)
    assert desk.series().code == "series.too-few-slices"
    assert desk.told.codes == ["series.too-few-slices"]


def read_calls(monkeypatch) -> list[int]:
    """How many headers were read each time."""
    calls: list[int] = []

    def counted(instances, loaded):
        calls.append(len(instances))
        return read_headers(instances, loaded)

    monkeypatch.setattr(recording, "read_headers", counted)
    return calls


def test_headers_are_read_while_silence_lasts_and_not_again_when_it_is_over(desk, monkeypatch, eventually):
    calls = read_calls(monkeypatch)
    desk.send(range(8))
    desk.wait(2)
    eventually(lambda: desk.reception._recorder._ahead)
    assert calls == [8]
    desk.wait(2)
    assert calls == [8]
    (job,) = desk.jobs()
    assert len(job.files) == 8


def test_headers_that_were_read_too_early_are_read_again(desk, monkeypatch, eventually):
    calls = read_calls(monkeypatch)
    desk.send(range(8))
    desk.wait(2)
    eventually(lambda: desk.reception._recorder._ahead)
    assert calls == [8]
    desk.send([8])
    desk.wait(21, step=21)  # it paused for two seconds: silence must last ten times as long
    assert calls[:2] == [8, 9]
    assert len(desk.jobs()[0].files) == 9
