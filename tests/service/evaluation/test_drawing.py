"""Charts as SVG: what stands where, and that nothing in them is taken for markup."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

from reviewed_structures import reviewed

from service.evaluation.charted import CHARTED
from service.evaluation.control_chart import Smoothing
from service.evaluation.drawing import Words, control_chart, distribution
from service.evaluation.quality import Plan, charts

PLAN = Plan(10, None, CHARTED["dsc"], Smoothing())
WORDS = Words("A chart", lambda at: f"day {at:.0f}", lambda told, at: f"DSC {told}")
SVG = "{*}"


def cases(values, **fields):
    rows = [reviewed(week=k, dsc=v, **fields) for k, v in enumerate(values)]
    return [replace(each, id=k + 1) for k, each in enumerate(rows)]


def drawn(values, words=WORDS, **fields):
    return ElementTree.fromstring(control_chart(charts(cases(values, **fields), PLAN, {}), words))


def of_class(root, name):
    return [each for each in root.iter() if each.get("class") == name]


def test_values_stand_at_their_height_and_time():
    # from 0.5 to 1.0, five percent of the range below and none above the largest possible value
    root = drawn([0.5, 1.0])
    low, high = of_class(root, "case")
    assert (float(high.get("cx")), float(low.get("cx"))) == (940.0, 64.0)
    bottom = 0.475
    expected = [214 + (24 - 214) * (v - bottom) / (1.0 - bottom) for v in (0.5, 1.0)]
    assert [float(low.get("cy")), float(high.get("cy"))] == [round(each, 1) for each in expected]
    ticks = [each.text for each in root.iter() if (each.text or "").startswith(("0.", "1."))]
    assert ticks[:5] == ["0.475", "0.606", "0.738", "0.869", "1.000"]


def test_commissioning_limits_outliers_and_a_drift_have_shapes_of_their_own():
    root = drawn([*(0.80 + 0.01 * k for k in range(10)), *[0.3] * 12])
    assert len(of_class(root, "first")) == 10
    assert len(of_class(root, "outlier")) == 12
    assert len(of_class(root, "span")) == 1
    assert len(of_class(root, "average")[0].get("points").split()) == 12
    (triangle,) = of_class(root, "drift")
    center, limit = (float(of_class(root, name)[0].get("y1")) for name in ("center", "limit"))
    assert center < limit  # better is higher up
    assert triangle.get("d").startswith("M")


def test_model_versions_follow_one_another_behind_a_line():
    rows = [*cases([0.9] * 3), *(replace(each, id=9, received_at=each.received_at + 9e7, model="m@2")
                                 for each in cases([0.9] * 3))]  # fmt: skip
    root = ElementTree.fromstring(control_chart(charts(rows, PLAN, {}), WORDS))
    assert len(of_class(root, "version")) == 1
    assert [each.text for each in root.iter() if "@" in (each.text or "")] == ["pelvis-ct@2.0", "m@2"]


def test_names_are_text_and_links_are_only_where_they_are_asked_for():
    with_links = replace(WORDS, title='"<b>', address=lambda row: f"/case/{row}?a&b")
    text = control_chart(charts(cases([0.9], model="<script>@1"), PLAN, {}), with_links)
    root = ElementTree.fromstring(text)
    assert "<script" not in text
    assert root.get("aria-label") == '"<b>'
    assert root.get("role") == "group"
    assert [each.get("href") for each in root.iter() if each.get("href")] == ["/case/1?a&b"]
    assert drawn([0.9]).get("role") == "img"
    assert "<a " not in control_chart(charts(cases([0.9]), PLAN, {}), WORDS)


def test_a_distribution_has_its_box_from_quartile_to_quartile():
    # 0.6 to 1.0: on a line from 0.5 to 1.0, which is 6 to 162; quartiles 0.7 and 0.9, median 0.8
    (chart,) = charts(cases([0.6, 0.7, 0.8, 0.9, 1.0]), PLAN, {})
    root = ElementTree.fromstring(distribution(chart, "DSC"))
    (box,) = of_class(root, "box")
    assert (float(box.get("x")), float(box.get("width"))) == (round(6 + 156 * 0.4, 1), 62.4)
    assert float(of_class(root, "middle")[0].get("x1")) == round(6 + 156 * 0.6, 1)


def test_nothing_is_drawn_of_nothing():
    assert control_chart([], WORDS) == ""
    assert not re.search("style=|<style|<script", control_chart(charts(cases([0.9]), PLAN, {}), WORDS))
