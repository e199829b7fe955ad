from dataclasses import replace

import numpy as np
import pytest
import torch

from models.synthetic_ct.tissues.tissue_maps import Tissue, TissueMap, write_tissue_maps
from models.training.learning.learner import Machine
from models.training.learning.processes import Processes
from models.training.recipes.recipe_book import overridden, recipe_content, recipe_of
from models.training.synthetic.device_stock import DeviceStock
from models.training.synthetic.run import Synthetic
from models.training.synthetic.sample_stock import SampleRecipe, SampleStock

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
DEVICES = ("cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU]))


@pytest.fixture
def recipe(tmp_path):
    codes = np.zeros((220, 165, 230), np.uint8)
    codes[:, 30:140, 30:200] = Tissue.FAT
    codes[60:90, 70:100, 90:130] = Tissue.BLADDER
    write_tissue_maps(tmp_path / "maps.npz", [TissueMap("one__of_all", codes)])
    return SampleRecipe(
        seed=4,
        patch_zyx=(8, 8, 12),
        spacing_mm=30.0,
        tissue_maps=tmp_path / "maps.npz",
        phantom_seeds=(10, 30),
        phantom_share=0.5,
    )


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_samples_are_those_of_files_and_phantoms_come_from_processes(recipe, tmp_path, device):
    files = SampleStock(recipe, tmp_path / "files")
    expected = [files.get(number) for number in range(12)]
    maker = recipe.maker()
    phantoms = [maker.shows_phantom(number) for number in range(12)]
    assert True in phantoms
    assert False in phantoms
    stock = DeviceStock(replace(recipe, device=device), tmp_path / "phantoms")
    with stock.produced_ahead(2, first=0):
        made = [stock.get(number) for number in range(12)]
    for one, other, is_phantom in zip(made, expected, phantoms, strict=True):
        assert one.hu.device.type == device
        if device == "cpu" or is_phantom:  # a GPU draws other noise
            assert torch.equal(one.hu.cpu(), other.hu)
            assert torch.equal(one.labels.cpu(), other.labels)
        assert one.hu.min() >= -1024
        assert one.hu.shape == other.hu.shape


def test_samples_are_held_as_long_as_told_and_made_again_the_same(recipe, tmp_path):
    stock = DeviceStock(replace(recipe, phantom_seeds=(0, 0)), tmp_path, keep=2)
    first = stock.get(0)
    assert torch.equal(stock.get(0).hu, first.hu)
    for number in range(1, 5):
        stock.get(number)
    assert sorted(stock._held) == [2, 3, 4]
    assert torch.equal(stock.get(0).hu, first.hu)


def test_what_goes_wrong_in_the_thread_is_told_to_whoever_waits(recipe, tmp_path):
    missing = replace(recipe, tissue_maps=tmp_path / "none.npz", phantom_seeds=(0, 0))
    stock = DeviceStock(missing, tmp_path)
    with stock.produced_ahead(0, first=0), pytest.raises(ValueError, match="tissue maps"):
        stock.get(0)


def test_processes_that_train_together_do_not_throw_one_anothers_phantoms_away(tmp_path):
    small = recipe_of(overridden(recipe_content("unet-res-enc--delineate"), ["validation.cases=0"]))
    folders = set()
    for rank in (0, 1):
        machine = Machine(torch.device("cuda", rank), processes=Processes(rank, 2))
        stock = Synthetic().lessons(small, tmp_path, 1, machine)._stock
        assert isinstance(stock, DeviceStock)
        folders.add(stock._phantoms.folder)
    assert len(folders) == 2
