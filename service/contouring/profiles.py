"""What each planning system needs of a structure set. Every rule names where it was learnt.

A source in square brackets is practice that nobody has confirmed on that system: prove it on site.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final

from service.contouring.structure_names import NameRules
from service.errors import ConfigInvalid

if TYPE_CHECKING:
    from service.config.site import Destination, Site
    from service.config.tps_profile import Alphabet, Holes, ProfileRules, TpsProfile, TransferSyntax


@dataclass(frozen=True, slots=True)
class Profile:
    """How a structure set is written for one kind of receiver.

    Attributes:
        name: as in ``profile:`` of a destination.
        transfer_syntax: implicit or explicit VR, little endian.
        holes: a channel of no width (keyhole), rings combined by exclusive or (CLOSEDPLANAR_XOR), or closed
            contours within one another (rings).
        name_characters: longest ROI name.
        alphabet: of ROI names and labels: what the CT's character set can express, ASCII, or identifiers.
        ignore_case: names that differ in case alone are the same.
        label_characters: longest Structure Set Label.
        points_per_contour, points_per_set: most points; None for no limit but that of Contour Data's length.
        tolerance_mm: how far contours may move to save points.
        colors: display colour by structure, ``#rrggbb``, before the protocol's.
        predecessor: write the Predecessor Structure Set Sequence (3006,0018).
        needs_patient_name: refuse a CT without Patient Name or Patient ID.
        axial_only: refuse a CT whose slices are not axial.
        head_first_supine: warn of any other patient position.
        sources: by attribute, where the rule was learnt.
    """

    name: str
    transfer_syntax: TransferSyntax = "implicit"
    holes: Holes = "keyhole"
    name_characters: int = 16
    alphabet: Alphabet = "charset"
    ignore_case: bool = True
    label_characters: int = 16
    points_per_contour: int | None = None
    points_per_set: int | None = None
    tolerance_mm: float = 0.0
    colors: Mapping[str, str] = field(default_factory=dict)
    predecessor: bool = True
    needs_patient_name: bool = False
    axial_only: bool = False
    head_first_supine: bool = False
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> NameRules:
        """What ROI names may be."""
        return NameRules(self.name_characters, self.alphabet, self.ignore_case)


_GENERAL: Final = {
    "transfer_syntax": "A DS value over 65534 bytes turns to VR UN in explicit VR and is not read: "
    "pydicom#1530, pydicom#757, dcmjs PR#450",
    "holes": "Keyholes were read exactly by plastimatch 1.9.4 and dcmrtstruct2nii 5, which drop or empty "
    "CLOSEDPLANAR_XOR; planning systems are said to read both: dicomforum 2025-07, C. Schadt",
    "name_characters": "ROI Observation Label has VR SH: PS3.5 6.2; longer ones break Eclipse: dicompyler#56",
    "alphabet": "PS3.3 C.12.1.1.2: text is written in the character set of the CT",
    "ignore_case": "[Some systems compare names without case; a number does no harm elsewhere]",
    "label_characters": "Structure Set Label has VR SH: PS3.5 6.2; pytrip PR#291",
    "points_per_contour": "No limit was found but that of Contour Data in explicit VR: dcmjs PR#450",
    "points_per_set": "Many points load slowly: Slicer#6320, cornerstone3D PR#1061; no limit was found",
    "tolerance_mm": "Sub-voxel contours load: vv PR#117",
    "colors": "Colours matter to planners and are the protocol's: VarianAPIs#40",
    "predecessor": "PS3.3 C.8.8.5",
    "needs_patient_name": "PS3.3 C.7.1.1: both are type 2 and may be empty",
    "axial_only": "A Contourer takes the CT as it is: IHE-RO BRTO-II, quoted in OpenSaMD PR#108",
    "head_first_supine": "PS3.3 C.7.6.2: positions follow from the images, whatever the patient's position",
}

_UNTESTED_PREDECESSOR: Final = "[A predecessor that was never imported may stop the import; untested]"

PROFILES: Final[Mapping[str, Profile]] = {
    profile.name: profile
    for profile in (
        Profile("generic", sources=_GENERAL),
        Profile(
            "eclipse",
            predecessor=False,
            alphabet="ascii",
            sources=_GENERAL
            | {
                "predecessor": "UID integrity is checked more strictly in newer versions: CERR#376. "
                "[A predecessor that was never imported may stop the import]",
                "name_characters": "Identifiers have at most 16 characters: CC-Gen, pytrip#285, pytrip#291",
                "alphabet": "No space at the ends of identifiers: CC-Gen. [Non-ASCII identifiers]",
                "ignore_case": "Identifiers are compared without case in scripts: CC-Gen",
                "needs_patient_name": "Type 2 attributes must be there: SlicerRT#186; they may be empty",
            },
        ),
        Profile(
            "raystation",
            predecessor=False,
            alphabet="ascii",
            needs_patient_name=True,
            sources=_GENERAL
            | {
                "predecessor": "[The set goes to the examination with the same images; untested]",
                "alphabet": "[ROI names in ASCII]",
                "ignore_case": "[ROI names are unique within the case and compared without case]",
                "needs_patient_name": "A null Patient Name or ID breaks DICOM queries: pytrip#266",
            },
        ),
        Profile(
            "monaco",
            predecessor=False,
            alphabet="ascii",
            axial_only=True,
            sources=_GENERAL
            | {
                "predecessor": _UNTESTED_PREDECESSOR,
                "name_characters": "[Short names; LEDDCMFCLMON0001 is the statement to check]",
                "alphabet": "[ROI names in ASCII]",
                "axial_only": "[Axial CT planes only, and contours that lie on them]",
                "tolerance_mm": "Final geometry is sent: its own margins add 0.3 to 0.4 mm, "
                "doi 10.1177/15330338241285961",
            },
        ),
        Profile(
            "pinnacle",
            predecessor=False,
            alphabet="identifier",
            head_first_supine=True,
            sources=_GENERAL
            | {
                "predecessor": _UNTESTED_PREDECESSOR,
                "holes": "[Inner contours are read as holes, even and odd]; a keyhole needs no such rule",
                "name_characters": "[Name limits]",
                "alphabet": "[Trouble with non-ASCII names]",
                "head_first_supine": "Other orientations than head first supine are prone to error: "
                "Pinnacle-tar-DICOM#3",
            },
        ),
        Profile(
            "mim",
            predecessor=False,
            sources=_GENERAL
            | {
                "predecessor": _UNTESTED_PREDECESSOR,
                "points_per_set": "Associations are cancelled on long pauses: Evil-DICOM#99; a set is one "
                "object and is sent without any. No limit was found",
            },
        ),
    )
}


def profile_named(
    name: str,
    *,
    holes: Holes | None = None,
    transfer_syntax: TransferSyntax | None = None,
    own: Mapping[str, TpsProfile] | None = None,
    rules: ProfileRules | None = None,
) -> Profile:
    """A profile, with what the destination says otherwise.

    Args:
        name: one that ships, or one of ``own``.
        holes, transfer_syntax: of the destination; they come before its ``rules``.
        own: the site's profiles.
        rules: of the destination.

    Raises:
        ConfigInvalid: no profile has this name.
    """
    mine = (own or {}).get(name)
    if mine is None and name not in PROFILES:
        known = ", ".join([*PROFILES, *(own or {})])
        raise ConfigInvalid((f"profile: found {name!r}, allowed: {known}",))
    profile = PROFILES[name] if mine is None else PROFILES[mine.based_on]
    for said, where in ((mine, f"profiles.{name}"), (rules, "rules of the destination")):
        if said is not None:
            changes = _changes(said)
            sources = {**profile.sources, **dict.fromkeys(changes, f"This site's configuration, {where}")}
            profile = replace(profile, sources=sources, **changes)
    return replace(
        profile,
        name=name,
        holes=holes or profile.holes,
        transfer_syntax=transfer_syntax or profile.transfer_syntax,
    )


def profile_of(destination: Destination, site: Site) -> Profile:
    """How structure sets are written for a destination.

    Raises:
        ConfigInvalid: it names a profile that there is not.
    """
    return profile_named(
        destination.profile,
        holes=destination.holes,
        transfer_syntax=destination.transfer_syntax,
        own=site.profiles,
        rules=destination.rules,
    )


def profile_key(profile: Profile) -> str:
    """Tells apart the structure sets that one contouring makes for different receivers.

    A profile whose other rules are those that ship needs no more than its name.
    """
    key = f"{profile.name}-{profile.holes}-{profile.transfer_syntax}"
    rules = _other_rules(profile)
    if profile.name in PROFILES and rules == _other_rules(PROFILES[profile.name]):
        return key
    return f"{key}-{hashlib.sha256(repr(rules).encode()).hexdigest()[:8]}"


def _other_rules(profile: Profile) -> list[tuple[str, Any]]:
    apart = {"name", "sources", "holes", "transfer_syntax"}
    values = [(one.name, getattr(profile, one.name)) for one in fields(profile) if one.name not in apart]
    return [(name, sorted(value.items()) if name == "colors" else value) for name, value in values]


def _changes(said: ProfileRules) -> dict[str, Any]:
    values = {rule.name: getattr(said, rule.name, None) for rule in fields(Profile)}
    return {name: value for name, value in values.items() if value is not None and value != {}}
