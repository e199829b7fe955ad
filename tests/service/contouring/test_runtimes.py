"""A model from elsewhere: added by the command, run in the model process, named in the structure set."""

import hashlib
import io
import warnings
from dataclasses import asdict

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from models.cards.catalog import find_bundle
from models.cards.monai_card import MonaiCard, Orientation, ScaleRange, Spacing, Window
from models.cards.nnunet_card import NnunetArchitecture, NnunetCard, Resampling
from models.cards.weights import save_weights
from models.runtimes.nnunet_networks import PlannedUnet
from models.volume import Grid
from service.command_line.models import app
from service.config.reader import parse
from service.contouring.roi_items import roi_item
from service.contouring.segment import ModelClient
from service.errors import ModelRefused

pytestmark = pytest.mark.runtimes

SHAPE = (16, 24, 32)
CARD = {
    "outputs": ["background", "right_half"],
    "network": {"axes": "SPR"},
    "input": {
        "spacing_zyx_mm": [3.0, 2.0, 2.0],
        "patch_zyx": [16, 24, 32],
        "overlap": 0.5,
        "padding_hu": -1000,
        "channels": [{"clip_hu": [-1000, 1000], "subtract_hu": 0, "divide_hu": 1000}],
    },
}


class Ramp(torch.nn.Module):
    """Its second output grows along the last axis of what it is shown."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ramp = torch.linspace(-1.0, 1.0, x.shape[4]).expand_as(x)
        return torch.cat([torch.zeros_like(x), ramp], dim=1)


@pytest.fixture
def made(tmp_path):
    """A TorchScript file with what the command needs beside it."""
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(Ramp()), content)
    (tmp_path / "ramp.ts").write_bytes(content.getvalue())
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(CARD))
    (tmp_path / "labels.yaml").write_text("right_half: Lung_R\n")
    (tmp_path / "models").mkdir()
    return tmp_path


def add(folder, name="ramp.ts"):
    options = [
        "--to",
        folder / "models" / "ramp",
        "--labels",
        folder / "labels.yaml",
        "--card",
        folder / "small.yaml",
    ]
    return CliRunner().invoke(app, [str(each) for each in ("models", "add", folder / name, *options)])


def segmented(folder, reference):
    origins = np.zeros((SHAPE[0], 3))
    origins[:, 2] = np.arange(SHAPE[0]) * 3.0
    grid = Grid(origins, np.array([2.0, 0, 0]), np.array([0, 2.0, 0]), *SHAPE[1:])
    loaded = parse(f"node: {{device: cpu, bundles: ['{folder}']}}\n", folder / "config.yaml")
    with ModelClient(loaded) as client:
        return client.segment(
            lambda out: out.fill(7),
            grid,
            np.dtype(np.int16),
            find_bundle(reference, [folder]),
            None,
            deadline_seconds=120,
        )


@pytest.mark.slow
def test_an_added_model_runs_in_the_model_process_and_the_structure_set_names_its_runtime(made):
    done = add(made)
    assert done.exit_code == 0
    assert "ramp@1.0" in done.output
    found = segmented(made / "models", "ramp@1.0")
    mask = found.structures["Lung_R"].mask(SHAPE)
    assert mask[:, :, :16].all()
    assert not mask[:, :, 16:].any()
    item = roi_item(1, "Lung_R", "", found.provenance)
    algorithm = item.ROIDerivationAlgorithmIdentificationSequence[0]
    assert f"runtime=torchscript on torch {torch.__version__}" in algorithm.AlgorithmParameters
    assert f"sha256={found.provenance.sha256}" in algorithm.AlgorithmParameters


@pytest.mark.slow
def test_an_nnunet_plan_runs_in_the_model_process(tmp_path):
    """Weights of nought but a bias: every voxel is the second output."""
    plan = NnunetArchitecture("PlainConvUNet", (4, 6), ((3, 3, 3),) * 2, ((1, 1, 1), (2, 2, 2)), (1, 1), (1,))
    network = PlannedUnet(plan, 2)
    torch.nn.init.zeros_(network.decoder.seg_layers[-1].weight)
    network.decoder.seg_layers[-1].bias.data = torch.tensor([0.0, 3.0])
    folder = tmp_path / "planned"
    folder.mkdir()
    state = {f"0.{name}": tensor for name, tensor in network.state_dict().items()}
    once = Resampling(3), Resampling(1)
    card = NnunetCard(
        plan, 1, "SPL", (0, 1, 2), (2.5, 2.5, 2.5), (16, 16, 16), (-900.0, 900.0), 0.0, 300.0, *once, (0, 2)
    )
    content = {
        "name": "planned", "version": "1.0", "kind": "nnunet", "summary": "one bias", "intended_use": "tests",
        "licence": "Apache-2.0", "validated": False, "validation": "none", "outputs": ["background", "Lung_R"],
        "structures": {"Lung_R": {"extent": "everywhere", "volume_cm3": [1, 1e6]}},
        "nnunet": asdict(card), "weights": asdict(save_weights(state, folder / "w.safetensors", torch.float32)),
    }  # fmt: skip
    plain = yaml.safe_dump(_lists(content))
    (folder / "card.yaml").write_text(plain)
    found = segmented(tmp_path, "planned@1.0")
    assert found.structures["Lung_R"].mask(SHAPE).all()
    assert found.structures["Lung_R"].field.max() == pytest.approx(3.0, abs=0.02)  # sums are float16
    assert found.provenance.runtime.startswith("nnunet plan on torch ")


@pytest.mark.slow
def test_a_monai_bundle_runs_in_the_model_process(tmp_path):
    """The ramp grows along the last axis, to the head here: the upper half, on a grid of half the slices."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(Ramp()), content)
    (folder / "network.ts").write_bytes(content.getvalue())
    steps = (
        Orientation("orientation", "RAS"),
        Spacing("spacing", (2.0, 2.0, 6.0)),
        ScaleRange("scale-range", -1000, 1000),
    )
    sha256 = hashlib.sha256(content.getvalue()).hexdigest()
    card = {
        "name": "bundle", "version": "1.0", "kind": "monai", "summary": "a ramp", "intended_use": "tests",
        "licence": "Apache-2.0", "validated": False, "validation": "none", "outputs": ["background", "Lung_R"],
        "structures": {"Lung_R": {"extent": "everywhere", "volume_cm3": [1, 1e6]}},
        "monai": asdict(MonaiCard(Window((0, 0, 0)), steps)),
        "weights": {"file": "network.ts", "sha256": sha256, "dtype": "none", "parameters": 0},
    }  # fmt: skip
    (folder / "card.yaml").write_text(yaml.safe_dump(_lists(card)))
    found = segmented(tmp_path, "bundle@1.0")
    mask = found.structures["Lung_R"].mask(SHAPE)
    assert mask[8:].all()  # 8 slices of 6 mm: their middle is 21 mm above the first of 16 slices of 3 mm
    assert not mask[:7].any()
    assert found.provenance.runtime == f"torchscript of monai on torch {torch.__version__}"
    assert found.provenance.sha256 == sha256


def _lists(value):
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value


def test_a_refusal_is_the_commands_too(made):
    (made / "labels.yaml").write_text("{}\n")
    found = add(made)
    assert isinstance(found.exception, ModelRefused)
    assert found.exception.code == "add.labels-unmapped"
    for name in ("labels.yaml", "Dataset001_Absent"):
        assert add(made, name).exception.code == "add.unknown-kind"
