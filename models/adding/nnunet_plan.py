"""From nnU-Net's plans.json to the section ``nnunet`` of a card; whatever else a plan asks for is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from models.cards.card import BundleError
from models.cards.nnunet_card import (
    NnunetArchitecture,
    NnunetCard,
    NnunetPredictorCard,
    Resampling,
    label_values,
)
from models.runtimes.installed_extras import imported

_AXES_OF_READER: Final = {
    "SimpleITKIO": "SPL",  # the array as it is stored: a CT that lies as DICOM slices usually do
    "SimpleITKIOWithReorient": "SAR",
    "NibabelIOWithReorient": "SAR",
}
_RESAMPLING: Final = "resample_data_or_seg_to_shape"
_CONVOLUTION: Final = "torch.nn.modules.conv.Conv3d"
_NORM: Final = "torch.nn.modules.instancenorm.InstanceNorm3d"
_NONLINEARITY: Final = ("torch.nn.LeakyReLU", "torch.nn.modules.activation.LeakyReLU")


def card_of_plan(
    plans: Mapping[str, Any],
    data_set: Mapping[str, Any],
    checkpoint: Mapping[str, Any],
    folds: int,
    axes: str | None = None,
) -> NnunetCard:
    """How the configuration of ``checkpoint`` is run.

    Args:
        plans, data_set: contents of plans.json and dataset.json.
        checkpoint: says which configuration it is, and which axes may be mirrored.
        folds: how many there are.
        axes: to where the training images' axes run, if a person says so; else by nnU-Net's reader.

    Raises:
        BundleError: ``add.plan-unsupported`` or ``add.plan-unreadable``.
    """
    try:
        name = str(checkpoint["init_args"]["configuration"])
        plan = _inherited(plans["configurations"], name)
        _expect_supported(plan, data_set, name)
        intensities = plans["foreground_intensity_properties_per_channel"]["0"]
        axes = axes or _axes_of(plans)
        return NnunetCard(
            architecture=_architecture(plan),
            folds=folds,
            axes=axes,
            transpose=_three(plans["transpose_forward"]),
            spacing_mm=_three(plan["spacing"], float),
            patch=_three(plan["patch_size"]),
            clip_hu=(float(intensities["percentile_00_5"]), float(intensities["percentile_99_5"])),
            mean_hu=float(intensities["mean"]),
            deviation_hu=float(intensities["std"]),
            data=_resampling(plan, "data"),
            logits=_resampling(plan, "probabilities"),
            mirror_axes=tuple(int(axis) for axis in checkpoint.get("inference_allowed_mirroring_axes") or ()),
        )
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        if isinstance(error, BundleError):
            raise
        raise _misstated(error) from error


def card_for_predictor(
    plans: Mapping[str, Any],
    data_set: Mapping[str, Any],
    checkpoint: Mapping[str, Any],
    folds: int,
    axes: str | None,
    refusal: BundleError,
) -> NnunetPredictorCard:
    """What nnU-Net's own predictor needs of a plan that our engine does not know.

    Args:
        plans, data_set, checkpoint, folds, axes: as for :func:`card_of_plan`.
        refusal: why our engine does not run it.

    Raises:
        BundleError: ``add.plan-unsupported``, the predictor is not installed, or would need more than one CT;
            ``add.plan-unreadable``.
    """
    try:
        name = str(checkpoint["init_args"]["configuration"])
        plan = _inherited(plans["configurations"], name)
        if plan.get("previous_stage") is not None:
            raise _unsupported("another model's answer first (a cascade); add its 3d_lowres or 3d_fullres")
        if len(data_set.get("channel_names", data_set.get("modality", {}))) != 1:
            raise _unsupported("other input than one CT")
        label_values(data_set)
        axes = axes or _axes_of(plans)
        try:
            imported("nnunetv2")
        except BundleError as error:
            raise BundleError(
                refusal.code, f"{refusal} nnU-Net's own predictor may run it. {error}"
            ) from error
        return NnunetPredictorCard(
            configuration=name,
            plans={**plans, "configurations": {name: plan}},
            data_set=data_set,
            trainer=str(checkpoint.get("trainer_name")),
            folds=folds,
            axes=axes,
            mirror_axes=tuple(int(axis) for axis in checkpoint.get("inference_allowed_mirroring_axes") or ()),
        )
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        if isinstance(error, BundleError):
            raise
        raise _misstated(error) from error


def _inherited(configurations: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A configuration with what it takes from others."""
    own = dict(configurations[name])
    parent = own.pop("inherits_from", None)
    return own if parent is None else _inherited(configurations, parent) | own


def _expect_supported(plan: Mapping[str, Any], data_set: Mapping[str, Any], name: str) -> None:
    if len(plan["patch_size"]) != 3 or plan.get("previous_stage") is not None:
        raise _unsupported(f"the configuration {name}; only one network of three dimensions is run")
    channels = data_set.get("channel_names", data_set.get("modality", {}))
    if len(channels) != 1 or list(plan["normalization_schemes"]) != ["CTNormalization"]:
        raise _unsupported("other input than one CT with CT normalisation")
    if any(plan.get("use_mask_for_norm", ())):
        raise _unsupported("normalisation within a mask")
    if plan.get("preprocessor_name", "DefaultPreprocessor") != "DefaultPreprocessor":
        raise _unsupported(f"its own preprocessing ({plan['preprocessor_name']})")


def _resampling(plan: Mapping[str, Any], what: str) -> Resampling:
    name, said = plan[f"resampling_fn_{what}"], plan[f"resampling_fn_{what}_kwargs"]
    if name != _RESAMPLING or said.get("is_seg"):
        raise _unsupported(f"resampling by {name}")
    return Resampling(int(said["order"]), int(said.get("order_z", 0)), said.get("force_separate_z"))


def _architecture(plan: Mapping[str, Any]) -> NnunetArchitecture:
    if "architecture" not in plan:
        return _of_old_plan(plan)
    name = str(plan["architecture"]["network_class_name"]).rpartition(".")[2]
    said = dict(plan["architecture"]["arch_kwargs"])
    known = (
        said["conv_op"] == _CONVOLUTION
        and said["norm_op"] == _NORM
        and said["nonlin"] in _NONLINEARITY
        and said.get("dropout_op") is None
        and not said.get("nonlin_first")
        and set(said.get("nonlin_kwargs") or {}) <= {"inplace"}
        and "stem_channels" not in said
    )
    if name not in ("PlainConvUNet", "ResidualEncoderUNet") or not known:
        raise _unsupported(f"another network ({name}) than convolutions with instance norm and leaky ReLU")
    count = "n_conv_per_stage" if name == "PlainConvUNet" else "n_blocks_per_stage"
    norm = said.get("norm_op_kwargs") or {}
    return NnunetArchitecture(
        "PlainConvUNet" if name == "PlainConvUNet" else "ResidualEncoderUNet",
        tuple(int(n) for n in said["features_per_stage"]),
        tuple(_three(each) for each in said["kernel_sizes"]),
        tuple(_three(each) for each in said["strides"]),
        tuple(int(n) for n in said[count]),
        tuple(int(n) for n in said["n_conv_per_stage_decoder"]),
        bool(said["conv_bias"]),
        float(norm.get("eps", 1e-5)),
        bool(norm.get("affine", False)),
    )


def _of_old_plan(plan: Mapping[str, Any]) -> NnunetArchitecture:
    """As nnU-Net before 2.2 wrote plans."""
    if plan["UNet_class_name"] not in ("PlainConvUNet", "ResidualEncoderUNet"):
        raise _unsupported(f"another network ({plan['UNet_class_name']})")
    stages = range(len(plan["n_conv_per_stage_encoder"]))
    return NnunetArchitecture(
        plan["UNet_class_name"],
        tuple(min(plan["UNet_base_num_features"] * 2**i, plan["unet_max_num_features"]) for i in stages),
        tuple(_three(each) for each in plan["conv_kernel_sizes"]),
        tuple(_three(each) for each in plan["pool_op_kernel_sizes"]),
        tuple(int(n) for n in plan["n_conv_per_stage_encoder"]),
        tuple(int(n) for n in plan["n_conv_per_stage_decoder"]),
    )


def _three(values: Any, kind: Any = int) -> Any:  # noqa: ANN401 - three of a kind
    a, b, c = values
    return kind(a), kind(b), kind(c)


def _axes_of(plans: Mapping[str, Any]) -> str:
    reader = str(plans.get("image_reader_writer"))
    if reader not in _AXES_OF_READER:
        raise _unsupported(f"images read by {reader}; say network: {{axes: ...}} in the small card")
    return _AXES_OF_READER[reader]


def _misstated(error: Exception) -> BundleError:
    sentence = f"The plan lacks or misstates {error}; nnU-Net 2 writes plans.json and the checkpoint."
    return BundleError("add.plan-unreadable", sentence)


def _unsupported(what: str) -> BundleError:
    return BundleError("add.plan-unsupported", f"The plan asks for {what}, which our engine does not run.")
