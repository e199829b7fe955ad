"""What else would run the same network over the same CT: MONAI's sliding window, nnU-Net's predictor."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.cards.card import Card
from models.cards.weights import load_weights
from models.networks import network_of
from models.volume import CtVolume

Labels = NDArray[np.integer]


def network_as_loaded(card: Card, device: torch.device) -> nn.Module:
    """The bundle's network as PyTorch gives it, nothing done for speed."""
    assert card.network is not None
    assert card.input is not None
    network = network_of(card.network, in_channels=card.input.in_channels, outputs=len(card.outputs))
    load_weights(card, network)
    return network.eval().requires_grad_(requires_grad=False).to(device)


def monai_window(card: Card, device: torch.device, precision: torch.dtype) -> Callable[[CtVolume], Labels]:
    """CT to labels on its own grid: trilinear to the network's grid, sliding window, softmax, trilinear back.

    All of it on ``device``, so that what is compared is the window and not the bus.
    """
    from monai.inferers import SlidingWindowInferer

    shown = card.input
    assert shown is not None
    network = network_as_loaded(card, device)
    window = SlidingWindowInferer(
        shown.patch_zyx, sw_batch_size=4 if device.type == "cuda" else 1, overlap=shown.overlap,
        mode="gaussian", padding_mode="constant", progress=False,
    )  # fmt: skip

    @torch.inference_mode()
    def labels(volume: CtVolume) -> Labels:
        hu = torch.from_numpy(volume.hu).to(device).float()[None, None]
        size = [round(n * mm / 3.0) for n, mm in zip(volume.hu.shape, _spacing(volume), strict=True)]
        small = functional.interpolate(hu, size=size, mode="trilinear", antialias=False)
        one = shown.channels[0]
        small = (small.clamp(*one.clip_hu) - one.subtract_hu) / one.divide_hu
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            logits = window(small, network)
        return _native_labels(logits, volume.hu.shape)

    return labels


def _native_labels(logits: Tensor, shape: tuple[int, ...]) -> Labels:
    """Softmax, to the CT's grid, the winner; a class at a time, so that memory does not decide."""
    likely = logits.float().softmax(dim=1)
    best = torch.full(shape, -1.0, device=logits.device)
    winner = torch.zeros(shape, dtype=torch.uint8, device=logits.device)
    for k in range(likely.shape[1]):
        own = functional.interpolate(likely[:, k : k + 1], size=list(shape), mode="trilinear")[0, 0]
        better = own > best
        winner[better] = k
        best = torch.where(better, own, best)
    return winner.cpu().numpy()


def nnunet_predictor(card: Card, device: torch.device) -> Any:
    """nnU-Net v2's predictor with this network, its patch, half overlap, Gaussian weights and no mirroring."""
    _without_file_formats()
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    predictor = nnUNetPredictor(
        tile_step_size=1 - (card.input.overlap if card.input else 0.5), use_gaussian=True,
        use_mirroring=False, perform_everything_on_device=device.type == "cuda", device=device,
        verbose=False, allow_tqdm=False,
    )  # fmt: skip
    plans = PlansManager(_plans(card))
    network = network_as_loaded(card, device)
    labels = {"background": 0} | {name: k for k, name in enumerate(card.outputs) if k}
    dataset = {"channel_names": {"0": "CT"}, "labels": labels, "file_ending": ".nii.gz", "numTraining": 1}
    predictor.manual_initialization(
        network, plans, plans.get_configuration("3d_fullres"), [network.state_dict()], dataset,
        "nnUNetTrainer", None,
    )  # fmt: skip
    return predictor


def nnunet_whole(predictor: Any, volume: CtVolume) -> Labels:
    """CT to labels on its own grid, all of it as nnU-Net does it."""
    properties = {"spacing": list(_spacing(volume))}
    found: Labels = predictor.predict_single_npy_array(volume.hu[None].astype(np.float32), properties)
    return found


def nnunet_in_steps(predictor: Any, volume: CtVolume) -> Iterator[str]:
    """CT to labels on its own grid, all that ``predict_single_npy_array`` does; the name of each step once done."""
    from nnunetv2.inference.export_prediction import (
        convert_predicted_logits_to_segmentation_with_correct_shape as labels_of,
    )

    configuration = predictor.configuration_manager
    data, _, properties = configuration.preprocessor_class(verbose=False).run_case_npy(
        volume.hu[None].astype(np.float32), None, {"spacing": list(_spacing(volume))},
        predictor.plans_manager, configuration, predictor.dataset_json,
    )  # fmt: skip
    yield "to its grid"
    logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(np.asarray(data))).cpu()
    yield "network"
    labels_of(logits, predictor.plans_manager, configuration, predictor.label_manager, properties)
    yield "to the CT's grid"


def _spacing(volume: CtVolume) -> tuple[float, float, float]:
    grid = volume.grid
    return float(np.diff(grid.slice_offsets_mm).mean()), grid.row_spacing_mm, grid.column_spacing_mm


def _plans(card: Card) -> dict[str, Any]:
    """Plans that nnU-Net would write for a CT at 3 mm: its default normalisation and resampling."""
    assert card.input is not None
    channel = card.input.channels[0]
    low, high = channel.clip_hu
    resampling = "resample_data_or_seg_to_shape"
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres", "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2, "patch_size": list(card.input.patch_zyx), "spacing": [3.0, 3.0, 3.0],
        "median_image_size_in_voxels": list(card.input.patch_zyx),
        "normalization_schemes": ["CTNormalization"], "use_mask_for_norm": [False],
        "resampling_fn_data": resampling,
        "resampling_fn_seg": resampling,
        "resampling_fn_probabilities": resampling,
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
        "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
        "resampling_fn_probabilities_kwargs": {
            "is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None,
        },
        "architecture": {"network_class_name": "none", "arch_kwargs": {}, "_kw_requires_import": []},
        "batch_dice": True,
    }  # fmt: skip
    statistics = {
        "mean": channel.subtract_hu, "std": channel.divide_hu, "median": 0.0, "min": low, "max": high,
        "percentile_00_5": low, "percentile_99_5": high,
    }  # fmt: skip
    return {
        "dataset_name": "Dataset001_Painted", "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [3.0, 1.0, 1.0],
        "original_median_shape_after_transp": [200, 512, 512], "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "ExperimentPlanner", "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": statistics},
        "configurations": {"3d_fullres": configuration},
    }  # fmt: skip


def _without_file_formats() -> None:
    """nnU-Net imports readers of files at once; where they are not installed it does without: none is read."""
    for name in ("SimpleITK", "graphviz", "imagecodecs", "yacs"):
        if name not in sys.modules and find_spec(name) is None:
            sys.modules[name] = _Absent(name)


class _Absent(types.ModuleType):
    """A module whose names can be mentioned and not used."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return object
