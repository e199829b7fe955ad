"""The picture of a case: what lies where, on which side, in which window, and what is drawn over it."""

from __future__ import annotations

import re

import pydicom
import pytest

from service.backlog.records import JobState
from service.dicom.ct_writer import SyntheticPatient, write_ct
from service.dicom.patient_grids import patient_grid, sample_hu

pytestmark = [pytest.mark.browser, pytest.mark.peer]

MIDDLES_LPS_MM = {500.0: (60.0, 0.0, 0.0), 700.0: (0.0, -60.0, 0.0), 900.0: (0.0, 0.0, 30.0)}
"""Balls of 15 mm by their HU: one to the patient's left, one in front, one above the middle."""


def marked(x, y, z):
    hu = -1000.0 + 1000.0 * (x**2 + y**2 < 110.0**2)
    for value, (left, back, up) in MIDDLES_LPS_MM.items():
        inside = (x - left) ** 2 + (y - back) ** 2 + (z - up) ** 2 < 15.0**2
        hu = hu * ~inside + value * inside
    return hu


@pytest.fixture(scope="module")
def case(site, tmp_path_factory) -> str:
    """The job of a CT with three marks; 41 slices of 61 x 61, middle voxel at the patient's origin."""
    grid = patient_grid(shape_zyx=(41, 61, 61), spacing_zyx_mm=(5.0, 5.0, 5.0))
    patient = SyntheticPatient(name="Marks^Three", patient_id="PAT-MARKS")
    folder = tmp_path_factory.mktemp("marked")
    files = write_ct(folder, sample_hu(grid, marked), grid, seed=77, patient=patient)
    series = str(pydicom.dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID)
    site.send(files)
    return site.node.wait_for_job(series, JobState.DONE, seconds=300).id


@pytest.fixture
def viewer(signed_in, site, case):
    page = signed_in("reader")
    page.goto(f"{site.address}/case/{case}")
    page.wait_for_selector('#viewer[data-loaded="41"]')
    page.wait_for_selector(".viewer-structures label")
    return page


def point_at(page, plane: str, across: float, down: float) -> str:
    """What is said of the place at so many voxels from the middle of a plane's picture."""
    place = page.evaluate(
        """([plane, across, down]) => {
            const view = document.getElementById("viewer").viewer.views
                .find((each) => each.plane.name === plane);
            view.canvas.scrollIntoView({block: "center"});
            const box = view.canvas.getBoundingClientRect();
            const {left, top, scale, ratio} = view.layout;
            const x = (view.plane.width - 1) / 2 + across + 0.5, y = (view.plane.height - 1) / 2 + down + 0.5;
            return [box.left + (left + x * view.plane.acrossMm * scale) / ratio,
                    box.top + (top + y * view.plane.downMm * scale) / ratio];
        }""",
        [plane, across, down],
    )
    page.mouse.move(*place)
    return re.sub(r"\s+", " ", page.inner_text(".viewer-pointer"))


def green_pixels(page) -> int:
    return page.evaluate(
        """async () => {
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            const {canvas, context} = document.getElementById("viewer").viewer.views[0];
            const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
            let found = 0;
            for (let i = 0; i < data.length; i += 4) found += data[i] < 60 && data[i + 1] > 200 && data[i + 2] < 60;
            return found;
        }"""
    )


def test_the_marks_are_where_the_patient_has_them(viewer, picture):
    """Left is on the right of axial and coronal, front on the left of sagittal, the head on top."""
    assert point_at(viewer, "axial", 12, 0) == "L 60.0 P 0.0 S 0.0 mm 500 HU"
    assert point_at(viewer, "axial", 0, -12) == "L 0.0 P -60.0 S 0.0 mm 700 HU"
    assert point_at(viewer, "coronal", 12, 0) == "L 60.0 P 0.0 S 0.0 mm 500 HU"
    assert point_at(viewer, "coronal", 0, -6) == "L 0.0 P 0.0 S 30.0 mm 900 HU"
    assert point_at(viewer, "sagittal", -12, 0) == "L 0.0 P -60.0 S 0.0 mm 700 HU"
    assert point_at(viewer, "sagittal", 0, -6) == "L 0.0 P 0.0 S 30.0 mm 900 HU"
    picture(viewer, "console-viewer")


def test_a_step_of_the_wheel_is_one_slice_and_the_ends_are_ends(viewer):
    caption = viewer.locator(".viewer-axial figcaption")
    assert "21 / 41" in caption.inner_text()
    point_at(viewer, "axial", 0, 0)
    viewer.mouse.wheel(0, 100)
    viewer.wait_for_function(
        "document.querySelector('.viewer-axial figcaption').innerText.includes('22 / 41')"
    )
    assert "z 5.0 mm" in caption.inner_text()
    viewer.locator(".viewer-axial canvas").first.focus()
    for key, slice_number in (("End", 41), ("ArrowDown", 41), ("PageUp", 31), ("Home", 1)):
        viewer.keyboard.press(key)
        caption.filter(has_text=f" {slice_number} / 41").wait_for()


def test_a_click_moves_the_other_planes_there(viewer):
    point_at(viewer, "axial", 12, 0)
    viewer.mouse.down()
    viewer.mouse.up()
    assert viewer.evaluate("document.getElementById('viewer').viewer.planesAt()") == {
        "slice": 20, "row": 30, "column": 42,
    }  # fmt: skip


def test_a_structure_is_switched_off_and_on(viewer):
    assert green_pixels(viewer) > 300
    box = viewer.locator(".viewer-structures label", has_text="External").locator("input")
    box.uncheck()
    assert green_pixels(viewer) == 0
    viewer.get_by_role("button", name="All", exact=True).click()
    assert green_pixels(viewer) > 300


def test_a_window_turns_numbers_into_greys(viewer):
    """Bone: 1500 HU wide about 300, so that 300 HU is half way from black to white."""
    viewer.get_by_role("button", name="Bone").click()
    greys = viewer.evaluate(
        """() => [-450, 300, 1050, -1024, 3000, -32768, 32767].map((hu) =>
            document.getElementById("viewer").viewer.table[hu & 0xffff] & 0xff)"""
    )
    assert greys == [0, 128, 255, 0, 255, 0, 255]
    assert "1500 / 300 HU" in viewer.inner_text(".viewer-window")
    assert viewer.get_attribute(".viewer-windows button:has-text('Bone')", "aria-pressed") == "true"


def test_it_is_said_whose_it_is_and_that_this_is_no_review(viewer):
    said = viewer.inner_text(".viewer-notice")
    assert said == "Not for clinical review: approve in the TPS. PAT-MARKS"
