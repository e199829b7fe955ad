"""``delineate phantom``: a commissioning CT with marks of known place and volume."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.volume import FloatArray, Grid
    from service.dicom.commissioning_phantom import Mark

app = typer.Typer()

_FIELD_OF_VIEW_MM = 340.0
_EXTENT_MM = 240.0

_CHECKS = """
What to check in the planning system, for the CT and for the structure set imported with it:
  1. Left and right. Ball_L and the letter L lie on the side that the system labels as the patient's left,
     the letter R on the other. In a transverse view the letters are upright if the patient lies head first
     supine; in every other position they may turn with the patient, and the labels must follow.
  2. Head and feet. The letter H stands on the slices towards the head, F on those towards the feet; the
     body narrows towards the head.
  3. Position. The middle of each mark, by the system's cursor, is the one printed above to within a pixel
     and half a slice (as DICOM counts: x to the patient's left, y to posterior, z to the head; some systems
     exchange y and z or turn their signs).
  4. Slice. The wedge is {start:g} mm + {slope:g} x (z - ({low:.2f})) long, to the next pixel: its length
     tells which slice is shown, and on every slice the structure set's wedge ends where the CT's does.
  5. Volume. The volume that the system reports for each mark agrees with the one printed above within 1 %.
     A system that adds or leaves out half a slice at both ends differs more in short marks: know which
     yours does.
  6. CT number. Water reads {water} HU, air {air} HU, the marks what is printed above.
"""


class Position(StrEnum):
    """How the patient lies, as PatientPosition (0018,5100) says it."""

    HFS = "HFS"
    HFP = "HFP"
    FFS = "FFS"
    FFP = "FFP"
    HFDR = "HFDR"
    HFDL = "HFDL"
    FFDR = "FFDR"
    FFDL = "FFDL"


@app.command()
def phantom(  # noqa: PLR0913, PLR0917 - each argument is one option of the command
    folder: Annotated[Path, typer.Argument(help="a new or empty folder for the images", file_okay=False)],
    orientation: Annotated[Position, typer.Option(help="how the patient lies")] = Position.HFS,
    spacing: Annotated[float, typer.Option(min=0.2, max=3.0, help="pixel spacing, mm")] = 1.0,
    slice_thickness: Annotated[float, typer.Option(min=0.5, max=5.0, help="slice spacing, mm")] = 3.0,
    size: Annotated[int, typer.Option(min=128, max=2048, help="rows and columns")] = 512,
    patient_name: Annotated[str, typer.Option(help="family^given")] = "Phantom^Commissioning",
    patient_id: Annotated[str, typer.Option(help="patient ID")] = "COMMISSIONING",
    structure_set: Annotated[
        bool, typer.Option("--structure-set", help="write the marks as an RT Structure Set too")
    ] = False,
) -> None:
    """Write a CT with asymmetric marks to FOLDER and print where they are and how large."""
    from service.dicom.commissioning_phantom import VERSION, marks_on, phantom_hu
    from service.dicom.ct_writer import SyntheticPatient, uid_of, write_ct

    if spacing * size < _FIELD_OF_VIEW_MM:
        wanted = f"{size} pixels of {spacing:g} mm do not hold the phantom ({_FIELD_OF_VIEW_MM:g} mm)"
        raise typer.BadParameter(wanted, param_hint="--size")
    if folder.is_dir() and any(folder.iterdir()):
        raise typer.BadParameter("the folder is not empty", param_hint="FOLDER")
    grid = _grid(orientation, spacing, slice_thickness, size)
    marks = marks_on(grid)
    key = (VERSION, orientation, spacing, slice_thickness, size, patient_name, patient_id)
    files = write_ct(
        folder,
        phantom_hu(grid, marks),
        grid,
        patient=SyntheticPatient(name=patient_name, patient_id=patient_id),
        patient_position=orientation,
        seed=int(uid_of(*key).removeprefix("2.25.")),
        study_description="Commissioning phantom",
        series_description=f"Phantom {orientation}",
    )
    if structure_set:
        from service.command_line.phantom_structure_set import marks_as_structure_set

        (folder / "RS.dcm").write_bytes(marks_as_structure_set(files, marks, uid_of(*key)))
    print(f"{len(files)} images in {folder}, {orientation}" + (", and RS.dcm" if structure_set else ""))
    print("Marks, in patient coordinates (mm; x to the left, y to posterior, z to the head):")
    for mark in marks:
        print(_told(grid, mark))
    print(_checks(marks))


def _grid(orientation: Position, spacing: float, slice_thickness: float, size: int) -> Grid:
    from service.dicom.patient_grids import patient_grid

    slices = int(-(-_EXTENT_MM // slice_thickness))
    return patient_grid(
        orientation, shape_zyx=(slices, size, size), spacing_zyx_mm=(slice_thickness, spacing, spacing)
    )


def _told(grid: Grid, mark: Mark) -> str:
    """Two lines on one mark: its middle and volume, its extent and what it is for."""
    from service.dicom.commissioning_phantom import mark_field

    exact = mark.shape.volume_cm3
    counted = mark_field(grid, mark).volume_cm3(grid)
    low, high = mark.shape.extent_lps_mm.T
    return (
        f"  {mark.name:<14}{mark.hu:>6} HU  middle{_place(mark.shape.centre_lps_mm)}{exact:>10.3f} cm3"
        f"  (in voxels {counted:.3f}, {100 * (counted / exact - 1):+.2f} %)\n"
        f"{'from':>31}{_place(low)}  to{_place(high)}  {mark.purpose}"
    )


def _place(position: FloatArray) -> str:
    return "".join(f"{value + 0.0:>9.2f}" for value in position)


def _checks(marks: Sequence[Mark]) -> str:
    from service.dicom.commissioning_phantom import AIR_HU, WATER_HU
    from service.dicom.phantom_shapes import WEDGE_SLOPE, WEDGE_START_MM, Wedge

    wedge = next(mark.shape for mark in marks if isinstance(mark.shape, Wedge))
    return _CHECKS.format(
        start=WEDGE_START_MM, slope=WEDGE_SLOPE, low=wedge.z_mm[0], water=WATER_HU, air=AIR_HU
    )
