"""Configuration, senders and destinations, models, explanations and the day, as they are answered."""

from __future__ import annotations

import hashlib
import os
import re

import pytest

from service.backlog.audit import Deed
from service.backlog.records import SeriesState
from service.backlog.roles import Role
from service.config.schema import json_schema
from service.console.pages.plots import HEIGHT, bars_by_hour, points_of_day


def get(desk, path: str, role: str = "reader"):
    return desk.client.get(path, headers=desk.as_(role))


def post(desk, path: str, role: str = "administrator", **body):
    return desk.client.post(path, json=body, headers=desk.as_(role))


def version(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def file_of(desk) -> str:
    return (desk.folder / "config.yaml").read_text()


@pytest.mark.parametrize(
    "path", ["/", "/day", "/connections", "/models", "/models/pelvis-ct@2.0", "/explain"]
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_is_answered_in_both_languages_without_inline_script_or_style(desk, path, language):
    desk.delivered_job()
    answer = desk.client.get(path, headers=desk.as_("reader") | {"Accept-Language": language})
    assert answer.status_code == 200, answer.text
    assert f'<html lang="{language}"' in answer.text
    assert not re.search(r"<style|<script(?![^>]*src=)|\sstyle=|\son\w+=|javascript:", answer.text)


def test_only_administrators_come_near_the_configuration(desk):
    for role in ("reader", "operator"):
        assert get(desk, "/configuration", role).status_code == 403
        assert get(desk, "/configuration/schema", role).status_code == 403
        assert post(desk, "/configuration/save", role, text="", base="0" * 12).status_code == 403
        assert post(desk, "/configuration/preview", role, text="").status_code == 403
        assert 'href="/configuration"' not in get(desk, "/", role).text


def test_a_broken_edit_is_refused_with_its_line_and_changes_nothing(desk):
    before = file_of(desk)
    broken = before.replace("mode: send", "mode: sned")
    said = post(desk, "/configuration/preview", text=broken)
    assert 'data-good="no"' in said.text
    assert re.findall(r'data-line="(\d+)"', said.text) == ["7"]
    refused = post(desk, "/configuration/save", text=broken, base=version(before))
    assert (refused.status_code, refused.json()["code"]) == (422, "config.invalid")
    assert refused.json()["details"][0].startswith("config.yaml:7: ")
    assert file_of(desk) == before


def test_a_good_edit_shows_its_difference_is_saved_and_can_be_gone_back_from(desk):
    before = file_of(desk)
    after = before.replace("quiet", "quiet").replace("name: all", "name: everything")
    said = post(desk, "/configuration/preview", text=after).text
    assert 'data-good="yes"' in said
    assert len(re.findall(r'class="(?:added|gone)"', said)) == 2
    saved = post(desk, "/configuration/save", text=after, base=version(before))
    assert (saved.status_code, saved.json()) == (200, {"version": version(after)})
    assert file_of(desk) == after
    page = get(desk, "/configuration", "administrator").text
    names = re.findall(r'data-earlier="([^"]+)"', page)
    assert [name.split(".")[1:3] for name in names] == [
        ["administrator", version(after)], ["the-machine", version(before)],
    ]  # fmt: skip
    assert get(desk, f"/configuration/history/{names[1]}", "administrator").text == before
    edits = [(e.who, e.facts) for e in desk.premises.audit.entries()
             if e.deed is Deed.CONFIGURATION and e.code == "config.edited"]  # fmt: skip
    assert edits == [("console:administrator", {"version": version(after), "before": version(before)})]


def test_what_somebody_called_by_an_address_saved_can_be_gone_back_to(desk):
    """Accounts of a provider of OpenID Connect often are addresses."""
    name, before = "anna@hospital.example", file_of(desk)
    desk.premises.accounts.vouched_for(name, Role.ADMINISTRATOR)
    after = before.replace("name: all", "name: everything")
    assert post(desk, "/configuration/save", name, text=after, base=version(before)).status_code == 200
    earlier = re.findall(r'data-earlier="([^"]+)"', get(desk, "/configuration", name).text)
    assert [name in each for each in earlier] == [True, False]
    assert get(desk, f"/configuration/history/{earlier[0]}", name).text == after


def test_two_who_edit_at_once_do_not_undo_each_other(desk):
    before = file_of(desk)
    first, second = (before.replace("name: all", f"name: {name}") for name in ("first", "second"))
    assert post(desk, "/configuration/save", text=first, base=version(before)).status_code == 200
    refused = post(desk, "/configuration/save", text=second, base=version(before))
    assert (refused.status_code, refused.json()["code"]) == (409, "config.changed-meanwhile")
    assert file_of(desk) == first


def test_no_other_file_is_to_be_had_as_an_earlier_version(desk):
    for name in ("..%2Fdelineate.sqlite", "config.yaml", "20260101T000000000000Z.a.0123456789ab.yaml"):
        assert get(desk, f"/configuration/history/{name}", "administrator").status_code == 404


def test_connections_say_who_was_refused_for_what(desk):
    desk.delivered_job()
    desk.series("2.25.3", SeriesState.REFUSED, "series.hole")
    page = get(desk, "/connections").text
    for said in ("SCANNER", "series.hole", "ECLIPSE@127.0.0.1:1", "delivered: 1"):
        assert said in page
    assert "data-echo" not in page
    assert 'data-echo="eclipse"' in get(desk, "/connections", "operator").text


def test_a_card_says_that_its_files_are_verified(desk):
    page = get(desk, "/models/pelvis-ct@2.0").text
    for said in ("hash verified", "not validated", "af2b8f1d1e17", "Bladder", "synthetic data only"):
        assert said in page, said
    assert get(desk, "/models/none@1.0").status_code == 404


def test_a_cards_figures_are_drawn_and_said_for_those_who_see_no_picture(desk):
    page = get(desk, "/models/pelvis-ct@2.0").text
    labels = re.findall(r'role="img" aria-label="([^"]+)"', page)
    assert [label.split(";")[0] for label in labels] == [
        "patients left out DSC", "patients left out HD95 mm", "phantoms DSC", "phantoms HD95 mm",
    ]  # fmt: skip
    assert "Bladder 0.882 | 0.839" in labels[0]
    assert page.count("<rect") == 4 * 11
    assert "style=" not in page


def test_a_file_is_explained_and_not_kept(desk, tmp_path):
    import numpy as np

    from service.dicom.ct_writer import write_ct
    from service.dicom.patient_grids import patient_grid

    grid = patient_grid(shape_zyx=(3, 8, 8))
    file = write_ct(tmp_path / "ct", np.zeros(grid.shape_zyx, np.int16), grid)[0]
    headers = desk.as_("reader") | {"X-Calling-AE": "STRANGER", "Content-Type": "application/octet-stream"}
    said = desk.client.post("/explain", content=file.read_bytes(), headers=headers).text
    assert "it may not call" in said
    assert re.search(r"<strong>external</strong> → eclipse", said)
    assert desk.client.post("/explain", content=b"no DICOM", headers=headers).text.strip() == ""
    assert not list((desk.premises.storage / "spool" / "incoming").rglob("*.dcm"))


def test_a_stored_series_is_explained_with_who_sent_it(desk, tmp_path):
    import numpy as np

    from service.dicom.ct_writer import write_ct
    from service.dicom.patient_grids import patient_grid

    job = desk.job()
    grid = patient_grid(shape_zyx=(3, 8, 8))
    for file in write_ct(tmp_path / "ct", np.zeros(grid.shape_zyx, np.int16), grid):
        file.rename(job.folder / file.name)
    page = get(desk, f"/explain?series={job.series_id}").text
    assert "Sent by SCANNER to DELINEATE." in page
    assert re.search(r"<strong>external</strong> → eclipse", page)
    assert f'href="/explain?series={job.series_id}"' in get(desk, f"/case/{job.id}").text
    looked = [e.facts for e in desk.premises.audit.entries() if e.code == "looked.series"]
    assert looked == [{"series": job.series_id}]
    assert get(desk, "/explain?series=4711").status_code == 404


def test_the_day_counts_what_came_that_day(desk):
    desk.delivered_job()
    desk.series("2.25.3", SeriesState.REFUSED, "series.hole")
    page = get(desk, "/day?on=2026-01-01").text
    assert re.findall(r"<dd>([^<]*)</dd>", page)[:2] == ["2", "1"]
    assert "series.hole" in page
    assert re.findall(r"<dd>([^<]*)</dd>", get(desk, "/day?on=2026-01-02").text)[:2] == ["0", "0"]


def test_plots_place_what_they_show():
    plot = bars_by_hour([0.0, 10.0, 3600.0 * 23.5], 0.0)
    assert [bar[0] for bar in plot.bars] == [35.0, round(34 + 23 * 446 / 24 + 1, 1)]
    assert plot.bars[0][3] == 2 * plot.bars[1][3] == HEIGHT - 18 - 8
    plot = points_of_day([(43200.0, 50.0)], 0.0)
    assert plot.points == ((257.0, 8.0),)
    assert [said for _, said in plot.ticks_y] == ["0", "25", "50"]


def test_the_day_shows_what_the_graphics_cards_say_where_there_are_any(desk, tmp_path, monkeypatch):
    assert 'id="gpu-' not in get(desk, "/day").text
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 0, 34, 10000, 80000, 41\necho 1, 0, 0, 80000, 30\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    page = get(desk, "/day").text
    assert "GPU 0: 34 % · 10.5 / 83.9 GB · 41 °C" in page  # 10000 MiB are 10.49 GB
    assert "GPU 1: 0 % · 0.0 / 83.9 GB · 30 °C" in page


def test_the_editor_is_given_the_schema_that_the_command_prints(desk):
    assert get(desk, "/configuration/schema", "administrator").json() == json_schema()
