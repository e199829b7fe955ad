"""Pages of quality: what they show, what they draw, who may change what, and that no patient is named."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from parsed_html import Parsed
from PIL import Image
from reviewed_cases import case_on_disk
from reviewed_structures import reviewed, write_down

from service.console.pages.review_drawing import png_of

DRIFT = [*(0.80 + 0.01 * (7 * k % 30) for k in range(30)), *[0.5] * 10]


def get(desk, path: str, role: str = "reader", **headers):
    return desk.client.get(path, headers=desk.as_(role) | headers)


def drifting(desk):
    return write_down(desk.ledger, [reviewed(week=k / 10, dsc=v) for k, v in enumerate(DRIFT)])


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("path", ["/quality", "/quality/Bladder", "/quality/case/1"])
def test_every_page_is_answered_in_both_languages_without_inline_script_or_style(desk, path, language):
    case_on_disk(desk.ledger, desk.premises.storage)
    drifting(desk)
    answer = desk.client.get(path, headers=desk.as_("reader") | {"Accept-Language": language})
    assert answer.status_code == 200, answer.text
    assert f'<html lang="{language}"' in answer.text
    assert not re.search(r"<style|<script(?![^>]*src=)|\sstyle=|\son\w+=|javascript:", answer.text)
    assert "Lindqvist" not in answer.text
    assert "4711" not in answer.text


def test_before_anything_came_back_the_page_says_how_it_would(desk):
    assert "No structure set that was reviewed has come back yet" in get(desk, "/quality").text
    assert get(desk, "/quality/Bladder").status_code == 404
    assert get(desk, "/quality/case/7").status_code == 404


def test_the_matrix_has_a_line_for_each_structure_with_its_state(desk):
    drifting(desk)
    write_down(desk.ledger, [reviewed("Rectum", week=1, hd95_mm=3.5)])
    text = get(desk, "/quality").text
    Parsed(text)
    rows = re.findall(r'<tr id="row-\d+">.*?</tr>', text, re.S)
    assert len(rows) == 2
    assert "▲ drift" in rows[0]
    assert "commissioning: 1 of 30" in rows[1]
    assert "3.5" in rows[1]
    assert "1 structure(s) are changed more in review" in text
    assert get(desk, "/quality?model=other@1.0").text.count('<tr id="row-') == 0
    as_sent = "/quality?protocol=&model=&since="  # by the form, with nothing chosen
    assert get(desk, as_sent).text.count('<tr id="row-') == 2
    later = get(desk, f"{as_sent}2025-10-20").text
    assert 'value="2025-10-20"' in later
    assert get(desk, f"{as_sent}2026-02-30").status_code == 422


def test_the_chart_of_a_structure_links_its_cases_and_lists_its_outliers(desk):
    ids = drifting(desk)
    text = get(desk, "/quality/Bladder").text
    Parsed(text)
    assert len(re.findall(r'<circle class="first"', text)) == 30
    assert len(re.findall(r'<path class="outlier"', text)) == 10
    assert f'href="/quality/case/{ids[-1]}"' in text
    assert text.count('<path class="drift"') == 1
    assert 'data-deed="acknowledge"' not in text  # a reader has no such button
    assert 'data-deed="acknowledge"' in get(desk, "/quality/Bladder", "operator").text
    other = get(desk, "/quality/Bladder?measure=hd95_mm", "operator").text
    assert 'data-deed="acknowledge"' not in other


def test_an_operator_acknowledges_a_drift_and_it_is_written_down(desk):
    drifting(desk)
    which = {"structure": "Bladder", "protocol": "pelvis", "model": "pelvis-ct@2.0"}
    refused = desk.client.post("/api/v1/quality/acknowledge", json=which, headers=desk.as_("reader"))
    assert refused.status_code == 403
    done = desk.client.post("/api/v1/quality/acknowledge", json=which, headers=desk.as_("operator"))
    assert (done.status_code, done.json()) == (200, which | {"is_shadow": False})
    (entry,) = desk.premises.audit.coded("quality.acknowledged")
    assert (entry.who, entry.facts["structure"]) == ("console:operator", "Bladder")
    text = get(desk, "/quality/Bladder", "operator").text
    assert '<path class="known"' in text
    assert 'data-deed="acknowledge"' not in text
    again = desk.client.post("/api/v1/quality/acknowledge", json=which, headers=desk.as_("operator"))
    assert (again.status_code, again.json()["code"]) == (409, "quality.no-drift")


def test_a_page_must_show_its_token_for_a_deed(desk):
    drifting(desk)
    credentials = {"name": "operator", "password": "correct horse battery"}
    assert desk.client.post("/api/v1/session", json=credentials).status_code == 200
    which = {"structure": "Bladder", "protocol": "pelvis", "model": "pelvis-ct@2.0"}
    assert desk.client.post("/api/v1/quality/acknowledge", json=which).json()["code"] == "console.csrf"
    assert desk.premises.audit.coded("quality.acknowledged") == []


def test_a_case_is_drawn_with_both_contours_and_what_differs(desk):
    made = case_on_disk(desk.ledger, desk.premises.storage)
    text = get(desk, f"/quality/case/{made.id}").text
    Parsed(text)
    ours, theirs, difference = re.findall(r'<svg class="slice".*?</svg>', text, re.S)
    assert 'class="ours"' in ours
    assert 'class="theirs"' not in ours
    assert 'class="theirs"' in theirs
    assert 'fill="url(#added)"' in difference
    assert 'fill="url(#removed)"' in difference
    assert 'aria-label="What differs, Slice 4"' in difference  # the fourth of the CT is the most changed one
    # the contours are circles: millimetres from the slice's own, moved by 4 mm down
    path = re.search(r'class="ours" d="M([^Z]*)Z', ours)[1]
    moved = re.search(r'class="theirs" d="M([^Z]*)Z', theirs)[1]
    middles = [np.array([pair.split(",") for pair in each.split()], float) for each in (path, moved)]
    low, high = ((each.min(axis=0) + each.max(axis=0)) / 2 for each in middles)
    assert np.allclose(high - low, (0.0, 4.0), atol=0.2)
    assert "slice=5" in text
    assert f'href="/case/{made.job.id}"' in text
    assert [e.job_id for e in desk.premises.audit.entries() if e.code == "looked.job"] == [made.job.id]


def test_the_picture_of_a_slice_is_the_ct_in_its_window(desk):
    made = case_on_disk(desk.ledger, desk.premises.storage)
    answer = get(desk, f"/quality/case/{made.id}/slice/4.png")
    assert answer.headers["content-type"] == "image/png"
    picture = np.array(Image.open(io.BytesIO(answer.content)))
    assert picture.shape == (56, 60)
    assert (picture[0, 0], picture[28, 30]) == (0, round(255 * (20 - 40 + 200) / 400))  # air, water of 20 HU
    assert get(desk, f"/quality/case/{made.id}/slice/13.png").status_code == 404
    assert desk.client.get(f"/quality/case/{made.id}/slice/4.png").url.path == "/sign-in"


def test_a_window_is_black_below_and_white_above():
    hu = np.array([[-1000, -710, 300, 1050, 3000]], np.int16)
    picture = np.array(Image.open(io.BytesIO(png_of(hu, "bone"))))
    assert picture.tolist() == [[0, 0, 128, 255, 255]]


def test_without_its_files_the_figures_stay(desk):
    made = case_on_disk(desk.ledger, desk.premises.storage)
    made.theirs.unlink()
    answer = get(desk, f"/quality/case/{made.id}")
    assert answer.status_code == 200
    assert "review.files-gone" in answer.text
    assert "0.750" in answer.text  # DSC
    assert '<svg class="slice"' not in answer.text
    zh = get(desk, f"/quality/case/{made.id}", **{"Accept-Language": "zh"}).text
    assert "已按保存期限删除" in zh


def test_a_reader_is_shown_no_way_to_grade_and_an_operator_grades_whole_and_slice(desk):
    made = case_on_disk(desk.ledger, desk.premises.storage)
    page, address = f"/quality/case/{made.id}", f"/api/v1/quality/reviews/{made.id}/grade"
    assert 'data-deed="grade"' not in get(desk, page).text
    refused = desk.client.put(address, json={"grade": "minor"}, headers=desk.as_("reader"))
    assert refused.status_code == 403
    position = desk.ledger.slice_measures(made.id)[2].position_mm
    for given, now in (
        ({"grade": "major", "slice_position_mm": position}, "major"),
        ({"grade": "minor"}, "minor"),
    ):
        done = desk.client.put(address, json=given, headers=desk.as_("operator"))
        assert (done.status_code, done.json()) == (200, {"review": made.id, "grade": now})
    text = get(desk, page, "operator").text
    assert text.count('data-deed="grade"') == 1 + 7  # the whole and seven slices
    assert re.search(r"major changes, slice at -?[\d.]+ mm.*console:operator", text, re.S)
    slice_entry, whole_entry = desk.premises.audit.coded("quality.graded")
    assert slice_entry.facts["slice_position_mm"] == position
    assert whole_entry.facts == {"review": made.id, "structure": "Bladder", "grade": "minor"}
    assert whole_entry.job_id == made.job.id


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [({"grade": "good"}, 422, "console.request-invalid"),
     ({"grade": "minor", "slice_position_mm": 9999.0}, 409, "review.no-such-slice")],
)  # fmt: skip
def test_a_grade_or_a_slice_that_there_is_not_is_refused_and_not_written_down(desk, body, status, code):
    made = case_on_disk(desk.ledger, desk.premises.storage)
    answer = desk.client.put(
        f"/api/v1/quality/reviews/{made.id}/grade", json=body, headers=desk.as_("operator")
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert desk.premises.audit.coded("quality.graded") == []


def test_programs_read_the_same(desk):
    drifting(desk)
    (told,) = get(desk, "/api/v1/quality?structure=Bladder").json()
    assert (told["structure"], told["state"], told["cases"], told["commissioning"]) == (
        "Bladder",
        "drift",
        40,
        30,
    )
    assert told["outliers"] == 10
    assert told["medians"]["dsc"] == pytest.approx(float(np.median(DRIFT)))
