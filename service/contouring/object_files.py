"""What is made of a contoured CT, each in a file of the job's folder: structure sets and other objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydicom.filereader import read_file_meta_info

from service.backlog.file_sets import instance_uid_of
from service.backlog.spool import write_once
from service.config.output_objects import PICTURES, ObjectKind
from service.contouring.preview_objects import PreviewImage, PreviewPdf
from service.contouring.preview_pages import pdf_of, pictures_of
from service.contouring.profiles import profile_key, profile_named, profile_of
from service.contouring.segmentation_object import SegmentationObject
from service.dicom.structure_set_reader import read_structure_set
from service.errors import StructureSetInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from service.config.site import Destination, Site
    from service.contouring.contoured_ct import ContouredCt
    from service.contouring.ct_series import CtSeries
    from service.contouring.instance_modules import Authorship
    from service.contouring.profiles import Profile

_FILES: Final = {
    ObjectKind.SEGMENTATION: "segmentation.dcm",
    ObjectKind.LABELMAP: "segmentation-labelmap.dcm",
    ObjectKind.PREVIEW: "preview.dcm",
    ObjectKind.PREVIEW_PDF: "preview-pdf.dcm",
    ObjectKind.NIFTI: "nifti/structures.json",
    ObjectKind.NIFTI_STRUCTURES: "nifti-structures/structures.json",
}


@dataclass(frozen=True, slots=True, repr=False)
class Awaited:
    """An object that a destination is to get.

    Attributes:
        destination: name in the configuration.
        kind: which object.
        profile: how structure sets are written for it.
        file: where it lies in the job's folder once it is made.
    """

    destination: str
    kind: ObjectKind
    profile: Profile
    file: Path


def awaited_of(folder: Path, destinations: Mapping[str, Destination | None], site: Site) -> list[Awaited]:
    """What is to be made for the destinations of a job.

    A destination that the configuration has no more gets a structure set: the delivery then says so.
    """
    awaited = []
    for name, at in destinations.items():
        profile = profile_named("generic") if at is None else profile_of(at, site)
        for kind in (ObjectKind.RTSTRUCT,) if at is None else at.kinds:
            awaited.append(Awaited(name, kind, profile, object_file(folder, kind, profile)))
    return awaited


def profiles_for(awaited: Sequence[Awaited], elsewhere: Iterable[Destination], site: Site) -> list[Profile]:
    """Profiles to make structure sets for: those of the job first, then those of all other destinations.

    A set that was made can be sent ``elsewhere`` later without contouring again.
    """
    own = [each.profile for each in awaited]
    others = [profile_of(each, site) for each in elsewhere]
    every = {profile_key(profile): profile for profile in [*own, *others]}
    return list(every.values()) or [profile_named("generic")]


def set_file(folder: Path, profile: Profile) -> Path:
    """Where the structure set for a profile lies in a job's folder."""
    return folder / f"rtstruct-{profile_key(profile)}.dcm"


def object_file(folder: Path, kind: ObjectKind, profile: Profile) -> Path:
    """Where an object lies in a job's folder; the profile counts for structure sets alone."""
    return set_file(folder, profile) if kind is ObjectKind.RTSTRUCT else folder / _FILES[kind]


def sop_instance_uid(file: Path) -> str:
    """Under which UID we wrote an object: from its File Meta Information, or its JSON file."""
    if file.suffix == ".json":
        return instance_uid_of(file)
    return str(read_file_meta_info(file).MediaStorageSOPInstanceUID)


def write_object(
    file: Path, kind: ObjectKind, done: ContouredCt, authorship: Authorship, sets: Sequence[Path]
) -> None:
    """Write an object that is no structure set.

    A preview is drawn from the first of ``sets`` that exists, or any that was made.

    Raises:
        StructureSetInvalid: it cannot be made of this CT.
        SpoolUnavailable: the disk is full, read-only or failing.
    """
    what = (done.series, done.segmentation, done.rois, authorship)
    if kind in (ObjectKind.NIFTI, ObjectKind.NIFTI_STRUCTURES):
        from service.contouring.nifti_masks import write_nifti  # SimpleITK, 90 MiB that few destinations need

        write_nifti(file, *what, by_structure=kind is ObjectKind.NIFTI_STRUCTURES)
    elif kind in PICTURES:
        made = [*sets, *sorted(file.parent.glob("rtstruct-*.dcm"))]
        write_once(file, _preview(kind, made, done.series, authorship))
    else:
        write_once(file, SegmentationObject(*what, label_map=kind is ObjectKind.LABELMAP).encode())


def _preview(kind: ObjectKind, sets: Sequence[Path], series: CtSeries, authorship: Authorship) -> bytes:
    drawn = next((file for file in sets if file.exists()), None)
    if drawn is None:
        code, sentence = "preview.no-structure-set", "There is no structure set that a preview could show."
        raise StructureSetInvalid(code, sentence)
    structure_set = read_structure_set(drawn)
    header = structure_set.header
    if kind is ObjectKind.PREVIEW:
        return PreviewImage(series, authorship, header, pictures_of(series, structure_set)).encode()
    return PreviewPdf(series, authorship, header, pdf_of(series, structure_set)).encode()
