"""From where to where each structure of phantoms and tissue maps reaches: names alone mean many things."""

from __future__ import annotations

from typing import Final

_ILIAC = "common, internal and external, from where the great vessels part to the top of the femoral heads"

EXTENTS: Final[dict[str, str]] = {
    "Bladder": "with its wall",
    "Rectum": "with wall and content, from the anorectal junction to the third sacral vertebra",
    "Bowel_Small": "loops with wall and content, duodenum included",
    "Colon": "with wall and content, sigmoid included, ends where the rectum begins",
    "Femur_Head_L": "head, neck and trochanters, to 80 mm below the top of the head",
    "Femur_Head_R": "head, neck and trochanters, to 80 mm below the top of the head",
    "Bone_Pelvic_L": "innominate bone only",
    "Bone_Pelvic_R": "innominate bone only",
    "Sacrum": "with the coccyx, without its canal and openings",
    "Spine": "vertebrae without discs and canal, sacrum left out",
    "SpinalCanal": "all that lies within the vertebral arches",
    "Vessels_Iliac": "aorta, vena cava, iliac and femoral vessels as far as they are shown",
    "Uterus": "with cervix; in phantoms with vagina and ovaries",
    "Prostate": "with the seminal vesicles in phantoms",
    "BoneMarrow": "hip bones and sacrum, whole bones",
    "Bag_Bowel": "bowel and what lies within 9 mm of it, without muscle, bone and other organs",
    "SpinalCord": "thecal sac, as far as it is shown",
    "A_Iliac_L": _ILIAC,
    "A_Iliac_R": _ILIAC,
    "V_Iliac_L": _ILIAC,
    "V_Iliac_R": _ILIAC,
    "CTV": "CTVp and CTVn together",
    "CTVp": "uterus, cervix, parametria to the wall of the pelvis, upper 20 mm of the vagina",
    "CTVn": "both sides: common, external and internal iliac vessels with 7 mm around them from L4/L5 to the "
    "top of the femoral heads, obturator strip, presacral space to S3; no bone, muscle, bowel or bladder",
}
"""By TG-263 name; `Spine` and `Vessels_Iliac` are local names."""
