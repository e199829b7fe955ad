"""From the transforms of a MONAI bundle to the steps of a card; whatever else there is, is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from models.adding.monai_arguments import Arguments, class_name, transforms_of
from models.adding.monai_config import BundleConfig
from models.cards.card import BundleError
from models.cards.monai_card import Crop, Normalise, Orientation, Rescale, ScaleRange, Spacing, Step, Window

_LABELS: Final = [["L", "R"], ["P", "A"], ["I", "S"]]  # MONAI's own letters for the ends of each axis
_FLOATS: Final = (None, "float32", "float64")


def steps_of(config: BundleConfig, key: str) -> tuple[Step, ...]:
    """The steps of ``preprocessing``.

    Raises:
        BundleError: ``add.transform-unknown`` or ``add.needs-trust``.
    """
    steps: list[Step] = []
    for one in transforms_of(config.entry("preprocessing"), config, key):
        if one.name not in _READ:
            raise one.unknown("a step that is not known")
        step = _READ[one.name](one, key)
        one.finish()
        if step is not None:
            steps.append(step)
    return tuple(steps)


def _neutral(*ignored: str) -> Callable[[Arguments, str], None]:
    """A transform that does not change numbers; of its arguments those do not matter."""

    def read(one: Arguments, _key: str) -> None:
        one.ignore(*ignored)

    return read


def _ensure_typed(one: Arguments, _key: str) -> None:
    one.ignore("device", "track_meta", "data_type")
    one.expect("dtype", *_FLOATS)


def _orientation(one: Arguments, _key: str) -> Step:
    one.expect("as_closest_canonical", False)
    labels = one.whole("labels")
    if labels not in (None, _LABELS):
        raise one.unknown(f"labels: {labels!r}")
    try:
        return Orientation("orientation", str(one.take("axcodes")))
    except ValueError as error:
        raise one.unknown(f"axcodes ({error})") from error


def _spacing(one: Arguments, _key: str) -> Step:
    one.ignore("dtype", "align_corners", "ensure_same_shape")
    one.expect("mode", "bilinear", 1)
    one.expect("padding_mode", "border")
    one.expect("scale_extent", False)
    one.expect("recompute_affine", False)
    one.expect("min_pixdim", None)
    one.expect("max_pixdim", None)
    one.expect("diagonal", False)
    said = one.whole("pixdim")
    values = list(said) if isinstance(said, list | tuple) else [said]
    values += [values[-1]] * (3 - len(values))
    if len(values) != 3 or not all(isinstance(mm, int | float) and mm > 0 for mm in values):
        raise one.unknown(f"pixdim: {said!r}")
    return Spacing("spacing", (float(values[0]), float(values[1]), float(values[2])))


def _scale_range(one: Arguments, _key: str) -> Step:
    one.ignore("dtype")
    to = one.take("b_min"), one.take("b_max")
    if (to[0] is None) != (to[1] is None) or (one.take("clip", False) and to[0] is None):
        raise one.unknown("one bound only")
    low, high = float(one.take("a_min")), float(one.take("a_max"))
    if low == high:
        raise one.unknown("an empty range")
    bounds = (0.0, 1.0) if to[0] is None else (float(to[0]), float(to[1]))
    return ScaleRange("scale-range", low, high, bounds, bool(one.take("clip", False)))


def _normalise(one: Arguments, _key: str) -> Step:
    one.ignore("dtype", "channel_wise")
    return Normalise(
        "normalise", _number(one, "subtrahend"), _number(one, "divisor"), bool(one.take("nonzero", False))
    )


def _number(one: Arguments, name: str) -> float | None:
    found = one.take(name)
    if isinstance(found, list | tuple) and len(found) == 1:
        found = found[0]
    if found is not None and not isinstance(found, int | float):
        raise one.unknown(f"{name}: {found!r}")
    return None if found is None else float(found)


def _rescale(one: Arguments, _key: str) -> Step:
    one.ignore("dtype", "channel_wise")
    one.expect("factor", None)
    return Rescale("rescale", (float(one.take("minv", 0.0)), float(one.take("maxv", 1.0))))


def _crop(one: Arguments, key: str) -> Step:
    one.ignore("mode", "start_coord_key", "end_coord_key", "allow_smaller")
    one.expect("source_key", key)
    one.expect("select_fn", None)
    one.expect("channel_indices", None)
    one.expect("margin", 0, [0, 0, 0])
    one.expect("k_divisible", 1, [1, 1, 1])
    return Crop("crop")


_READ: Final[Mapping[str, Callable[[Arguments, str], Step | None]]] = {
    "LoadImaged": _neutral("reader", "dtype", "meta_keys", "meta_key_postfix", "overwriting", "image_only",
                           "ensure_channel_first", "simple_keys", "prune_meta_pattern", "prune_meta_sep"),
    "EnsureChannelFirstd": _neutral("channel_dim", "strict_check", "meta_keys", "meta_key_postfix"),
    "EnsureTyped": _ensure_typed,
    "ToTensord": _ensure_typed,
    "ToDeviced": _neutral("device", "non_blocking"),
    "Orientationd": _orientation,
    "Spacingd": _spacing,
    "ScaleIntensityRanged": _scale_range,
    "NormalizeIntensityd": _normalise,
    "ScaleIntensityd": _rescale,
    "CropForegroundd": _crop,
}  # fmt: skip


@dataclass(slots=True)
class Answer:
    """What ``postprocessing`` makes of the network's answer.

    Attributes:
        activation: softmax, or sigmoid with a threshold for each output.
        activated_first: before it goes back to the CT's voxels.
        back: how it goes back; None until ``Invertd``.
        threshold: under sigmoid.
        discrete: whether ``AsDiscreted`` was there.
        largest: outputs by number of which only the largest part is kept; None for all.
    """

    activation: Literal["softmax", "sigmoid"] | None = None
    activated_first: bool = False
    back: Literal["linear", "nearest"] | None = None
    threshold: float | None = None
    discrete: bool = False
    largest: list[int] | None = field(default_factory=list)


def answer_of(config: BundleConfig, key: str) -> Answer:
    """How the network's answer is read.

    Raises:
        BundleError: ``add.transform-unknown``, ``add.bundle-unsupported`` or ``add.needs-trust``.
    """
    answer = Answer()
    for one in transforms_of(config.entry("postprocessing"), config, key):
        if one.name in ("SaveImaged", "DeleteItemsd"):
            continue
        if one.name not in _AFTER:
            raise one.unknown("a step that is not known")
        _AFTER[one.name](one, answer)
        one.finish()
    if not answer.discrete or answer.back is None:
        lacking = "Invertd" if answer.discrete else "AsDiscreted"
        sentence = (
            f"The bundle's postprocessing has no {lacking}: it does not say how its answer becomes labels on "
            "the CT. Add it to configs/inference."
        )
        raise BundleError("add.bundle-unsupported", sentence)
    return answer


def _activations(one: Arguments, answer: Answer) -> None:
    softmax, sigmoid = bool(one.take("softmax", False)), bool(one.take("sigmoid", False))
    one.expect("other", None)
    if softmax == sigmoid or answer.activation is not None or answer.discrete:
        raise one.unknown("another activation than one softmax or sigmoid before labels are made")
    answer.activation = "softmax" if softmax else "sigmoid"
    answer.activated_first = answer.back is None


def _discrete(one: Arguments, answer: Answer) -> None:
    one.ignore("to_onehot", "num_classes", "dim", "keepdim", "dtype")
    argmax, threshold = bool(one.take("argmax", False)), one.take("threshold")
    one.expect("rounding", None)
    wanted = answer.activation != "sigmoid"
    if argmax != wanted or (threshold is None) != wanted or answer.discrete:
        raise one.unknown("labels that are neither the largest of softmax nor above a threshold of sigmoid")
    answer.activation = answer.activation or "softmax"
    answer.threshold = None if threshold is None else float(threshold)
    answer.discrete = True
    if answer.back is None:  # labels themselves go back, as nearest ones; so may what they are made from
        answer.activated_first = False


def _invert(one: Arguments, answer: Answer) -> None:
    one.ignore(
        "transform", "orig_keys", "meta_keys", "orig_meta_keys", "meta_key_postfix", "to_tensor", "device"
    )
    one.expect("post_func", None)
    nearest = bool(one.take("nearest_interp", True))
    if answer.discrete and not nearest:
        raise one.unknown("labels that are interpolated (nearest_interp: false)")
    answer.back = "nearest" if nearest else "linear"


def _largest(one: Arguments, answer: Answer) -> None:
    one.ignore("is_onehot", "num_components")
    one.expect("num_components", 1)
    one.expect("independent", True)
    one.expect("connectivity", None, 3)
    if not answer.discrete or answer.back is None:
        raise one.unknown("the largest part before there are labels on the CT")
    said = one.whole("applied_labels")
    answer.largest = None if said is None else [int(n) for n in (said if isinstance(said, list) else [said])]


def _typed(one: Arguments, _answer: Answer) -> None:
    _ensure_typed(one, "pred")


_AFTER: Final[Mapping[str, Callable[[Arguments, Answer], None]]] = {
    "Activationsd": _activations,
    "AsDiscreted": _discrete,
    "Invertd": _invert,
    "KeepLargestConnectedComponentd": _largest,
    "EnsureTyped": _typed,
    "ToTensord": _typed,
}

_INFERER_IGNORED: Final = (
    *("sw_batch_size", "sw_device", "device", "progress", "cache_roi_weight_map", "cpu_thresh"),
    *("buffer_steps", "buffer_dim"),
)


def window_of(config: BundleConfig) -> Window:
    """The ``inferer``.

    Raises:
        BundleError: ``add.transform-unknown``, ``add.bundle-unsupported`` or ``add.needs-trust``.
    """
    said = config.entry("inferer")
    name = class_name(said) if isinstance(said, Mapping) else ""
    if name == "SimpleInferer":
        return Window((0, 0, 0))
    if name not in ("SlidingWindowInferer", "SlidingWindowInfererAdapt"):
        sentence = (
            f"The bundle's inferer is {name or 'not told'}; run here are SlidingWindowInferer, SimpleInferer "
            "of three dimensions."
        )
        raise BundleError("add.bundle-unsupported", sentence)
    one = Arguments({**said, "keys": "image"}, config, "image")
    one.ignore(*_INFERER_IGNORED)
    one.expect("with_coord", False)
    one.expect("roi_weight_map", None)
    padding = one.expect("padding_mode", "constant", "reflect", "replicate", "circular")
    mode = one.expect("mode", "constant", "gaussian")
    a, b, c = (0 if size is None or size <= 0 else int(size) for size in _three(one, "roi_size", None))
    shared, deviations = _three(one, "overlap", 0.25), _three(one, "sigma_scale", 0.125)
    value = float(one.take("cval", 0.0))
    one.finish()
    try:
        return Window(
            (a, b, c),
            (float(shared[0]), float(shared[1]), float(shared[2])),
            mode,
            (float(deviations[0]), float(deviations[1]), float(deviations[2])),
            padding,
            value,
        )
    except ValueError as error:
        raise one.unknown(str(error)) from error


def _three(one: Arguments, name: str, default: Any) -> list[Any]:  # noqa: ANN401 - numbers, or None
    said = one.whole(name, default)
    values = list(said) if isinstance(said, list | tuple) else [said] * 3
    if len(values) != 3:
        raise one.unknown(f"{name}: {said!r}, not three values")
    return values
