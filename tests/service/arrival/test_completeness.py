"""When a series is complete, with the clock turned by hand."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path

import pytest

from service.arrival.completeness import History, Tracker
from service.arrival.gathering import Rules
from service.arrival.spooled_series import ended_well
from service.backlog.records import ReceivedInstance

CT = "1.2.840.10008.5.1.4.1.1.2"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


class Clock:
    """Time, a tracker, and a sender."""

    def __init__(self, folder: Path, rules: Rules | None = None) -> None:
        self.now = 1_000_000.0
        self.folder = folder
        self.rules = {"ECLIPSE": rules or Rules(3.0, 900.0, 5)}
        self.histories: dict[str, History] = {}
        self.tracker = Tracker(
            lambda sender: self.rules.get(sender, self.rules["ECLIPSE"]),
            lambda uid: self.histories.get(uid, History()),
            self.where,
        )
        self.associations = itertools.count(1)

    def where(self, uid: str) -> Path:
        place = self.folder / uid
        place.mkdir(exist_ok=True)
        return place

    def instance(self, number: int, series: str = "1.2.3", **changed: object) -> ReceivedInstance:
        facts: dict[str, object] = {
            "sop_class_uid": CT,
            "sop_instance_uid": f"{series}.{number}",
            "study_instance_uid": "1.2",
            "series_instance_uid": series,
            "transfer_syntax_uid": "1.2.840.10008.1.2.1",
            "calling_ae_title": "ECLIPSE",
            "called_ae_title": "DELINEATE",
            "sender_address": "192.0.2.1",
            "received_at": self.now,
            "file": self.folder / f"{number}.dcm",
            "modality": "CT",
            "position_lps_mm": (0.0, 0.0, 3.0 * number),
            "orientation": AXIAL,
        }
        return ReceivedInstance(**facts | changed)  # type: ignore[arg-type]

    def open(self) -> int:
        return next(self.associations)

    def deliver(self, association, numbers, *, every=0.01, new=True, **changed) -> None:
        for number in numbers:
            self.now += every
            self.tracker.arrived(association, self.instance(number, **changed), new=new)

    def end(self, association, *, released=True) -> None:
        self.tracker.ended(association, released=released, at=self.now)

    def send(self, numbers, *, released=True, **how) -> None:
        association = self.open()
        self.deliver(association, numbers, **how)
        self.end(association, released=released)

    def wait(self, seconds: float, step: float = 0.5) -> list:
        """Let time pass; what is handed out meanwhile."""
        ready, until = [], self.now + seconds
        while self.now < until:
            self.now = min(self.now + step, until)
            for series in self.tracker.tick(self.now):
                ready.append(series)
                self.histories[series.series_instance_uid] = History(
                    series.instances, 0 if series.refusal else len(series.instances)
                )
                self.tracker.settled(series.series_instance_uid)
        return ready


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path)


def complete(ready, count):
    (series,) = ready
    assert series.refusal is None
    assert len(series.instances) == count
    return series


# by silence


def test_a_series_is_complete_after_the_floor_of_silence_and_not_before(clock):
    clock.send(range(20))
    assert clock.wait(2.9) == []
    series = complete(clock.wait(0.2), 20)
    assert (series.sent_again, series.added_late, series.non_uniform) == (False, False, False)
    assert series.last_at - series.first_at == pytest.approx(0.19)
    assert clock.wait(2000) == []


def test_it_is_never_complete_while_the_association_is_open(clock):
    association = clock.open()
    clock.deliver(association, range(20))
    assert clock.wait(5000) == []
    clock.end(association)
    complete(clock.wait(1), 20)


@pytest.mark.parametrize("pause", [2.0, 10.0, 60.0])
def test_a_sender_that_opens_an_association_for_each_image_and_pauses_is_waited_for(clock, pause):
    for number in range(12):
        assert clock.wait(pause - 0.01) == []
        clock.send([number])
    silence = max(3.0, 10 * pause)
    assert clock.wait(silence - 1) == []
    complete(clock.wait(2), 12)


@pytest.mark.parametrize("pause", [2.0, 10.0, 60.0])
def test_a_sender_that_pauses_within_an_association_is_waited_for(clock, pause):
    association = clock.open()
    clock.deliver(association, range(8))
    assert clock.wait(pause) == []
    clock.deliver(association, range(8, 16))
    clock.end(association)
    assert clock.wait(10 * pause - 1) == []
    complete(clock.wait(2), 16)


def test_silence_is_never_longer_than_the_hard_timeout(clock):
    association = clock.open()
    clock.deliver(association, range(6))
    clock.deliver(association, range(6, 12), every=500.0)
    clock.end(association)
    assert clock.wait(899) == []
    complete(clock.wait(2), 12)


def test_a_sender_may_have_a_floor_of_its_own(clock):
    clock.rules["SLOW"] = Rules(30.0, 900.0, 5)
    clock.send(range(10), calling_ae_title="SLOW")
    assert clock.wait(29) == []
    complete(clock.wait(2), 10)


def test_several_series_at_once_from_several_senders_are_told_apart(clock):
    one, two = clock.open(), clock.open()
    for number in range(10):
        clock.deliver(one, [number], series="1.2.4")
        clock.deliver(two, [number], series="1.2.5", calling_ae_title="OTHER")
        clock.deliver(one, [number], series="1.2.6")
    clock.end(one)
    ready = clock.wait(4)
    assert {series.series_instance_uid for series in ready} == {"1.2.4", "1.2.6"}
    clock.end(two)
    assert complete(clock.wait(4), 10).calling_ae_title == "OTHER"


def test_several_associations_may_deliver_one_series_and_all_must_have_ended(clock):
    one, two = clock.open(), clock.open()
    clock.deliver(one, range(0, 20, 2))
    clock.deliver(two, range(1, 20, 2))
    clock.end(two)
    assert clock.wait(100) == []
    clock.end(one)
    complete(clock.wait(4), 20)


def test_the_order_of_arrival_does_not_matter(clock):
    numbers = list(range(40))
    random.Random(1).shuffle(numbers)
    clock.send(numbers)
    complete(clock.wait(4), 40)


def test_in_random_order_over_many_associations_a_hole_keeps_a_series_from_being_complete_too_early(clock):
    numbers = list(range(40))
    random.Random(2).shuffle(numbers)
    for number in numbers[:39]:
        clock.send([number])
    assert clock.wait(10) == []
    clock.send(numbers[39:])
    complete(clock.wait(120), 40)


# what is refused at the hard timeout


def test_a_hole_is_waited_for_and_refused_with_its_place(clock):
    clock.send([n for n in range(20) if n != 7])
    assert clock.wait(890) == []
    (series,) = clock.wait(20)
    code, sentence = series.refusal
    assert code == "series.hole"
    assert "18.0" in sentence
    assert "24.0" in sentence


def test_the_missing_slice_may_come_in_time(clock):
    clock.send([n for n in range(20) if n != 7])
    assert clock.wait(60) == []
    clock.send([7])
    complete(clock.wait(601), 20)


def test_an_abort_is_no_end_and_is_refused_at_the_hard_timeout(clock):
    clock.send(range(20), released=False)
    assert clock.wait(890) == []
    (series,) = clock.wait(20)
    assert series.refusal[0] == "series.broken-off"
    assert "20 images" in series.refusal[1]


def test_after_an_abort_the_sender_may_go_on_where_it_broke_off(clock):
    clock.send(range(10), released=False)
    assert clock.wait(120) == []
    clock.send(range(10, 20))
    complete(clock.wait(4), 20)


def test_after_an_abort_the_sender_may_begin_anew(clock):
    clock.send(range(10), released=False)
    assert clock.wait(300) == []
    association = clock.open()
    clock.deliver(association, range(10), new=False)
    clock.deliver(association, range(10, 20))
    clock.end(association)
    complete(clock.wait(4), 20)


def test_another_association_s_good_end_does_not_hide_an_abort_during_it(clock):
    one, two = clock.open(), clock.open()
    clock.deliver(one, range(10))
    clock.deliver(two, range(10, 13))
    clock.end(two, released=False)
    clock.end(one)
    (series,) = clock.wait(910)
    assert series.refusal[0] == "series.broken-off"


def test_too_few_slices_are_refused_with_both_numbers(clock):
    clock.send(range(4))
    assert clock.wait(890) == []
    (series,) = clock.wait(20)
    assert series.refusal[0] == "series.too-few-slices"
    assert "4" in series.refusal[1]
    assert "5" in series.refusal[1]


def test_a_slice_at_an_odd_distance_is_refused(clock):
    association = clock.open()
    for number in range(20):
        z = 3.0 * number + (1.3 if number >= 10 else 0.0)
        clock.deliver(association, [number], position_lps_mm=(0.0, 0.0, z))
    clock.end(association)
    assert clock.wait(890) == []
    (series,) = clock.wait(20)
    assert series.refusal[0] == "series.spacing-irregular"


def test_a_spacing_that_changes_and_stays_is_complete_and_flagged(clock):
    association = clock.open()
    z = 0.0
    for number in range(20):
        z += 2.5 if number < 10 else 5.0
        clock.deliver(association, [number], position_lps_mm=(0.0, 0.0, z))
    clock.end(association)
    assert complete(clock.wait(4), 20).non_uniform


def test_a_series_that_waits_is_announced_once_with_what_is_missing(clock):
    clock.send([n for n in range(20) if n != 7])
    clock.wait(30)
    (waiting,) = clock.tracker.lapsed()
    assert waiting.refusal[0] == "series.hole"
    clock.wait(30)
    assert clock.tracker.lapsed() == []


# localizers and other things


def test_localizers_alone_are_complete_although_they_are_few(clock):
    clock.send(range(2), is_localizer=True)
    complete(clock.wait(4), 2)


def test_a_localizer_among_the_slices_neither_counts_nor_makes_a_hole(clock):
    association = clock.open()
    coronal = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
    clock.deliver(association, [99], is_localizer=True, orientation=coronal)
    clock.deliver(association, [98], orientation=coronal, position_lps_mm=(0.0, 7.0, 500.0))
    clock.deliver(association, range(4))
    clock.end(association)
    (series,) = clock.wait(910)
    assert series.refusal[0] == "series.too-few-slices"
    assert "4 CT slices" in series.refusal[1]
    clock.send(range(4, 20))
    complete(clock.wait(910), 22)


def test_one_enhanced_ct_is_a_series(clock):
    clock.send([1], sop_class_uid="1.2.840.10008.5.1.4.1.1.2.1", position_lps_mm=None, orientation=None)
    complete(clock.wait(4), 1)


# with a known count


@pytest.fixture
def asking(tmp_path):
    return Clock(tmp_path, Rules(3.0, 900.0, 5, ask=True))


def test_with_the_count_reached_a_series_is_complete_at_once(asking):
    asking.send(range(20))
    (question,) = asking.tracker.questions(asking.now)
    assert (question.series_instance_uid, question.sender_address) == ("1.2.3", "192.0.2.1")
    asking.tracker.answer(question, 20)
    complete(asking.wait(0.01, 0.01), 20)


def test_the_count_is_not_asked_nor_used_while_the_association_is_open(asking):
    association = asking.open()
    asking.deliver(association, range(20))
    assert asking.tracker.questions(asking.now) == []
    assert asking.wait(100) == []


def test_nothing_is_complete_while_the_answer_is_awaited(asking):
    asking.send(range(20))
    (question,) = asking.tracker.questions(asking.now)
    assert asking.wait(20) == []
    asking.tracker.answer(question, None)
    complete(asking.wait(1), 20)


def test_an_answer_that_never_comes_is_not_waited_for_without_end(asking):
    asking.send(range(20))
    assert len(asking.tracker.questions(asking.now)) == 1
    assert asking.wait(29) == []
    complete(asking.wait(2), 20)


def test_fewer_than_the_sender_has_are_waited_for_and_refused(asking):
    asking.send(range(20))
    (question,) = asking.tracker.questions(asking.now)
    asking.tracker.answer(question, 22)
    assert asking.wait(890) == []
    (series,) = asking.wait(20)
    assert series.refusal[0] == "series.incomplete"
    assert "20 of 22" in series.refusal[1]


def test_the_count_reached_later_completes_at_once_and_few_questions_are_asked(asking):
    questions = 0
    for number in range(20):
        asking.send([number], every=0.2)
        for question in asking.tracker.questions(asking.now):
            asking.tracker.answer(question, 20)
            questions += 1
        if number < 19:
            assert asking.tracker.tick(asking.now) == []
    complete(asking.wait(0.01, 0.01), 20)
    assert questions == 2


def test_a_count_that_an_abort_cannot_spoil(asking):
    asking.send(range(20), released=False)
    (question,) = asking.tracker.questions(asking.now)
    asking.tracker.answer(question, 20)
    complete(asking.wait(0.01, 0.01), 20)


def test_a_count_reached_with_a_hole_is_not_complete(asking):
    asking.send([n for n in range(20) if n != 7])
    (question,) = asking.tracker.questions(asking.now)
    asking.tracker.answer(question, 19)
    (series,) = asking.wait(910)
    assert series.refusal[0] == "series.hole"


def test_a_sender_with_fewer_than_it_sent_does_not_know_and_silence_decides(asking):
    asking.send(range(20))
    (question,) = asking.tracker.questions(asking.now)
    asking.tracker.answer(question, 12)
    assert asking.wait(2.5) == []
    complete(asking.wait(1), 20)


# again, and late


def test_the_same_series_again_is_told_as_sent_again(clock):
    clock.send(range(20))
    clock.wait(4)
    clock.wait(3600)
    clock.send(range(20), new=False)
    series = complete(clock.wait(4), 20)
    assert (series.sent_again, series.added_late) == (True, False)


def test_a_part_of_it_again_says_nothing(clock):
    clock.send(range(20))
    clock.wait(4)
    clock.send(range(5), new=False)
    clock.send(range(20), new=False, released=False)
    assert clock.wait(2000) == []


def test_a_slice_that_comes_late_opens_the_series_again(clock):
    clock.send(range(20))
    clock.wait(4)
    clock.wait(3600)
    clock.send([20])
    series = complete(clock.wait(4), 21)
    assert (series.sent_again, series.added_late) == (False, True)


def test_a_late_slice_is_told_at_once_and_once_and_a_late_localizer_is_not(clock):
    clock.send(range(20))
    clock.wait(4)
    association = clock.open()
    clock.deliver(association, [90], is_localizer=True)
    assert clock.tracker.late() == set()
    clock.deliver(association, [20])
    assert clock.tracker.late() == {"1.2.3"}
    assert clock.tracker.late() == set()


def test_files_that_were_lost_meanwhile_make_a_new_series_and_no_repeat(clock):
    clock.histories["1.2.3"] = History([], complete_before=20)
    clock.send(range(12))
    series = complete(clock.wait(4), 12)
    assert (series.sent_again, series.added_late) == (False, False)


def test_a_slice_that_comes_while_the_series_is_being_recorded_is_late(clock):
    clock.send(range(20))
    clock.now += 4
    (first,) = clock.tracker.tick(clock.now)
    clock.send([20])
    clock.tracker.settled(first.series_instance_uid)
    series = complete(clock.wait(4), 21)
    assert series.added_late


def test_a_late_slice_that_leaves_a_hole_is_refused_at_the_hard_timeout(clock):
    clock.send(range(20))
    clock.wait(4)
    clock.send([25])
    (series,) = clock.wait(910)
    assert series.refusal[0] == "series.hole"
    assert series.added_late


def test_a_refused_series_that_is_sent_whole_again_is_taken_as_new(clock):
    clock.send(range(20), released=False)
    (refused,) = clock.wait(910)
    assert refused.refusal is not None
    clock.send(range(20), new=False)
    series = complete(clock.wait(4), 20)
    assert (series.sent_again, series.added_late) == (False, False)


# when recording fails, and after a restart


def test_what_could_not_be_recorded_is_handed_out_again_later(clock):
    clock.send(range(20))
    clock.now += 4
    (first,) = clock.tracker.tick(clock.now)
    clock.tracker.put_back(first.series_instance_uid, clock.now + 5)
    assert clock.wait(4) == []
    complete(clock.wait(2), 20)


def test_what_could_not_be_recorded_and_grew_meanwhile_is_not_late(clock):
    clock.send(range(20))
    clock.now += 4
    (first,) = clock.tracker.tick(clock.now)
    clock.send([20])
    clock.tracker.put_back(first.series_instance_uid, clock.now)
    assert not complete(clock.wait(4), 21).added_late


def test_how_an_association_ended_is_marked_beside_the_files(clock):
    clock.send(range(5))
    assert ended_well(clock.where("1.2.3"), 5)
    clock.send(range(5, 8), released=False)
    assert not ended_well(clock.where("1.2.3"), 8)
    clock.send(range(8, 9))
    assert ended_well(clock.where("1.2.3"), 9)


def test_after_a_restart_a_series_whose_association_ended_well_is_complete_by_silence(clock):
    history = History([clock.instance(n, received_at=clock.now - 100 + n / 10) for n in range(20)])
    clock.tracker.take_up(history, ended_well=True, now=clock.now)
    assert clock.wait(2) == []
    complete(clock.wait(2), 20)


def test_while_the_node_was_down_nobody_could_hear_whether_a_sender_was_silent(clock):
    history = History([clock.instance(n, received_at=clock.now - 100 + n / 10) for n in range(10)])
    clock.tracker.take_up(history, ended_well=True, now=clock.now)
    assert clock.wait(2) == []
    clock.send(range(10, 20))  # the second of two associations
    complete(clock.wait(4), 20)


def test_after_a_restart_in_the_middle_of_an_association_the_sender_is_waited_for(clock):
    history = History([clock.instance(n, received_at=clock.now - 5000 + n / 10) for n in range(20)])
    clock.tracker.take_up(history, ended_well=False, now=clock.now)
    assert clock.wait(800) == []
    clock.send(range(20, 30))
    complete(clock.wait(4), 30)


def test_after_a_restart_a_sender_that_never_comes_back_is_refused_after_the_whole_hard_timeout(clock):
    history = History([clock.instance(n, received_at=clock.now - 5000) for n in range(20)])
    clock.tracker.take_up(history, ended_well=False, now=clock.now)
    assert clock.wait(890) == []
    (series,) = clock.wait(20)
    assert series.refusal[0] == "series.broken-off"


def interrupted(clock, count=20):
    """As after a crash of the node in the middle of an association."""
    history = History([clock.instance(n, received_at=clock.now - 10) for n in range(count)])
    clock.tracker.take_up(history, ended_well=None, now=clock.now)


def test_if_the_node_stopped_before_the_sender_could_end_a_person_says_whether_it_is_whole(clock):
    interrupted(clock)
    assert clock.wait(890) == []
    (series,) = clock.wait(20)
    assert series.refusal is None
    assert series.doubt[0] == "series.end-unknown"
    assert "20 images" in series.doubt[1]
    assert len(series.instances) == 20


def test_if_the_node_stopped_what_is_missing_is_still_refused(clock):
    history = History([clock.instance(n, received_at=clock.now - 10) for n in range(20) if n != 7])
    clock.tracker.take_up(history, ended_well=None, now=clock.now)
    (series,) = clock.wait(910)
    assert (series.refusal[0], series.doubt) == ("series.hole", None)


def test_if_the_node_stopped_the_sender_may_go_on_to_a_proper_end(clock):
    interrupted(clock)
    clock.send(range(20, 30))
    (series,) = clock.wait(4)
    assert (len(series.instances), series.refusal, series.doubt) == (30, None, None)


def test_if_the_node_stopped_and_then_the_sender_broke_off_it_is_refused(clock):
    interrupted(clock)
    clock.send(range(20, 25), released=False)
    (series,) = clock.wait(910)
    assert (series.refusal[0], series.doubt) == ("series.broken-off", None)


def test_after_a_restart_a_series_that_grew_since_it_was_recorded_is_late(clock):
    history = History([clock.instance(n, received_at=clock.now - 10) for n in range(20)], complete_before=18)
    clock.tracker.take_up(history, ended_well=True, now=clock.now)
    assert complete(clock.wait(4), 20).added_late


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_clock_that_was_set_between_files_and_now_does_not_make_anyone_wait(clock, hours):
    files = [clock.instance(n, received_at=clock.now + 3600 * hours + n / 10) for n in range(10)]
    clock.histories["1.2.3"] = History(files)
    clock.send(range(9, 20), new=True)
    complete(clock.wait(4), 20)
    clock.tracker.take_up(History(files), ended_well=True, now=clock.now)
    complete(clock.wait(4), 10)


@pytest.mark.parametrize("released", [True, False])
def test_who_waits_for_silence_is_told_how_long_it_still_takes(clock, released):
    assert clock.tracker.quiet_in(clock.now) == math.inf
    association = clock.open()
    clock.deliver(association, range(8))
    assert clock.tracker.quiet_in(clock.now) == math.inf  # as long as it is open nothing becomes due
    clock.end(association, released=released)
    clock.now += 1.0
    assert clock.tracker.quiet_in(clock.now) == pytest.approx(2.0)
    clock.now += 2.5
    assert clock.tracker.quiet_in(clock.now) == math.inf  # it is due already


def test_a_series_is_read_ahead_once_after_half_of_its_silence(clock):
    clock.send(range(8))
    clock.now += 1.4
    assert clock.tracker.unread(clock.now) == []
    clock.now += 0.2
    (series,) = clock.tracker.unread(clock.now)
    assert len(series.instances) == 8
    assert clock.tracker.unread(clock.now) == []
    (complete,) = clock.wait(3)
    assert complete.instances == series.instances


def test_a_series_that_goes_on_is_read_again(clock):
    clock.send(range(8))
    clock.now += 2
    assert [len(series.instances) for series in clock.tracker.unread(clock.now)] == [8]
    association = clock.open()
    clock.deliver(association, [8])
    clock.now += 2
    assert clock.tracker.unread(clock.now) == []
    clock.end(association)
    clock.now += 10  # it paused for two seconds: silence must last ten times as long
    assert [len(series.instances) for series in clock.tracker.unread(clock.now)] == [9]
