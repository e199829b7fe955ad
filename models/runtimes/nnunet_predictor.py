"""A plan that our engine does not know, run by nnU-Net's own predictor: 2D, regions, other networks.

Only where the extra ``delineate[nnunet]`` is installed. A plan names classes; of these only nnU-Net's
architectures and layers of torch are looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from copy import deepcopy
from importlib.metadata import version
from io import StringIO
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from torch import Tensor, nn

from models.cards.card import BundleError, Card
from models.cards.catalog import verified_bytes
from models.cards.nnunet_card import NnunetPredictorCard, label_values
from models.network_run import Attempt, stepping_down
from models.runtimes.field_answer import FieldAnswer
from models.runtimes.installed_extras import imported
from models.runtimes.model_axes import ModelAxes
from models.stages import Stages
from models.volume import CtVolume, OutsideTrainedRegion, StructureField

_ARCHITECTURES: Final = "dynamic_network_architectures.architectures."
_LAYERS: Final = "torch.nn."


class NnunetPredictorRun:
    """nnU-Net's predictor with the weights of all folds.

    Args:
        card: of kind ``nnunet-predictor``.
        device: where it runs while memory lasts.
        precision: not to be chosen: the predictor's own.
    """

    def __init__(self, card: Card, device: torch.device, precision: torch.dtype | None = None) -> None:
        if card.nnunet_predictor is None or card.weights is None:
            raise BundleError("model.card-invalid", f"{card.reference} is no plan for nnU-Net's predictor.")
        if precision not in (None, torch.float32):
            sentence = "nnU-Net's predictor chooses its precision itself."
            raise BundleError("model.card-invalid", sentence)
        self.device = device
        self.sha256 = card.weights.sha256.lower()
        self._card = card
        self._said: NnunetPredictorCard = card.nnunet_predictor
        self._parts = parts_of_predictor(card, self._said)
        self.runtime = f"nnunetv2 {version('nnunetv2')} on torch {torch.__version__}"
        whole = Attempt(device, 1, torch.float32 if device.type == "cpu" else torch.float16)
        self._ways = (whole, Attempt(torch.device("cpu"), 1, torch.float32, "cpu"))[
            : 1 + (device.type != "cpu")
        ]

    @torch.inference_mode()
    def run(
        self, volume: CtVolume, wanted: Sequence[str], progress: Callable[[float], None], stages: Stages
    ) -> FieldAnswer:
        """The answer for the outputs ``wanted``; ``progress`` hears when it is done.

        Raises:
            OutsideTrainedRegion: ``model.oblique``, ``model.uneven-slices`` or ``region.only-air``.
        """
        axes = ModelAxes.of(volume.grid, self._said.axes)
        if not volume.hu.any():
            sentence = "This CT is 0 HU throughout; there is nothing to contour."
            raise OutsideTrainedRegion("region.only-air", sentence)
        image = axes.to_model(torch.from_numpy(np.ascontiguousarray(volume.hu))).float().numpy()[None]
        about = {"spacing": list(axes.spacing_mm(volume.grid))}
        with stages.stage("network"):
            (labels, finite), tried = stepping_down(self._ways, lambda way: self._labels(way, image, about))
        progress(1.0)
        with stages.stage("fields"):
            on_ct = axes.to_ct(labels)
            of_output = dict(zip(_offered(self._card), label_values(self._said.data_set), strict=True))
            masks = {name: np.isin(on_ct, of_output[name][1]) for name in wanted}
            fields = {name: StructureField.of_mask(mask) for name, mask in masks.items() if mask.any()}
        return FieldAnswer(
            fields,
            finite,
            tuple(way.step_down for way in tried if way.step_down),
            str(tried[-1].device),
            str(tried[-1].precision).removeprefix("torch."),
        )

    def _labels(
        self, way: Attempt, image: NDArray[np.float32], about: Mapping[str, Any]
    ) -> tuple[NDArray[np.generic], bool]:
        """Label numbers along the model's axes, and whether every logit was finite."""
        with redirect_stdout(StringIO()):  # it prints, and the log of this process is read by programs
            predictor = self._predictor(way.device)
            finite: list[bool] = []
            predicted: Callable[[Tensor], Tensor] = predictor.predict_logits_from_preprocessed_data

            def watched(data: Tensor) -> Tensor:
                logits = predicted(data)
                finite.append(bool(logits.isfinite().all()))
                return logits

            predictor.predict_logits_from_preprocessed_data = watched
            labels = predictor.predict_single_npy_array(image, about, None, None, False)
        return np.asarray(labels), all(finite)

    def _predictor(self, device: torch.device) -> Any:  # noqa: ANN401 - of an optional package
        module = imported("nnunetv2.inference.predict_from_raw_data")
        predictor = module.nnUNetPredictor(
            use_mirroring=bool(self._said.mirror_axes),
            perform_everything_on_device=device.type == "cuda",
            device=device,
            allow_tqdm=False,
        )
        torch.backends.cudnn.benchmark = False  # which it switches on: the same CT then has other bits
        plans, configuration, network, folds = self._parts
        predictor.manual_initialization(
            network.to(device),
            plans,
            configuration,
            folds,
            deepcopy(dict(self._said.data_set)),
            self._said.trainer,
            self._said.mirror_axes or None,
        )
        return predictor


def parts_of_predictor(
    card: Card, said: NnunetPredictorCard
) -> tuple[Any, Any, nn.Module, list[dict[str, Tensor]]]:
    """nnU-Net's managers of plan and configuration, the network, and the weights of each fold.

    Raises:
        BundleError: the file is not the card's or does not fit, a class is not one that may be looked up, or
            the extra is not there.
    """
    assert card.weights is not None  # noqa: S101 - for the type checker: the card was checked
    tensors = load(verified_bytes(card.folder / card.weights.file, card.weights.sha256, card.reference))
    folds = [
        {name.removeprefix(f"{i}."): one for name, one in tensors.items() if name.startswith(f"{i}.")}
        for i in range(said.folds)
    ]
    handler = imported("nnunetv2.utilities.plans_handling.plans_handler")
    builder = imported("nnunetv2.utilities.get_network_from_plans")
    with redirect_stdout(StringIO()):
        plans = handler.PlansManager(deepcopy(dict(said.plans)))
        configuration = plans.get_configuration(said.configuration)
        name, arguments = configuration.network_arch_class_name, configuration.network_arch_init_kwargs
        looked_up = configuration.network_arch_init_kwargs_req_import
        _expect_known(card, name, [arguments[key] for key in looked_up if arguments.get(key) is not None])
        heads = plans.get_label_manager(deepcopy(dict(said.data_set))).num_segmentation_heads
        try:
            network: nn.Module = builder.get_network_from_plans(
                name, arguments, looked_up, 1, heads, allow_init=False, deep_supervision=False
            )
            folds = [_by_every_name(network, fold) for fold in folds]
            for fold in folds:
                network.load_state_dict(fold, strict=True)
        except (RuntimeError, TypeError, ImportError, KeyError) as error:
            sentence = f"The weights of {card.reference} do not fit the network of its plan."
            raise BundleError("model.weights-do-not-fit", sentence) from error
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        sentence = f"The weights of {card.reference} hold numbers that are not finite."
        raise BundleError("model.weights-do-not-fit", sentence)
    return plans, configuration, network.eval().requires_grad_(requires_grad=False), folds


def _by_every_name(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state``, in which each tensor has its first name only, with all names that the network has for it.

    Raises:
        KeyError: it has other tensors than the network.
    """
    first: dict[int, str] = {}
    names = {
        name: first.setdefault(id(tensor), name)
        for name, tensor in network.state_dict(keep_vars=True).items()
    }
    if set(state) != set(first.values()):
        raise KeyError
    return {name: state[once] for name, once in names.items()}


def _expect_known(card: Card, architecture: str, layers: Sequence[str]) -> None:
    foreign = [architecture] if not architecture.startswith(_ARCHITECTURES) else []
    foreign += [name for name in layers if not str(name).startswith(_LAYERS)]
    if foreign:
        sentence = (
            f"The plan of {card.reference} names {', '.join(foreign)}, which is neither an architecture of "
            "nnU-Net nor a layer of torch."
        )
        raise BundleError("add.plan-unsupported", sentence)


def _offered(card: Card) -> Sequence[str]:
    return card.outputs[1:] if card.activation == "softmax" else card.outputs
