"""A recipe: everything that decides what a network learns, in one YAML file, all of it overridable.

The classes below are the file's sections, field for key. What only concerns the machine (device, precision,
threads) is no part of a recipe. Losses and augmentations are named and take arguments, as networks do.
No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from models.cards.card import NetworkCard, PostprocessCard
from models.cards.input_card import Channel, CropCard, InputCard

Watched = Literal["validation-loss", "validation-dsc"]


@dataclass(frozen=True, slots=True)
class ChannelRecipe:
    """One input channel: ``(clip(HU, *clip_hu) - subtract_hu) / divide_hu``.

    ``mean`` and ``std`` are computed from the clipped HU of the training cases before training begins, and
    stand as numbers in the bundle's card.
    """

    clip_hu: tuple[float, float]
    subtract_hu: Literal["mean"] | float = 0.0
    divide_hu: Literal["std"] | float = 1.0

    def __post_init__(self) -> None:
        if not self.clip_hu[0] < self.clip_hu[1]:
            raise ValueError("clip_hu must rise")
        if self.divide_hu == 0:
            raise ValueError("divide_hu must not be 0")


@dataclass(frozen=True, slots=True)
class InputRecipe:
    """What the network is shown, as `cards.input_card.InputCard`; channels may be computed from the data.

    ``patch_zyx`` is also what training sees at a time; one slice means a network of two dimensions.
    """

    spacing_zyx_mm: tuple[float | None, float | None, float | None]
    patch_zyx: tuple[int, int, int]
    channels: tuple[ChannelRecipe, ...]
    overlap: float = 0.5
    padding_hu: float = -1000.0
    context_slices: int = 1
    crop: CropCard | None = None
    stretch: float = 0.0

    def __post_init__(self) -> None:
        if not self.channels or min(self.patch_zyx) < 1 or not 0 <= self.overlap < 1:
            raise ValueError("needs a channel, patches of a voxel or more and an overlap from 0 to below 1")
        if self.context_slices < 1 or self.context_slices % 2 == 0:
            raise ValueError("context_slices is an odd number")
        if self.context_slices > 1 and self.patch_zyx[0] > 1:
            raise ValueError("context_slices need a patch of one slice")

    def card(self, channels: tuple[Channel, ...]) -> InputCard:
        """As it stands in a bundle, with the channels' numbers."""
        same = {key: value for key, value in asdict(self).items() if key not in {"channels", "crop"}}
        return InputCard(channels=channels, crop=self.crop, **same)


@dataclass(frozen=True, slots=True)
class Named:
    """A loss or an augmentation by name, with the arguments of the function that has this name."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Optimiser:
    """How weights follow gradients.

    Attributes:
        name: ``adam``; ``adamw``, whose weight decay is apart from the gradient; ``nadam``, Adam with
            Nesterov momentum; ``sgd``.
        learning_rate: the highest; the schedule gives a share of it.
        betas, epsilon: of Adam and its kin.
        momentum, nesterov: of SGD.
        weight_decay: as PyTorch's optimiser of that name understands it: added to the gradient, except in
            ``adamw``.
        clip_norm: longest gradient; longer ones are shortened to it.
        average: share of the old in a running average of the weights, which then is what is validated and
            what the bundle gets; None for no average.
    """

    name: Literal["adam", "adamw", "nadam", "sgd"]
    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    clip_norm: float | None = None
    average: float | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """What share of the learning rate is used when.

    Attributes:
        name: ``constant``; ``poly``, (1 - done)^power; ``cosine``, to nothing at the end; ``first-epochs``,
            times ``factor`` after each of the first ``epochs`` epochs, then constant; ``plateau``, times
            ``factor`` when what is watched (``end.watch``) has not improved for ``patience_epochs``.
        warmup_steps: over which it rises in a straight line first.
        power: of ``poly``.
        factor: of ``first-epochs`` and ``plateau``.
        epochs: of ``first-epochs``.
        patience_epochs: of ``plateau``.
        every_cycle: begin anew with each cycle (`End.cycles`).
    """

    name: Literal["constant", "poly", "cosine", "first-epochs", "plateau"] = "constant"
    warmup_steps: int = 0
    power: float = 0.9
    factor: float = 0.1
    epochs: int = 3
    patience_epochs: float = 10.0
    every_cycle: bool = False


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which patches or slices training sees. Shares of the samples; the rest lies anywhere.

    Attributes:
        around_structures: centred on a voxel of a structure, each structure of the case being as likely.
        around_false_positives: centred on a voxel that the network called a structure wrongly when the
            training cases were last looked at, which is at the end of each cycle.
        slices_without: of the slices that show none of the structures, how many are kept (two dimensions).
        epoch_batches: what counts as an epoch; None: as many batches as it takes to see each slice once, or
            in three dimensions each case.
    """

    around_structures: float = 0.0
    around_false_positives: float = 0.0
    slices_without: float = 1.0
    epoch_batches: int | None = None

    def __post_init__(self) -> None:
        shares = (self.around_structures, self.around_false_positives, self.slices_without)
        if not all(0 <= share <= 1 for share in shares) or sum(shares[:2]) > 1:
            raise ValueError("shares lie between 0 and 1, and the first two together too")


@dataclass(frozen=True, slots=True)
class Validation:
    """What is looked at while training.

    Attributes:
        every_epochs: how often.
        batches: of unaugmented validation samples for the loss; None: as many as make an epoch of them.
        cases: whole validation CTs for the DSC, the first so many; None: all of them; 0: none.
        bundle: measure the finished bundle on whole validation and test CTs, for its card.
    """

    every_epochs: float = 1.0
    batches: int | None = None
    cases: int | None = None
    bundle: bool = True


@dataclass(frozen=True, slots=True)
class End:
    """When training ends, at the first that is met, and which weights are kept.

    Attributes:
        epochs, steps, hours: of training; a step is one batch, pauses do not count as hours. With cycles,
            of one cycle.
        early_stop_epochs: stop when what is watched has not improved for so many.
        watch: validation loss or mean validation DSC.
        keep: the weights with the best value watched, or the last ones.
        cycles: how often the whole is done, each time from the last weights.
        vary_validation: with each cycle another share of the training and validation patients is the
            validation part, so that after some cycles each has been trained on; test patients never are.
    """

    epochs: float | None = None
    steps: int | None = None
    hours: float | None = None
    early_stop_epochs: float | None = None
    watch: Watched = "validation-loss"
    keep: Literal["best", "last"] = "best"
    cycles: int = 1
    vary_validation: bool = False

    def __post_init__(self) -> None:
        if self.epochs is None and self.steps is None and self.hours is None:
            raise ValueError("training needs an end: give epochs, steps, hours or several")


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """Sigmoid thresholds, chosen on whole validation cases after training: the best mean DSC by output."""

    candidates: tuple[float, ...] = (0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9)

    def __post_init__(self) -> None:
        if not self.candidates or not all(0 < each < 1 for each in self.candidates):
            raise ValueError("candidates lie between 0 and 1")


@dataclass(frozen=True, slots=True)
class Recipe:
    """The whole recipe.

    Attributes:
        name: as the file; ``<network>--<paper>``.
        paper: key of the paper, or None for one of this project.
        summary: one sentence for people.
        network, activation, structures: what is learned; structures by TG-263 name, the first winning where
            two overlap under softmax.
        left_right: an output that holds both sides of a pair, and the (left, right) structures it stands for.
        extents: from where to where a structure goes, for the card, where the recipe knows.
        grid: ranges for the grid search, by dotted key, e.g. ``optimiser.learning_rate``.
        published: the paper's own figures for it, as printed: by metric (a column of ``delineate evaluate``,
            e.g. ``DSC``, ``ASSD_mm``), then by structure (``all``: over all of them), a number, which is the
            mean, or some of ``{mean, median, sd, variance}``. ``delineate compare`` prints them.
        choices: where the paper is silent or contradicts itself, and what was chosen; one sentence each.
    """

    name: str
    summary: str
    network: NetworkCard
    structures: tuple[str, ...]
    input: InputRecipe
    loss: Named
    optimiser: Optimiser
    end: End
    batch: int
    paper: str | None = None
    activation: Literal["softmax", "sigmoid"] = "softmax"
    left_right: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    augmentation: tuple[Named, ...] = ()
    schedule: Schedule = field(default_factory=Schedule)
    sampling: Sampling = field(default_factory=Sampling)
    validation: Validation = field(default_factory=Validation)
    thresholds: ThresholdChoice | Mapping[str, float] | None = None
    postprocess: Mapping[str, PostprocessCard] = field(default_factory=dict)
    extents: Mapping[str, str] = field(default_factory=dict)
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    published: Mapping[str, Any] = field(default_factory=dict)
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wrong = [*self._wrong_names(), *self._wrong_activation()]
        if self.batch < 1:
            wrong.append("batch is at least 1")
        if wrong:
            raise ValueError("; ".join(wrong))

    @property
    def targets(self) -> tuple[str, ...]:
        """The network's outputs without background; a pair learned as one stands in its left side's place."""
        names = list(self.structures)
        for both, (left, right) in self.left_right.items():
            names[names.index(left)] = both
            names.remove(right)
        return tuple(names)

    @property
    def outputs(self) -> tuple[str, ...]:
        """As in the card: under softmax with ``background`` first."""
        return ("background", *self.targets) if self.activation == "softmax" else self.targets

    def _wrong_names(self) -> list[str]:
        if not self.structures or len(set(self.structures)) < len(self.structures):
            return ["structures are named once each, and there is at least one"]
        sides = [side for pair in self.left_right.values() for side in pair]
        wrong = [f"{side} of left_right is no structure" for side in sides if side not in self.structures]
        if len(set(sides)) < len(sides):
            wrong.append("a structure belongs to one pair of left_right")
        named = {**self.postprocess, **self.extents}
        known = {*self.structures, *self.left_right}
        return wrong + [f"{name} is no structure of this recipe" for name in named if name not in known]

    def _wrong_activation(self) -> list[str]:
        if self.activation == "sigmoid":
            return []
        wrong: list[str] = []
        if self.thresholds is not None:
            wrong.append("thresholds need sigmoid")
        if self.network.apart:
            wrong.append("networks apart need sigmoid")
        return wrong
