"""SOP classes as people write them."""

from __future__ import annotations

import re

from pydicom._uid_dict import UID_dictionary


def sop_class_uid(value: str) -> str | None:
    """UID of a SOP class given by keyword, name or UID (PS3.6 Annex A), None if there is no such class."""
    for uid, (name, kind, _, _, keyword) in UID_dictionary.items():
        if kind == "SOP Class" and value and value in (uid, name, keyword):
            return uid
    # A vendor's private class is in no dictionary: a well-formed UID outside the Standard's root may be one.
    private = re.fullmatch(r"[0-2](\.(0|[1-9][0-9]*))+", value) and not value.startswith("1.2.840.10008.")
    return value if private and len(value) <= 64 else None
