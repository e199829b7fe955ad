"""What may be said of limits and alarms."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from service.config.commissioning_section import ChartedMeasure
from service.config.reader import parse
from service.errors import ConfigInvalid
from service.evaluation.charted import CHARTED

FILE = """\
senders: {{A: {{}}}}
destinations: {{tps: {{ae_title: T, host: 127.0.0.1, port: 1}}}}
protocols: {{external: {{model: external@1.0, structures: {{External: }}}}}}
routes: [{{name: all, when: {{Modality: CT}}, contour: external, send_to: [tps], mode: send}}]
evaluation:
  {}
"""


def read(line: str):
    return parse(FILE.format(line), Path("/nowhere/config.yaml"), check_bundles=False).site.evaluation


def test_days_and_numbers_are_read_as_they_are_written():
    found = read("commissioning: {cases: 40, from_day: 2026-01-07, until_day: 2026-03-01}")
    assert (found.commissioning.cases, found.commissioning.from_day) == (40, "2026-01-07")
    assert read("alarm: {measure: hd95_mm, weight: 0.2}").alarm.weight == 0.2
    assert read("alarm: {}").alarm.measure == "dsc"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("commissioning: {from_day: 2026-02-30}", "a day such as 2026-01-07"),
        ("commissioning: {from_day: 7.1.2026}", "a day such as 2026-01-07"),
        ("commissioning: {from_day: 2026-03-01, until_day: 2026-03-01}", "before"),
        ("commissioning: {cases: 3}", "10"),
        ("alarm: {measure: dice}", "surface_dsc"),
    ],
)
def test_a_mistake_is_named_with_what_may_stand_there(line, said):
    with pytest.raises(ConfigInvalid) as wrong:
        read(line)
    assert len(wrong.value.mistakes) == 1
    assert said in wrong.value.mistakes[0]


def test_what_can_be_watched_is_what_can_be_charted():
    assert set(get_args(ChartedMeasure)) == set(CHARTED)
