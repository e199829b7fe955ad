"""Which transfer syntaxes are taken and by which library they are decoded."""

from __future__ import annotations

import importlib.metadata
import importlib.util

import pytest
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from service.dicom.transfer_syntaxes import (
    TRANSFER_SYNTAXES,
    UNCOMPRESSED,
    accepted_contexts,
    decoding_plugin,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"
RT_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES.values(), ids=lambda s: s.name)
def test_every_compressed_syntax_has_its_decoder_installed(syntax):
    assert UID(syntax.uid).is_compressed == (syntax.decoding_plugin is not None)
    if syntax.decoding_plugin is not None:
        assert syntax.decoding_plugin in get_decoder(UID(syntax.uid)).available_plugins


def test_the_gpl_jpeg_decoder_is_neither_installed_nor_asked_for(repository):
    assert importlib.util.find_spec("libjpeg") is None
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution("pylibjpeg-libjpeg")
    for file in ("pyproject.toml", "constraints.txt"):
        assert "libjpeg-libjpeg" not in (repository / file).read_text(encoding="utf-8").casefold()


def test_jpeg_lossless_is_decoded_by_gdcm():
    assert {decoding_plugin(uid) for uid in ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")} == {"gdcm"}


def test_pixels_as_they_are_come_first_and_what_may_have_lost_something_last():
    lossy = [syntax.may_be_lossy for syntax in TRANSFER_SYNTAXES.values()]
    assert tuple(TRANSFER_SYNTAXES)[:2] == UNCOMPRESSED
    assert lossy == sorted(lossy)


def test_big_endian_deflated_and_jpeg_baseline_are_not_offered():
    refused = {f"1.2.840.10008.1.2.{end}" for end in ("2", "1.99", "4.50", "4.51")}
    contexts = accepted_contexts(enhanced_ct=True, discard=["RT Dose Storage"])
    assert not refused & {uid for syntaxes in contexts.values() for uid in syntaxes}


def test_enhanced_ct_is_negotiated_only_where_the_site_says_so():
    assert ENHANCED_CT not in accepted_contexts(enhanced_ct=False)
    assert ENHANCED_CT in accepted_contexts(enhanced_ct=True)


def test_without_further_wishes_ct_structure_sets_verification_and_commitment_are_negotiated():
    services = {"1.2.840.10008.1.1", "1.2.840.10008.1.20.1"}
    assert set(accepted_contexts(enhanced_ct=False)) == {CT, RT_STRUCTURE_SET, *services}


def test_classes_to_discard_may_be_named_in_three_ways():
    contexts = accepted_contexts(enhanced_ct=False, discard=["RT Plan Storage", "RTDoseStorage", "1.2.3.4"])
    assert {RT_PLAN, RT_DOSE, "1.2.3.4"} <= set(contexts)


def test_a_class_that_is_kept_cannot_be_discarded_by_naming_it():
    assert accepted_contexts(enhanced_ct=False, discard=[RT_STRUCTURE_SET])[RT_STRUCTURE_SET] == UNCOMPRESSED


@pytest.mark.parametrize("name", ["RT Pan Storage", "", "1", "Implicit VR Little Endian"])
def test_a_name_that_is_no_sop_class_is_refused_by_name(name):
    with pytest.raises(ValueError, match="no SOP class"):
        accepted_contexts(enhanced_ct=False, discard=[name])


def test_a_syntax_that_is_not_taken_has_no_decoder():
    with pytest.raises(KeyError):
        decoding_plugin("1.2.840.10008.1.2.4.50")
