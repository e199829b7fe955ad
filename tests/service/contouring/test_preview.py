"""Previews: pages of slices with contours, as pictures and as a document, that name nobody."""

from __future__ import annotations

import re
import shutil
import subprocess
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from drawn_structures import authorship, ct_series, pelvis, segmentation, structure_set
from module_check import violations

from service.contouring import preview_pages
from service.contouring.preview_objects import PreviewImage, PreviewPdf
from service.contouring.preview_pages import pdf_of, pictures_of, side_of
from service.dicom.patient_grids import patient_grid
from service.dicom.structure_set_reader import read_structure_set
from service.errors import StructureSetInvalid

pytest.importorskip("matplotlib")
DCIODVFY = shutil.which("dciodvfy")


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    return ct_series(tmp_path_factory.mktemp("ct"))


@pytest.fixture(scope="module")
def drawn(series):
    return read_structure_set(structure_set(series, segmentation(pelvis())).encode())


@pytest.fixture(scope="module")
def pages(series, drawn):
    return pictures_of(series, drawn)


@pytest.fixture(scope="module")
def document(series, drawn):
    return pdf_of(series, drawn)


def test_a_page_shows_contours_in_their_colours(pages):
    assert pages.dtype == np.uint8
    assert pages.shape == (1, 909, 1285, 3)  # A4 landscape at 110 dots per inch
    for color in ((0, 255, 0), (255, 215, 0), (0, 191, 255)):  # External, Bladder, Femur_Head_L
        near = np.abs(pages[0].astype(int) - color).max(axis=-1) < 25
        assert near.sum() > 50, color


def test_a_long_ct_has_at_most_four_pages_and_shows_its_whole_extent():
    assert preview_pages._chosen([5, 9]) == [9, 8, 7, 6, 5]
    chosen = preview_pages._chosen(list(range(100, 400)))
    assert len(chosen) <= 48
    assert chosen[0] == 399
    assert set(np.diff(chosen)) == {-7}  # 300 slices upon 48 places


@pytest.mark.parametrize(
    ("direction", "letter"),
    [
        ((1, 0, 0), "L"),
        ((-1, 0.1, 0), "R"),
        ((0, 1, 0), "P"),
        ((0, -1, 0), "A"),
        ((0, 0, 1), "H"),
        ((0, 0.5, -0.8), "F"),
    ],
)
def test_the_letters_of_the_patients_sides(direction, letter):
    assert side_of(np.array(direction, dtype=float)) == letter


def test_a_patient_who_lies_otherwise_is_drawn_too(tmp_path):
    grid = patient_grid("FFP", shape_zyx=(12, 56, 60), spacing_zyx_mm=(3.0, 1.2, 0.9))
    series = ct_series(tmp_path, grid)
    found = read_structure_set(structure_set(series, segmentation(pelvis(grid))).encode())
    assert pictures_of(series, found).shape[0] == 1


def texts_of(document: bytes) -> str:
    """Everything readable in a PDF, its compressed parts opened."""
    opened = []
    for content in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", document, re.DOTALL):
        try:
            opened.append(zlib.decompress(content))
        except zlib.error:
            opened.append(content)
    return (b"\n".join(opened) + document).decode("latin-1")


def test_the_document_names_no_patient_and_no_time(document, series):
    assert document.startswith(b"%PDF-")
    said = texts_of(document)
    header = series.header
    for value in (header.PatientName, header.PatientID, header.PatientBirthDate, header.StudyInstanceUID):
        assert str(value) not in said
        assert str(value).replace("^", " ") not in said
    assert "CreationDate" not in said
    assert "Contours for review" in said


def test_nothing_drawn_is_refused(series, drawn):
    from dataclasses import replace

    with pytest.raises(StructureSetInvalid) as refused:
        pdf_of(series, replace(drawn, rois=()))
    assert refused.value.code == "preview.empty"


def test_without_matplotlib_it_is_refused_by_name(series, drawn, monkeypatch):
    monkeypatch.setattr(preview_pages, "can_draw", lambda: False)
    for draw in (pdf_of, pictures_of):
        with pytest.raises(StructureSetInvalid, match="pip install") as refused:
            draw(series, drawn)
        assert refused.value.code == preview_pages.NO_MATPLOTLIB


def test_pages_as_frames(series, drawn, pages):
    several = np.concatenate([pages, pages[:, ::-1]])
    ds = pydicom.dcmread(BytesIO(PreviewImage(series, authorship(), drawn.header, several).encode()))
    assert (ds.NumberOfFrames, ds.PhotometricInterpretation, ds.BurnedInAnnotation) == (2, "RGB", "NO")
    assert list(ds.PageNumberVector) == [1, 2]
    np.testing.assert_array_equal(ds.pixel_array, several)
    assert (ds.StudyInstanceUID, ds.PatientName) == (series.study_instance_uid, series.header.PatientName)
    assert ds.SeriesInstanceUID == authorship().series_instance_uid
    assert ds.SeriesDescription == "Preview AI pelvis pelvis-ct 1.0"
    assert "FrameOfReferenceUID" not in ds


def test_pages_as_a_document(series, drawn, document):
    ds = pydicom.dcmread(BytesIO(PreviewPdf(series, authorship(), drawn.header, document).encode()))
    assert ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength] == document
    assert (ds.MIMETypeOfEncapsulatedDocument, ds.BurnedInAnnotation, ds.Modality) == (
        "application/pdf",
        "NO",
        "DOC",
    )
    assert violations(ds) == ()


@pytest.mark.peer
@pytest.mark.parametrize("what", ["one page", "pages", "document"])
def test_dciodvfy_finds_nothing(what, series, drawn, pages, document, tmp_path: Path):
    if DCIODVFY is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    file = tmp_path / "preview.dcm"
    if what == "document":
        file.write_bytes(PreviewPdf(series, authorship(), drawn.header, document).encode())
    else:
        shown = np.concatenate([pages, pages]) if what == "pages" else pages
        file.write_bytes(PreviewImage(series, authorship(), drawn.header, shown).encode())
    said = subprocess.run([DCIODVFY, "-new", file], capture_output=True, text=True, check=False).stderr
    assert [line for line in said.splitlines() if line.startswith("Error")] == []
