"""Which structure set was drawn on which CT: by its references, or on none."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.training_data.export_files import CtFiles, Export, StructureSetFile, WhoseItIs
from service.training_data.remarks import Weight
from service.training_data.set_pairing import pair

ANN, BETH = WhoseItIs("A1", "", "Ann", "19500101"), WhoseItIs("B2", "", "Beth", "19600202")
ROOT = Path("/export")


def ct(uid, *images, whose=ANN, folder="P1"):
    files = {f"{uid}.{image}": [ROOT / folder / f"{uid}-{image}"] for image in images or (1, 2, 3)}
    return CtFiles(uid, whose, files)


def structure_set(series=("1",), images=("1.1", "1.2"), *, whose=ANN, folder="P1", name="RS", made_at=""):
    return StructureSetFile(
        ROOT / folder / name,
        f"9.{name}",
        whose,
        name,
        made_at,
        False,
        frozenset(series),
        frozenset(images),
        ("A",),
    )


def paired(series, sets):
    """Labels of the sets by series; code and folder of each remark."""
    pairs, remarks = pair(Export(ROOT, {one.series_instance_uid: one for one in series}, list(sets)))
    assert all(one.weight in (Weight.LEFT_OUT, Weight.WARNING) for one in remarks)
    return (
        {one.ct.series_instance_uid: [each.label for each in one.sets] for one in pairs},
        sorted((one.code, one.folder) for one in remarks),
    )


def test_a_set_goes_to_the_series_that_it_names():
    found = paired([ct("1"), ct("2")], [structure_set(), structure_set(("2",), ("2.3",), name="RS2")])
    assert found == ({"1": ["RS"], "2": ["RS2"]}, [])


def test_several_sets_of_a_ct_come_oldest_first():
    sets = [
        structure_set(name=name, made_at=at) for name, at in (("b", "20250102"), ("a", "20250103"), ("c", ""))
    ]
    assert paired([ct("1")], sets) == ({"1": ["c", "b", "a"]}, [])


def test_a_set_that_names_no_series_goes_to_the_ct_of_its_images():
    assert paired([ct("1"), ct("2")], [structure_set((), ("2.1",))])[0] == {"2": ["RS"]}


def test_a_set_that_names_several_series_goes_to_the_one_it_was_drawn_on():
    """CT and MR, or two CTs of which one was only looked at."""
    assert paired([ct("1")], [structure_set(("1", "8.8"))])[0] == {"1": ["RS"]}
    assert paired([ct("1"), ct("2")], [structure_set(("1", "2"), ("2.1",))])[0] == {"2": ["RS"]}


@pytest.mark.parametrize(
    ("one", "code"),
    [
        (structure_set(("7",), ("7.1",), folder="P9"), "structure-set.other-ct"),
        (structure_set(("7",), (), folder="P9"), "structure-set.other-ct"),
        (structure_set((), ("7.1",), folder="P9"), "structure-set.other-ct"),
        (structure_set((), (), folder="P9"), "structure-set.no-reference"),
        (structure_set(("1",), ("2.1",), folder="P9"), "structure-set.other-images"),
        (structure_set(("1", "2"), ("1.1", "2.1"), folder="P9"), "structure-set.several-ct"),
        (structure_set(("1", "2"), (), folder="P9"), "structure-set.several-ct"),
        (structure_set(whose=BETH, folder="P9"), "structure-set.other-patient"),
    ],
)
def test_a_set_without_a_ct_of_its_own_is_told_with_its_folder(one, code):
    pairs, remarks = paired([ct("1"), ct("2", folder="P2")], [one])
    assert pairs == {}
    assert remarks == sorted([(code, "P9"), ("ct.not-drawn", "P1"), ("ct.not-drawn", "P2")])


@pytest.mark.parametrize(
    ("whose", "same"),
    [
        (
            WhoseItIs("A1", "Hospital", "ANN^X", ""),
            True,
        ),  # systems rewrite names and drop what they do not keep
        (WhoseItIs("A1", "", "Ann", "19500102"), False),
        (WhoseItIs("a1", "", "Ann", "19500101"), False),
        (WhoseItIs("", "", "Ann", "19500101"), False),
    ],
)
def test_patients_are_the_same_by_id_and_birth_date(whose, same):
    assert (paired([ct("1")], [structure_set(whose=whose)])[0] == {"1": ["RS"]}) is same


def test_issuers_that_both_say_something_must_agree():
    here, there = (WhoseItIs("A1", issuer, "Ann", "") for issuer in ("Here", "There"))
    assert paired([ct("1", whose=here)], [structure_set(whose=there)])[0] == {}


def test_images_that_are_not_here_are_counted():
    assert paired([ct("1")], [structure_set(images=("1.1", "1.2", "1.8", "1.9"))]) == (
        {"1": ["RS"]}, [("structure-set.images-missing", "P1")],
    )  # fmt: skip
