import hashlib
import shutil
import sys

import pytest

from models.cards.card import BundleError, PostprocessCard
from models.cards.catalog import SHIPPED, bundle_folders, content_sha256, find_bundle, verified_bytes


def test_both_shipped_bundles_are_found_and_intact():
    external, pelvis = find_bundle("external@1.0"), find_bundle("pelvis-ct@2.0")
    assert list(external.structures) == ["External"]
    assert content_sha256(pelvis) == pelvis.weights.sha256
    assert len(content_sha256(external)) == 64


def test_the_pelvis_offers_what_the_design_lists():
    card = find_bundle("pelvis-ct@2.0")
    assert set(card.structures) == {
        "Bladder", "Rectum", "Bowel_Small", "Colon", "Femur_Head_L", "Femur_Head_R",
        "Bone_Pelvic_L", "Bone_Pelvic_R", "Sacrum", "Spine", "SpinalCanal",
    }  # fmt: skip
    assert not card.validated
    assert "synthetic" in card.validation
    assert card.structures["Spine"].local_name
    assert "duodenum included" in card.structures["Bowel_Small"].extent
    assert "sigmoid included" in card.structures["Colon"].extent
    assert "innominate bone only" in card.structures["Bone_Pelvic_L"].extent
    assert {one.name for one in card.training} >= {"WORD", "ICRP 110 adult reference phantoms"}


def test_bowel_is_never_reduced_to_its_largest_part():
    card = find_bundle("pelvis-ct@2.0")
    for name in ("Bowel_Small", "Colon"):
        assert card.structures[name].postprocess == PostprocessCard(minimum_cm3=1.0)


def test_a_folder_of_bundles_and_a_bundle_itself_may_be_named(network_bundle):
    card = network_bundle()
    for folder in (card.folder, card.folder.parent):
        assert find_bundle("tiny@1.0", [folder]).folder == card.folder
        assert card.folder in bundle_folders([folder])


def test_an_unknown_model_lists_those_that_there_are():
    with pytest.raises(BundleError, match=r"external@1\.0, pelvis-ct@2\.0") as refusal:
        find_bundle("pelvis-ct@9.9")
    assert refusal.value.code == "model.unknown"


def test_two_different_bundles_of_one_name_are_refused_and_two_copies_are_not(network_bundle, tmp_path):
    card = network_bundle()
    copy = tmp_path / "copies" / "again"
    shutil.copytree(card.folder, copy)
    assert find_bundle("tiny@1.0", [card.folder, copy]).reference == "tiny@1.0"
    (copy / "card.yaml").write_text((copy / "card.yaml").read_text().replace("by chance", "otherwise"))
    with pytest.raises(BundleError) as refusal:
        find_bundle("tiny@1.0", [card.folder, copy])
    assert refusal.value.code == "model.ambiguous"


def test_a_broken_card_elsewhere_does_not_hide_a_good_one(network_bundle, tmp_path):
    card = network_bundle()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "card.yaml").write_text("nonsense: true")
    assert find_bundle("tiny@1.0", [tmp_path]).folder == card.folder
    with pytest.raises(BundleError, match="nonsense"):
        find_bundle("broken@1.0", [tmp_path])


def test_bytes_that_are_not_the_named_ones_are_refused(tmp_path):
    file = tmp_path / "w"
    file.write_bytes(b"abc")
    assert verified_bytes(file, hashlib.sha256(b"abc").hexdigest(), "x@1") == b"abc"
    with pytest.raises(BundleError) as refusal:
        verified_bytes(file, hashlib.sha256(b"abd").hexdigest(), "x@1")
    assert refusal.value.code == "model.hash-mismatch"
    with pytest.raises(BundleError) as refusal:
        verified_bytes(tmp_path / "absent", "00", "x@1")
    assert refusal.value.code == "model.file-missing"
    assert str(tmp_path) not in str(refusal.value)


def test_the_catalog_does_not_import_torch(repository):
    import subprocess

    code = "import sys, models.cards.catalog as c; c.find_bundle('pelvis-ct@2.0'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=repository).returncode == 0


def test_shipped_bundles_lie_beside_the_code():
    assert SHIPPED.is_dir()
