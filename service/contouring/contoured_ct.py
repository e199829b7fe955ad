"""One CT, contoured by one protocol: from files to the encoded structure sets of any profile.

The worker and the command line both come here; neither knows more than this of how it is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from models.cards.card import BundleError
from models.cards.catalog import find_bundle
from models.stages import Stages
from models.volume import Finding, Segmentation, Severity
from service.config.protocol import Protocol
from service.config.reader import LoadedSite
from service.contouring.contours import contours_of
from service.contouring.ct_series import CtSeries, Limits
from service.contouring.derivation.rois import all_rois
from service.contouring.instance_modules import Authorship
from service.contouring.point_budget import moved_too_far, within_budget
from service.contouring.profiles import Profile, profile_key
from service.contouring.read_back import DIFFERS, check
from service.contouring.receiver_checks import colored, notes_of, refuse_slices
from service.contouring.rt_structure_set import RtStructureSet
from service.contouring.second_look import looked_at
from service.contouring.several_models import Share, left_out, merged, shares_of
from service.contouring.structure_names import Roi, kept_holes
from service.dicom.uids import derived_uid
from service.errors import ModelRefused, StructureSetInvalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.cards.card import Card
    from service.contouring.model_queue import Turn
    from service.contouring.segment import ModelClient
    from service.contouring.set_texts import Replaced


@dataclass(frozen=True, slots=True)
class SetOrigin:
    """What a structure set's UIDs are made from, and what it says of its own making.

    Attributes:
        key: job id, or any other text that stands for this contouring alone.
        made_at: with the site's time zone.
        notes: sentences about the CT beside those of the series itself.
        replaces: the set that this one takes the place of.
    """

    key: str
    made_at: datetime
    notes: tuple[str, ...] = ()
    replaces: Replaced | None = None


@dataclass(frozen=True, slots=True, repr=False)
class ContouredCt:
    """A CT and what a model says of it.

    Attributes:
        series: the CT.
        segmentation: only the structures that the protocol asks for, with the model's findings.
        protocol: how they are written.
        rois: the protocol's structures, in order.
    """

    series: CtSeries
    segmentation: Segmentation
    protocol: Protocol
    rois: tuple[Roi, ...]

    @property
    def volumes_cm3(self) -> dict[str, float]:
        """By structure, rounded to 0.01 cm3."""
        found = self.segmentation.structures
        return {name: round(found[name].volume_cm3(self.series.grid), 2) for name in found}

    def structure_set(
        self, loaded: LoadedSite, profile: Profile, origin: SetOrigin, stages: Stages | None = None
    ) -> bytes:
        """The encoded structure set for one profile, read back and compared before it is returned.

        The same origin and profile give the same UIDs: what has left under them must not change. ``stages``
        is told what its making costs.

        Raises:
            StructureSetInvalid: it cannot be made, or differs from the segmentation when read back.
        """
        stages = stages or Stages()
        refuse_slices(self.series, profile)
        rois = colored(self.rois, profile)
        with stages.stage("contours"):
            contours = contours_of(
                self.segmentation,
                self.series.grid,
                keep_holes=kept_holes(self.rois),
                tolerance_mm=profile.tolerance_mm,
            )
            contours, moved_mm = within_budget(contours, profile)
        of_receiver = notes_of(self.series, profile, max(moved_mm, profile.tolerance_mm))
        authorship = self.authorship(loaded, origin, profile_key(profile), of_receiver)
        with stages.stage("encode"):
            made = RtStructureSet(self.series, contours, self.segmentation, rois, authorship, profile)
            encoded = made.encode()
        with stages.stage("read_back"):
            try:
                check(encoded, self.segmentation, self.series, rois, profile.names)
            except StructureSetInvalid as error:
                if moved_mm > 0 and error.code == DIFFERS:
                    raise moved_too_far(moved_mm) from error
                raise
        return encoded

    def authorship(
        self, loaded: LoadedSite, origin: SetOrigin, what: str, notes: Sequence[str] = ()
    ) -> Authorship:
        """Who makes ``what`` of this CT, under UIDs that depend on the origin and on it alone."""
        node = loaded.site.node
        return Authorship(
            sop_instance_uid=instance_uid(loaded, origin.key, what),
            series_instance_uid=derived_uid(node.uid_root, origin.key, what, "series"),
            made_at=origin.made_at,
            label=self.protocol.label,
            equipment=node.equipment,
            software_version=version("delineate"),
            series_description=self.protocol.series_description,
            replaces=origin.replaces,
            notes=tuple(dict.fromkeys((*notes, *self.series.notes, *origin.notes))),
        )


def limits_of(loaded: LoadedSite) -> Limits:
    """What the site lets a CT look like."""
    node = loaded.site.node
    return Limits(minimum_slices=node.minimum_slices, enhanced_ct=node.enhanced_ct, lossy=node.lossy)


def instance_uid(loaded: LoadedSite, key: str, what: str) -> str:
    """The SOP Instance UID of ``what`` is made of a CT under an origin's key, known before it is made."""
    return derived_uid(loaded.site.node.uid_root, key, what, "instance")


def site_time(loaded: LoadedSite, at: float | None = None) -> datetime:
    """A moment (seconds since the epoch; now if absent) in the site's time zone."""
    return datetime.fromtimestamp(time.time() if at is None else at, ZoneInfo(loaded.site.node.timezone))


def card_of(reference: str, protocol: Protocol, folders: Sequence[Path]) -> Card:
    """The card of one of the protocol's models, which the protocol must be allowed to run.

    Raises:
        ModelRefused: no such bundle, or one that has seen synthetic data only and is not allowed.
    """
    try:
        card = find_bundle(reference, folders)
    except BundleError as error:
        raise ModelRefused(error.code, str(error)) from error
    if not card.validated and not protocol.allow_unvalidated:
        code = "model.unvalidated"
        sentence = (
            f"The card of {reference} says that it was not validated on real CT. "
            "Set allow_unvalidated: true in the protocol to run it; its structure sets then say so."
        )
        raise ModelRefused(code, sentence)
    return card


def contour_ct(
    files: Sequence[Path],
    loaded: LoadedSite,
    protocol: Protocol,
    models: ModelClient | Turn,
    progress: Callable[[float], None] | None = None,
) -> ContouredCt:
    """Read a series, run the protocol's models on it and keep the structures that the protocol asks for.

    Args:
        files: the instances of one series.
        loaded: the site.
        protocol: models and structures.
        models: the model process, or a turn at one.
        progress: told the part that is done, 0 to 1.

    Raises:
        SeriesRefused: the CT must not be contoured.
        ModelRefused: a model does not fit this CT or its own card, or nothing was found.
        SegmentationFailed: the model process failed.
    """
    stages = Stages()
    with stages.stage("read_headers"):
        cards = [card_of(use.model, protocol, loaded.bundle_folders) for use in protocol.uses]
        shares = shares_of(protocol, cards)
        series = CtSeries.read(files, limits=limits_of(loaded))
    read = time.perf_counter()
    segmentation, hu = _segmented(series, shares, loaded, models, stages, progress)
    taken = {"decode_and_segment": time.perf_counter() - read}
    given_by = {name: share.card for share in shares for name in share.structures}
    segmentation = looked_at(segmentation, protocol, given_by, series.grid, hu)
    del hu  # a CT less in memory while contours are made
    seconds = {**stages.seconds, **taken, **segmentation.seconds}
    peaks = {**stages.peaks, **segmentation.peaks}
    rois = all_rois(protocol)
    sent = {roi.structure for roi in rois}
    asked = {name: field for name, field in segmentation.structures.items() if name in sent}
    findings = tuple(
        finding for finding in segmentation.findings if finding.structure is None or finding.structure in sent
    )
    if not asked:
        names = ", ".join(use.model for use in protocol.uses)
        code, sentence = "model.nothing-found", f"{names} found none of the structures asked for."
        if any(finding.severity is Severity.STOP for finding in findings):
            code, sentence = "model.nothing-left", f"Nothing that {names} found may be delivered."
        raise ModelRefused(code, " ".join([sentence, *(finding.sentence for finding in findings)]))
    made_by = {name: made for name, made in segmentation.made_by.items() if name in asked}
    kept = replace(
        segmentation, structures=asked, findings=findings, seconds=seconds, peaks=peaks, made_by=made_by
    )
    return ContouredCt(series, kept, protocol, rois)


def _segmented(
    series: CtSeries,
    shares: Sequence[Share],
    loaded: LoadedSite,
    models: ModelClient | Turn,
    stages: Stages,
    progress: Callable[[float], None] | None,
) -> tuple[Segmentation, NDArray[Any] | None]:
    """What the models say, one after the other, and the CT, decoded for each so that only one is held."""
    held: list[NDArray[Any]] = []

    def decoded_into(hu: NDArray[Any]) -> None:
        held[:] = [hu]  # the memory that the model process is shown, and no copy of it
        with stages.stage("decode"):
            series.fill(hu)

    found: list[Segmentation] = []
    findings: list[Finding] = []
    for number, share in enumerate(shares):
        told = progress and partial(_tell_part, progress, number, len(shares))
        try:
            found.append(
                models.segment(
                    decoded_into,
                    series.grid,
                    series.hu_dtype,
                    share.card,
                    share.structures,
                    deadline_seconds=loaded.site.node.model_timeout_seconds,
                    progress=told,
                )
            )
        except ModelRefused as refused:
            if share.use.if_refused == "refuse" or len(shares) == 1:
                raise
            findings += left_out(share, refused)
    if not found:
        sentences = dict.fromkeys(finding.sentence for finding in findings)
        raise ModelRefused("model.all-refused", " ".join(sentences))
    return merged(found, findings), held[0] if held else None


def _tell_part(progress: Callable[[float], None], number: int, of: int, part: float) -> None:
    progress((number + part) / of)
