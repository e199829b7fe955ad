import torch

from models.synthetic_ct.samples import Sample
from models.training.learning.learner import Machine
from models.training.learning.processes import Processes
from models.training.recipes.recipe_book import overridden, recipe_content, recipe_of
from models.training.synthetic.lessons import Seen, SyntheticLessons
from models.training.synthetic.sample_stock import SampleStock


class NumberedStock(SampleStock):
    """Samples that take no time: the number as CT number, and as class of the first voxel."""

    def __init__(self):
        self.keep = 8

    def get(self, number: int) -> Sample:
        labels = torch.zeros((8, 8, 8), dtype=torch.uint8)
        labels[0, 0, 0] = 1 + number % 14
        return Sample(torch.full((8, 8, 8), float(number)), labels)


def lessons_of(*settings, rank=0, count=1):
    small = ("input.patch_zyx=[8, 8, 8]", "validation.cases=0", "batch=4", "structures=[Sacrum, Bladder]")
    recipe = recipe_of(overridden(recipe_content("unet-res-enc--delineate"), [*small, *settings]))
    return SyntheticLessons(NumberedStock(), Seen(1, 4, 2), recipe, Machine(processes=Processes(rank, count)))


def test_samples_are_new_as_often_as_told_and_then_seen_again():
    seen = Seen(seed=1, batch=2, sees=4)
    numbers = [seen.numbers(step, keep=10) for step in range(60)]
    assert all(len(n) == 2 for n in numbers)
    assert [seen.newest(step) for step in range(5)] == [0, 1, 1, 2, 2]
    for step, some in enumerate(numbers):
        end = seen.newest(step + 1)
        assert all(max(0, end - 10) <= n < end for n in some)
    assert numbers == [seen.numbers(step, keep=10) for step in range(60)]
    assert {n for some in numbers for n in some} == set(range(30))


def test_labels_become_masks_by_name_and_everything_is_known():
    batch = lessons_of().batch(3)
    numbers = Seen(1, 4, 2).numbers(3, 8)
    assert (batch.x[:, 0, 0, 0, 0] * 500).tolist() == numbers
    assert batch.target.masks.shape == (4, 2, 8, 8, 8)
    first = batch.target.masks[:, :, 0, 0, 0]
    assert first.tolist() == [
        [n % 14 == 8, n % 14 == 0] for n in numbers
    ]  # class 9 is the sacrum, 1 the bladder
    assert not batch.target.masks[:, :, 1:].any()
    assert batch.target.known.all()


def test_processes_share_a_batch():
    whole = lessons_of().batch(5).x
    halves = [lessons_of(rank=rank, count=2).batch(5).x for rank in (0, 1)]
    assert torch.equal(torch.stack(halves, dim=1).flatten(0, 1), whole)


def test_an_epoch_is_what_the_recipe_says():
    assert lessons_of().epoch_batches == 250
    assert lessons_of("sampling.epoch_batches=7").epoch_batches == 7


def test_without_validation_cases_there_is_nothing_to_see():
    assert lessons_of().look(torch.nn.Identity()).dsc == {}
