"""What is read of an instance and why one is refused."""

from __future__ import annotations

import re
import struct

import pytest

from service.arrival.instance import Claim, StoreStatus, check_header, is_valid_uid
from service.errors import InstanceRefused

CT = "1.2.840.10008.5.1.4.1.1.2"
RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"


def claim_of(ds, syntax=EXPLICIT):
    return Claim(ds.SOPClassUID, ds.SOPInstanceUID, syntax)


def refusal_of(encode, ds, claim=None) -> InstanceRefused:
    with pytest.raises(InstanceRefused) as caught:
        check_header([encode(ds)], claim or claim_of(ds))
    assert re.fullmatch(r"[A-Z].*\.", caught.value.sentence), "a sentence for people"
    assert "Canary" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_a_slice_says_what_it_is_and_where_it_lies(make_ct, encode, syntax):
    ds = make_ct(7, ImagesInAcquisition=98)
    header = check_header([encode(ds, syntax)], claim_of(ds, syntax))
    assert (header.study_instance_uid, header.series_instance_uid) == ("2.25.10", "2.25.20")
    assert header.position_lps_mm == (-250.0, -250.0, 21.0)
    assert header.orientation == (1, 0, 0, 0, 1, 0)
    assert header.images_in_acquisition == 98
    assert not header.is_localizer


def test_the_header_is_found_however_the_sender_cut_the_data(make_ct, encode):
    ds = make_ct()
    data = memoryview(encode(ds))
    pieces = [data[k : k + 100] for k in range(0, len(data), 100)]
    assert check_header(pieces, claim_of(ds)) == check_header([data], claim_of(ds))


def test_the_header_is_found_behind_large_private_elements(make_ct, encode):
    ds = make_ct()
    ds.add_new(0x00090010, "LO", "TEST")
    ds.add_new(0x00091001, "OB", bytes(200_000))
    data = memoryview(encode(ds))
    pieces = [data[k : k + 16_000] for k in range(0, len(data), 16_000)]
    assert check_header(pieces, claim_of(ds)).position_lps_mm is not None


def test_a_localizer_is_known_by_any_value_of_its_image_type_and_may_lie_nowhere(make_ct, encode):
    ds = make_ct(ImageType=["ORIGINAL", "PRIMARY", "AXIAL", "LOCALIZER "], ImagePositionPatient=None)
    assert check_header([encode(ds)], claim_of(ds)).is_localizer


@pytest.mark.parametrize(
    "keyword",
    ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality"],
)
@pytest.mark.parametrize("value", ["", None], ids=["empty", "absent"])
def test_an_instance_without_identity_is_refused(make_ct, encode, keyword, value):
    refusal = refusal_of(encode, make_ct(**{keyword: value}), Claim(CT, "2.25.20.1", EXPLICIT))
    assert (refusal.code, refusal.status) == ("instance.identity-missing", 0xA900)


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient"])
@pytest.mark.parametrize("value", ["", None, [1.0, 2.0]], ids=["empty", "absent", "too few values"])
def test_a_slice_that_lies_nowhere_is_refused(make_ct, encode, keyword, value):
    refusal = refusal_of(encode, make_ct(**{keyword: value}))
    assert (refusal.code, refusal.status) == ("instance.position-missing", 0xA900)


@pytest.mark.parametrize("number", [b"nan", b"inf", b"abc", b""])
def test_a_position_that_is_no_number_is_refused(make_ct, encode, number):
    ds = make_ct()
    data = encode(ds).replace(b"-250.0\\-250.0\\3.0", (number.ljust(6) + b"\\-250.0\\3.0"))
    with pytest.raises(InstanceRefused, match="ImagePositionPatient"):
        check_header([data], claim_of(ds))


@pytest.mark.parametrize(
    "uid",
    ["../../etc/passwd", "1.02.3", "1..2", ".1.2", "1.2.", "12", "1." + "2" * 63, "1.2.a", "1.2 .3"],
)
def test_a_uid_that_breaks_the_rules_is_refused_before_anything_is_made_of_it(make_ct, encode, uid):
    assert not is_valid_uid(uid)
    data = encode(make_ct(SeriesInstanceUID="1.2.3"))
    value = uid.encode() + b"\0" * (len(uid) % 2)
    data = data.replace(b"UI\x06\x001.2.3\0", b"UI" + len(value).to_bytes(2, "little") + value)
    with pytest.raises(InstanceRefused) as caught:
        check_header([data], Claim(CT, "2.25.20.1", EXPLICIT))
    assert (caught.value.code, caught.value.status) == ("instance.uid-invalid", 0xA900)
    assert uid not in caught.value.sentence


def test_what_was_announced_as_another_instance_or_class_is_refused(make_ct, encode):
    ds = make_ct()
    for claim in (Claim(CT, "2.25.20.2", EXPLICIT), Claim(RT_STRUCTURE_SET, ds.SOPInstanceUID, EXPLICIT)):
        refusal = refusal_of(encode, ds, claim)
        assert (refusal.code, refusal.status) == ("instance.not-what-was-announced", 0xA900)


@pytest.mark.parametrize("modality", ["MR", "RTSTRUCT", "CT1"])
def test_a_modality_that_is_not_the_class_s_own_is_refused(make_ct, encode, modality):
    refusal = refusal_of(encode, make_ct(Modality=modality))
    assert (refusal.code, refusal.status) == ("instance.modality-differs", 0xA900)


def test_what_cannot_be_read_in_its_syntax_is_not_understood(make_ct, encode):
    ds = make_ct()
    with pytest.raises(InstanceRefused) as caught:
        check_header([encode(ds, IMPLICIT)], claim_of(ds, EXPLICIT))
    assert caught.value.status == StoreStatus.CANNOT_UNDERSTAND


def test_an_identifier_in_another_script_is_refused_by_code(make_ct, encode):
    ds = make_ct()
    data = encode(ds).replace(b"CS\x02\x00CT", b"CS\x02\x00\xe9\xe9")
    with pytest.raises(InstanceRefused) as caught:
        check_header([data], claim_of(ds))
    assert (caught.value.code, caught.value.status) == ("instance.identity-unreadable", 0xA900)


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"], ids=["deflated", "big endian"]
)
def test_a_data_set_that_brings_a_file_header_of_its_own_is_refused(make_ct, encode, syntax):
    """A library would read what follows in that transfer syntax, or inflate it to any size."""
    ds = make_ct()
    value = syntax.encode().ljust(22, b"\0")
    front = struct.pack("<HH2sH", 0x0002, 0x0010, b"UI", len(value)) + value
    with pytest.raises(InstanceRefused) as caught:
        check_header([front[:5], front[5:], encode(ds)], claim_of(ds))
    assert (caught.value.code, caught.value.status) == ("instance.file-header", 0xC000)


def test_an_absurd_element_before_the_first_is_refused(make_ct, encode):
    with pytest.raises(InstanceRefused):
        check_header([b"\0\0\0\0UL\4\0\0\0\0\0" + encode(make_ct())], claim_of(make_ct()))
