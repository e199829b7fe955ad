"""What each planning system needs of a structure set. Every rule names where it was learnt.

A source in square brackets is practice that nobody has confirmed on that system: prove it on site.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from service.errors import ConfigInvalid

Holes = Literal["keyhole", "xor"]
TransferSyntax = Literal["implicit", "explicit"]


@dataclass(frozen=True, slots=True)
class Profile:
    """How a structure set is written for one kind of receiver.

    Attributes:
        name: as in ``profile:`` of a destination.
        transfer_syntax: implicit or explicit VR, little endian.
        holes: a channel of no width (keyhole), or rings combined by exclusive or (CLOSEDPLANAR_XOR).
        predecessor: write the Predecessor Structure Set Sequence (3006,0018).
        plain_names: ROI names and labels in ASCII whatever the character set can express.
        needs_patient_name: refuse a CT without Patient Name or Patient ID.
        tolerance_mm: how far contours may move to save points.
        sources: by attribute, where the rule was learnt.
    """

    name: str
    transfer_syntax: TransferSyntax = "implicit"
    holes: Holes = "keyhole"
    predecessor: bool = True
    plain_names: bool = False
    needs_patient_name: bool = False
    tolerance_mm: float = 0.0
    sources: Mapping[str, str] = field(default_factory=dict)


_GENERAL: Final = {
    "transfer_syntax": "A DS value over 65534 bytes turns to VR UN in explicit VR and is not read: "
    "pydicom#1530, pydicom#757, dcmjs PR#450",
    "holes": "Keyholes were read exactly by plastimatch 1.9.4 and dcmrtstruct2nii 5, which drop or empty "
    "CLOSEDPLANAR_XOR; planning systems are said to read both: dicomforum 2025-07, C. Schadt",
    "tolerance_mm": "Sub-voxel contours load: vv PR#117",
}

PROFILES: Final[Mapping[str, Profile]] = {
    profile.name: profile
    for profile in (
        Profile(
            "generic",
            sources=_GENERAL
            | {
                "predecessor": "PS3.3 C.8.8.5",
                "plain_names": "PS3.3 C.12.1.1.2: text is written in the character set of the CT",
                "needs_patient_name": "PS3.3 C.7.1.1: both are type 2 and may be empty",
            },
        ),
        Profile(
            "eclipse",
            predecessor=False,
            plain_names=True,
            sources=_GENERAL
            | {
                "predecessor": "UID integrity is checked more strictly in newer versions: CERR#376. "
                "[A predecessor that was never imported may stop the import]",
                "plain_names": "Identifiers have at most 16 characters, no space at the ends, one case: "
                "CC-Gen, pytrip#285, pytrip#291. [Non-ASCII identifiers]",
                "needs_patient_name": "Type 2 attributes must be there: SlicerRT#186; they may be empty",
            },
        ),
        Profile(
            "raystation",
            predecessor=False,
            plain_names=True,
            needs_patient_name=True,
            sources=_GENERAL
            | {
                "predecessor": "[The set goes to the examination with the same images; untested]",
                "plain_names": "[ROI names are unique within the case and compared without case]",
                "needs_patient_name": "A null Patient Name or ID breaks DICOM queries: pytrip#266",
            },
        ),
    )
}


def profile_named(
    name: str, *, holes: Holes | None = None, transfer_syntax: TransferSyntax | None = None
) -> Profile:
    """A profile, with what the destination says otherwise.

    Raises:
        ConfigInvalid: no profile has this name.
    """
    if name not in PROFILES:
        known = ", ".join(PROFILES)
        raise ConfigInvalid((f"profile: found {name!r}, allowed: {known}",))
    profile = PROFILES[name]
    return replace(
        profile, holes=holes or profile.holes, transfer_syntax=transfer_syntax or profile.transfer_syntax
    )
