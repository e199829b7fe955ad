"""The structures that this project knows by their TG-263 names: code, colour, type, holes, ROI name.

Codes are SNOMED CT and DICOM (PS3.16 CID 4031, 7304, 9534 and others; a test compares them with those
in pydicom). The side is the suffix of the name and is stated nowhere else. Which names TG-263 has is known
to :mod:`models.tg263`.
"""

from __future__ import annotations

import colorsys
import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from models.tg263 import Standing, side_of, standing_of
from service.dicom.character_sets import Repertoire, plain

if TYPE_CHECKING:
    from service.config.protocol import Protocol
    from service.config.tps_profile import Alphabet

NAME_CHARACTERS: Final = 16
"""Longest ROI name and label that planning systems keep (VR SH; Eclipse identifiers)."""

_NOT_IDENTIFIER: Final = re.compile(r"[^A-Za-z0-9_-]")

Color = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept (PS3.3 Table 8.8-1)."""

    value: str
    scheme: str
    meaning: str


class Laterality(Enum):
    """CID 244, by the suffix that TG-263 names carry."""

    L = Code("7771000", "SCT", "Left")
    R = Code("24028007", "SCT", "Right")


ANATOMY: Final = Code("91723000", "SCT", "Anatomical Structure")
TARGET: Final = Code("130041", "DCM", "RT Target")
BODY_MODEL: Final = Code("130047", "DCM", "External Body Model")


@dataclass(frozen=True, slots=True)
class StructureName:
    """What is known of a structure.

    Attributes:
        name: TG-263 name, or a local one.
        code: of the anatomy or target without its side; None if no code fits.
        color: red, green, blue, 0 to 255.
        interpreted_type: RT ROI Interpreted Type (3006,00A4).
        largest_cm3: more than any patient has.
        keeps_holes: True if a hole in it is anatomy and not a fault of the segmentation.
        category: Segmented Property Category.
    """

    name: str
    code: Code | None
    color: Color
    interpreted_type: str = "ORGAN"
    largest_cm3: float = 10_000.0
    keeps_holes: bool = False
    category: Code = ANATOMY

    @property
    def laterality(self) -> Laterality | None:
        """The side that the name says, by its suffix."""
        return laterality_of(self.name)

    @property
    def standing(self) -> Standing:
        """How the name stands to TG-263."""
        return standing_of(self.name)


def laterality_of(name: str) -> Laterality | None:
    """The side that a TG-263 name says."""
    side = side_of(name)
    return None if side is None else Laterality[side]


def _sct(value: str, meaning: str) -> Code:
    return Code(value, "SCT", meaning)


def _sides(stem: str, code: Code, left: Color, right: Color, largest_cm3: float) -> list[StructureName]:
    return [
        StructureName(f"{stem}_L", code, left, largest_cm3=largest_cm3),
        StructureName(f"{stem}_R", code, right, largest_cm3=largest_cm3),
    ]


_KNOWN: Final[tuple[StructureName, ...]] = (
    StructureName("Bladder", _sct("89837001", "Bladder"), (255, 215, 0), largest_cm3=2000),
    StructureName("Rectum", _sct("34402009", "Rectum"), (160, 82, 45), largest_cm3=1000),
    StructureName("Bowel_Small", _sct("30315005", "Small intestine"), (255, 140, 190), largest_cm3=4000),
    StructureName("Colon", _sct("71854001", "Colon"), (205, 133, 63), largest_cm3=5000),
    StructureName("Colon_Sigmoid", _sct("60184004", "Sigmoid colon"), (222, 170, 100), largest_cm3=1500),
    StructureName("Bowel", _sct("113276009", "Intestine"), (240, 120, 160), largest_cm3=8000),
    StructureName("Bag_Bowel", None, (255, 182, 193), largest_cm3=12_000),
    StructureName("Duodenum", _sct("38848004", "Duodenum"), (230, 190, 255), largest_cm3=500),
    StructureName("Prostate", _sct("41216001", "Prostate"), (220, 20, 60), largest_cm3=500),
    StructureName("Uterus", _sct("35039007", "Uterus"), (255, 105, 180), largest_cm3=3000),
    StructureName("Vagina", _sct("76784001", "Vagina"), (199, 21, 133), largest_cm3=500),
    *_sides("Femur_Head", _sct("2812003", "Head of Femur"), (0, 191, 255), (65, 105, 225), 400),
    *_sides("Bone_Pelvic", _sct("118645006", "Pelvis"), (152, 251, 152), (60, 179, 113), 1500),
    StructureName("Sacrum", _sct("54735007", "Sacrum"), (240, 230, 140), largest_cm3=1200),
    StructureName("Spine", _sct("421060004", "Spine"), (245, 222, 179), largest_cm3=3500, keeps_holes=True),
    StructureName("BoneMarrow", _sct("14016003", "Bone Marrow"), (178, 34, 34), largest_cm3=6000),
    StructureName("SpinalCord", _sct("2748008", "Spinal cord"), (0, 255, 127), largest_cm3=200),
    StructureName("SpinalCanal", _sct("61853006", "Vertebral canal"), (64, 224, 208), largest_cm3=500),
    *_sides("A_Iliac", _sct("73634005", "Common iliac artery"), (255, 69, 0), (255, 99, 71), 300),
    *_sides("A_Iliac_Ext", _sct("113269004", "External iliac artery"), (230, 60, 40), (240, 90, 70), 200),
    *_sides("A_Iliac_Int", _sct("90024005", "Internal iliac artery"), (205, 50, 50), (215, 80, 80), 200),
    *_sides("V_Iliac", _sct("46027005", "Common iliac vein"), (70, 90, 220), (100, 120, 235), 300),
    *_sides("V_Iliac_Ext", _sct("63507001", "External iliac vein"), (80, 70, 200), (110, 100, 215), 200),
    *_sides("V_Iliac_Int", _sct("40300007", "Internal iliac vein"), (90, 50, 180), (120, 80, 195), 200),
    StructureName(
        "External",
        BODY_MODEL,
        (0, 255, 0),
        interpreted_type="EXTERNAL",
        largest_cm3=300_000,
        category=BODY_MODEL,
    ),
    StructureName(
        "CTV",
        _sct("228792002", "CTV"),
        (255, 80, 80),
        interpreted_type="CTV",
        largest_cm3=5000,
        category=TARGET,
    ),
    StructureName(
        "CTVn",
        Code("130049", "DCM", "CTV Nodal"),
        (255, 0, 255),
        interpreted_type="CTV",
        largest_cm3=3000,
        category=TARGET,
    ),
    StructureName(
        "CTVp",
        Code("130050", "DCM", "CTV Primary"),
        (255, 0, 0),
        interpreted_type="CTV",
        largest_cm3=3000,
        category=TARGET,
    ),
)

KNOWN: Final = {structure.name: structure for structure in _KNOWN}


def structure_named(name: str) -> StructureName:
    """What is known of a structure; of one that is not in the list, what its name says.

    The colour of an unknown structure is drawn from its name, so that it is the same every time.
    """
    if name in KNOWN:
        return KNOWN[name]
    hue = hashlib.sha256(name.casefold().encode()).digest()[0] / 256
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.75, 0.95))
    kind = next((prefix for prefix in ("CTV", "PTV", "GTV") if name.upper().startswith(prefix)), "ORGAN")
    return StructureName(
        name,
        None,
        (red, green, blue),
        interpreted_type=kind,
        category=ANATOMY if kind == "ORGAN" else TARGET,
    )


@dataclass(frozen=True, slots=True)
class Roi:
    """One structure as it is to be written.

    Attributes:
        structure: name in the segmentation.
        name: ROI name, at most 16 characters.
        color: red, green, blue.
        keeps_holes: False to fill them.
        known: code, type and the like.
        remarks: sentences about it, whatever the CT.
    """

    structure: str
    name: str
    color: Color
    keeps_holes: bool
    known: StructureName
    remarks: tuple[str, ...] = ()


def rois_of(protocol: Protocol) -> tuple[Roi, ...]:
    """The ROIs that a protocol asks for, in its order, with its colours, names and holes."""
    rois = []
    taken: set[str] = set()
    for name, asked in protocol.structures.items():
        known = structure_named(name)
        written = roi_name((asked and asked.name) or name, taken)
        taken.add(written.casefold())
        color = known.color if asked is None or asked.color is None else color_of_text(asked.color)
        holes = known.keeps_holes if asked is None or asked.holes is None else asked.holes
        rois.append(Roi(name, written, color, holes, known))
    return tuple(rois)


def rois_named(names: Iterable[str]) -> tuple[Roi, ...]:
    """ROIs of these structures as the list of known structures says."""
    taken: set[str] = set()
    rois = []
    for name in names:
        known = structure_named(name)
        written = roi_name(name, taken)
        taken.add(written.casefold())
        rois.append(Roi(name, written, known.color, known.keeps_holes, known))
    return tuple(rois)


def kept_holes(rois: Sequence[Roi]) -> frozenset[str]:
    """Structures whose holes are kept."""
    return frozenset(roi.structure for roi in rois if roi.keeps_holes)


@dataclass(frozen=True, slots=True)
class NameRules:
    """What a receiver lets ROI names be.

    Attributes:
        characters: longest name.
        alphabet: all that the CT's character set can express, ASCII, or A-Z a-z 0-9 _ - alone.
        ignore_case: names that differ in case alone are the same.
    """

    characters: int = NAME_CHARACTERS
    alphabet: Alphabet = "charset"
    ignore_case: bool = True


def written_names(rois: Sequence[Roi], repertoire: Repertoire, rules: NameRules) -> dict[str, str]:
    """ROI name by structure, as the character set of the CT and the receiver allow; all different.

    A name that would lose letters gives way to the structure's own: nobody can tell ``??`` from ``??~2``.
    """
    taken: set[str] = set()
    names = {}
    for roi in rois:
        name = roi.name
        text = repertoire.text(name if rules.alphabet == "charset" else plain(name), 64)
        if text.count("?") > name.count("?"):
            text = roi.structure
        if rules.alphabet == "identifier":
            text = _NOT_IDENTIFIER.sub("_", text)
        names[roi.structure] = roi_name(text, taken, rules)
        taken.add(names[roi.structure].casefold() if rules.ignore_case else names[roi.structure])
    return names


def roi_name(wanted: str, taken: Collection[str], rules: NameRules = NameRules()) -> str:
    """At most 16 characters, no space at the ends, different from all in ``taken`` (casefolded if need be).

    What is too long loses the end of its stem and never its side: ``gluteus_maximus_left`` becomes
    ``gluteus_maximu_L``.
    """
    text = " ".join(wanted.replace("\\", " ").split()) or "ROI"
    stem, side = _stem_and_side(text)
    name = text if len(text) <= rules.characters else _joined(stem, side, rules.characters)
    number, sign = 2, "_" if rules.alphabet == "identifier" else "~"
    while (name.casefold() if rules.ignore_case else name) in taken:
        name = _joined(stem, f"{sign}{number}{side}", rules.characters)
        number += 1
    return name


def _joined(stem: str, end: str, characters: int) -> str:
    return stem[: characters - len(end)].rstrip(" _") + end


def _stem_and_side(name: str) -> tuple[str, str]:
    for ending, side in (("_left", "_L"), ("_right", "_R"), ("_L", "_L"), ("_R", "_R")):
        if name.endswith(ending):
            return name.removesuffix(ending), side
    return name, ""


def color_of_text(text: str) -> Color:
    """The colour that ``#rrggbb`` says."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
