"""Where TotalSegmentator keeps its tasks, and what its structures are called here."""

import pytest
import yaml

from models.adding.inspection import place_of
from models.adding.labels import read_labels
from models.adding.totalsegmentator import TABLE
from models.cards.card import BundleError

pytestmark = pytest.mark.runtimes

ORGANS = "Dataset291_TotalSegmentator_part1_organs_1559subj"
RIBS = "Dataset295_TotalSegmentator_part5_ribs_1559subj"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of TotalSegmentator with two tasks and a folder that is none."""
    monkeypatch.delenv("TOTALSEG_WEIGHTS_PATH", raising=False)
    monkeypatch.setenv("TOTALSEG_HOME_DIR", str(tmp_path))
    results = tmp_path / "nnunet" / "results"
    for task in (ORGANS, RIBS):
        model = results / task / "nnUNetTrainerNoMirroring__nnUNetPlans__3d_fullres"
        model.mkdir(parents=True)
        for name in ("plans.json", "dataset.json"):
            (model / name).write_text("{}")
    (results / "Dataset300_interrupted").mkdir()
    return results


@pytest.mark.parametrize("task", [ORGANS, "291", "TotalSegmentator_part1_organs_1559subj"])
def test_a_task_is_found_by_its_folder_its_number_and_its_name(home, task):
    assert place_of(f"totalsegmentator:{task}") == home / ORGANS


def test_the_folder_of_weights_goes_before_the_home(home, tmp_path, monkeypatch):
    monkeypatch.setenv("TOTALSEG_HOME_DIR", str(tmp_path / "absent"))
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(home))
    assert place_of("totalsegmentator:295") == home / RIBS


@pytest.mark.parametrize("task", ["", "300", "organs"])
def test_without_such_a_task_those_that_are_there_are_listed(home, task):
    with pytest.raises(BundleError, match=f"{ORGANS}, {RIBS}") as refusal:
        place_of(f"totalsegmentator:{task}")
    assert refusal.value.code == "add.task-unknown"


def test_without_totalsegmentator_it_says_how_weights_are_fetched(tmp_path, monkeypatch):
    monkeypatch.delenv("TOTALSEG_WEIGHTS_PATH", raising=False)
    monkeypatch.setenv("TOTALSEG_HOME_DIR", str(tmp_path / "absent"))
    with pytest.raises(BundleError, match="totalseg_download_weights"):
        place_of("totalsegmentator:291")


def test_every_structure_of_its_task_total_has_a_name_of_its_own():
    """read_labels refuses names that are too long or there twice."""
    labels = list(yaml.safe_load(TABLE.read_text()))
    mapped = read_labels(None, labels, TABLE)
    assert len(mapped) == 117
    assert mapped["lung_middle_lobe_right"].name == "Lung_RML"
    assert (mapped["vertebrae_L5"].name, mapped["vertebrae_T9"].name) == ("VB_L5", "VB_T09")
    assert "arch" in mapped["vertebrae_L5"].extent
    sides = {"left": "_L", "right": "_R"}
    for label, one in mapped.items():
        side = next((side for side in sides if f"_{side}" in label and not label.startswith("lung_")), None)
        assert side is None or one.name.endswith(sides[side])


def test_a_persons_file_goes_before_the_table_and_may_leave_a_structure_out(tmp_path):
    (tmp_path / "labels.yaml").write_text("femur_left: Femur_Head_L\nspleen: null\n")
    mapped = read_labels(tmp_path / "labels.yaml", ["spleen", "femur_left", "liver"], TABLE)
    assert {label: one.name for label, one in mapped.items()} == {
        "femur_left": "Femur_Head_L",
        "liver": "Liver",
    }
    with pytest.raises(BundleError, match="tumour"):
        read_labels(None, ["liver", "tumour"], TABLE)
