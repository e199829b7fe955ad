"""A data set of five small CT and a model whose every mistake is known, to be evaluated on paper.

The CT are 6 slices of 8 x 10 pixels, 3 x 2 x 1 mm. HU say what the model answers: 100 is Bladder, 200 is Rectum,
300 Sacrum. It refuses a CT that begins with -2000, and offers a structure that no data set has.

===========  =======================================================================================
``p0001-1``  Bladder: truth 4 columns, answer the same moved by 2, in slices 1 and 2. Rectum: as drawn.
``p0001-2``  Bladder: as drawn. Rectum: drawn, not found. Known to have no sacrum, and none is found.
``p0002-1``  Bladder: unknown. Rectum: known to be absent, and answered in one voxel.
``p0003-1``  refused
``p0004-1``  in the training part
===========  =======================================================================================
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import numpy as np
import yaml

from models.cards.card import Card, read_card
from models.data_sets.data_set import Case, DataSet, DataSetWriter
from models.evaluation.comparison.comparison import Entry
from models.evaluation.evaluation import evaluate, setting_of
from models.predictor import load
from models.volume import CtVolume, Grid

SHAPE = (6, 8, 10)
PROGRAM = """
import numpy as np
from models.volume import OutsideTrainedRegion

def segment(volume):
    if volume.hu[0, 0, 0] == -2000:
        raise OutsideTrainedRegion("model.outside-region", "No <pelvis> is seen.")
    hu = {"Bladder": 100, "Rectum": 200, "Sacrum": 300}
    return {name: (volume.hu == value).astype(np.float32) for name, value in hu.items()}
"""


def grid() -> Grid:
    origins = np.outer(np.arange(SHAPE[0]) * 3.0, [0.0, 0.0, 1.0])
    return Grid(origins, np.array([1.0, 0.0, 0.0]), np.array([0.0, 2.0, 0.0]), *SHAPE[1:])


def box(z, y, x) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[slice(*z), slice(*y), slice(*x)] = True
    return mask


NOTHING = np.zeros(SHAPE, bool)
RECTUM = box((0, 6), (5, 7), (4, 6))
BLADDER = box((1, 3), (1, 2), (0, 4))


def case(name: str, answers: dict[int, np.ndarray], masks: dict[str, np.ndarray], *, refused=False) -> Case:
    hu = np.zeros(SHAPE, np.int16)
    for value, mask in answers.items():
        hu[mask] = value
    if refused:
        hu[0, 0, 0] = -2000
    return Case(name, name.partition("-")[0], CtVolume(hu, grid()), masks)


def cases() -> list[tuple[Case, str]]:
    moved = box((1, 3), (1, 2), (2, 6))
    return [
        (case("p0001-1", {100: moved, 200: RECTUM}, {"Bladder": BLADDER, "Rectum": RECTUM}), "test"),
        (case("p0001-2", {100: BLADDER}, {"Bladder": BLADDER, "Rectum": RECTUM, "Sacrum": NOTHING}), "test"),
        (case("p0002-1", {200: box((3, 4), (0, 1), (0, 1))}, {"Rectum": NOTHING, "Spine": RECTUM}), "test"),
        (case("p0003-1", {100: BLADDER}, {"Bladder": BLADDER, "Rectum": RECTUM}, refused=True), "test"),
        (case("p0004-1", {100: BLADDER}, {"Bladder": BLADDER}), "train"),
    ]


def write_data(folder: Path) -> DataSet:
    writer = DataSetWriter(folder, ("Bladder", "Rectum", "Sacrum", "Spine"), "drawn <on> paper")
    for each, part in cases():
        writer.add(each, part)
    writer.close()
    return DataSet.open(folder)


def write_bundle(folder: Path, name: str = "known", code: str = PROGRAM, **changes: object) -> Card:
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(dedent(code))
    offered = ("Bladder", "Rectum", "Sacrum", "Uterus")
    card = {
        "name": name, "version": "1.0", "kind": "program", "summary": "told by HU", "intended_use": "tests",
        "licence": "Apache-2.0", "validated": False, "validation": "none",
        "program": {"file": "model.py", "sha256": hashlib.sha256((folder / "model.py").read_bytes()).hexdigest()},
        "structures": {each: {"extent": "a box", "volume_cm3": [0.001, 10]} for each in offered},
    }  # fmt: skip
    (folder / "card.yaml").write_text(yaml.safe_dump(card | changes))
    return read_card(folder / "card.yaml")


def measured_entry(folder: Path, name: str = "refinenet--xiao-2022", **changes: object) -> Entry:
    """The model on the cases, as a network of two dimensions of Xiao's paper."""
    data, card = write_data(folder / "data"), write_bundle(folder / "bundle")
    setting = setting_of(card, data, "test", 2.0, "cpu")
    found = evaluate(load(card, "cpu"), data, setting)
    entry = Entry(name, "xiao-2022", 2, "200 steps", found, {})
    return replace(entry, **changes)
