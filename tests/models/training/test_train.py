import numpy as np
import pytest
import torch

from models.catalog import content_sha256
from models.training.bundle_writer import network_of, write_bundle
from models.training.evaluate import mean_dsc, phantom_cases
from models.training.synthetic_ct import Sample
from models.training.train import TrainingRun, train
from models.training.trainer import Plan


class Oracle(torch.nn.Module):
    """Says class 1 where the first channel is positive, else background."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inside = x[:, :1]
        rest = torch.full_like(inside, -9).expand(-1, 13, -1, -1, -1)
        return torch.cat([-inside, inside, rest], dim=1)


def case(labels: torch.Tensor, said: torch.Tensor) -> Sample:
    return Sample(torch.where(said, 100.0, -100.0), labels)


def test_dsc_by_hand(small_bundle):
    labels = torch.zeros((4, 4, 4), dtype=torch.uint8)
    labels[0] = 1  # 16 voxels
    said = torch.zeros_like(labels, dtype=torch.bool)
    said[0, :2] = True  # 8 of them
    said[1, 0] = True  # and 4 beside: 2 * 8 / (16 + 12)
    perfect = case(labels, labels == 1)
    found = mean_dsc(Oracle(), small_bundle.input.channels, [case(labels, said), perfect])
    assert found == {"Bladder": pytest.approx((16 / 28 + 1) / 2)}


def test_a_structure_that_no_case_shows_is_left_out(small_bundle):
    labels = torch.zeros((4, 4, 4), dtype=torch.uint8)
    labels[0, 0, :3] = 9  # three voxels of sacrum are too few to count
    assert mean_dsc(Oracle(), small_bundle.input.channels, [case(labels, labels == 1)]) == {}


def test_phantom_cases_are_the_same_every_time_and_show_the_pelvis():
    first, again = (next(phantom_cases((10, 10, 18), 28.0, 1)) for _ in range(2))
    assert torch.equal(first.hu, again.hu)
    assert {1, 7, 8} <= set(first.labels.unique().tolist())


def test_a_bundle_is_written_with_its_hash_and_read_back(small_bundle, tmp_path):
    network = network_of(small_bundle, with_weights=False)
    source = {"name": "A source", "licence": "MIT", "what": "shapes"}
    card = write_bundle(
        tmp_path / "new",
        small_bundle,
        network.state_dict(),
        {"stage": "test"},
        version="9.9",
        training=[source],
    )
    assert card.reference == "pelvis-ct@9.9"
    assert card.weights is not None
    assert content_sha256(card) == card.weights.sha256
    assert card.figures == {"stage": "test"}
    assert card.training[-1].name == "A source"
    assert card.structures == small_bundle.structures
    for name, tensor in network_of(card).state_dict().items():
        assert np.allclose(tensor, network.state_dict()[name], atol=1e-3), name


def test_a_whole_run_ends_in_a_bundle_with_figures_and_can_go_on(small_bundle, tmp_path):
    def run(steps: int) -> TrainingRun:
        return TrainingRun(
            start_from=small_bundle,
            out=tmp_path / "run",
            plan=Plan(steps=steps, warmup_steps=1, sees=4),
            version="1.1",
            phantom_seeds=(20, 30),
            producers=0,
            cases=1,
        )

    steps = []
    card = train(run(2), resume=False, report=lambda step, loss: steps.append(step))
    assert steps == [1, 2]
    assert set(card.figures) == {"stage", "metric", "phantoms_never_trained_on"}
    assert "2 steps of 2 samples" in card.figures["stage"]
    assert card.training[-1].name == "Procedural phantoms"
    with pytest.raises(FileExistsError, match="resume"):
        train(run(3), resume=False)
    train(run(3), resume=True, report=lambda step, loss: steps.append(step))
    assert steps == [1, 2, 3]
