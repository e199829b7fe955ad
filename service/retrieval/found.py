"""What an archive says it has, and what came of it when it was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pydicom.uid import CTImageStorage


@dataclass(frozen=True, slots=True, repr=False)
class FoundSeries:
    """A CT series of the archive; printing it shows nothing.

    Attributes:
        study_instance_uid, series_instance_uid: of the series.
        instances: how many CT images the archive says it has; 0 if it does not say.
        images: their SOP Instance UIDs, if it says.
    """

    study_instance_uid: str
    series_instance_uid: str
    instances: int
    images: frozenset[str] = frozenset()


@dataclass(slots=True, repr=False)
class Taken:
    """What came when a series was asked for.

    Attributes:
        stored: SOP Instance UIDs that the node has acknowledged.
        refused: how many images it refused, by code.
    """

    stored: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)


def counted(
    study: str, series: str, said: int | None, images: Iterable[tuple[str, str]], classes: Iterable[str]
) -> FoundSeries | None:
    """A series by what the archive lists of it; None if it lists images and none is a CT.

    Args:
        study, series: UIDs.
        said: NumberOfSeriesRelatedInstances, if it says that.
        images: SOP Instance UID and SOP Class UID of each image, the class empty where it does not say.
        classes: SOP classes that the node takes.
    """
    wanted = {*classes, "", str(CTImageStorage)}
    listed = {uid: sop_class for uid, sop_class in images if uid}
    if not listed:
        return FoundSeries(study, series, said or 0)
    of_ct = frozenset(uid for uid, sop_class in listed.items() if sop_class in wanted)
    return FoundSeries(study, series, len(of_ct), of_ct) if of_ct else None
