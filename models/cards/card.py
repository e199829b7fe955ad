"""The card of a model bundle: what it is, what it sees, what it says, how far to trust it. No torch here.

A bundle is a folder with ``card.yaml`` and, for a network, its weights. The classes below are the card's
sections, field for key; a key that is not here, or of the wrong type, is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml

from models.cards.input_card import InputCard
from models.cards.monai_card import MonaiCard
from models.cards.nnunet_card import NnunetCard, NnunetPredictorCard
from models.cards.patient_axes import AXES_RULE, axes_fit
from models.cards.statistics_card import Statistics
from models.cards.yaml_sections import SectionInvalid, parsed, section


class BundleError(ValueError):
    """A bundle is missing, or does not fit its own card; ``code`` is stable, the message is for people."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True)
class NetworkCard:
    """Which network: its name in the registry and its arguments beside ``in_channels`` and ``classes``.

    ``apart``: one network for each output, as in a model a structure (Xiao 2022); only with sigmoid.
    ``axes``: of a network from elsewhere (``torchscript``), to where its three axes run, e.g. ``RAS``.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    apart: bool = False
    axes: str = "SPL"


@dataclass(frozen=True, slots=True)
class ProgramCard:
    """A model that is code: ``entry`` (``module:function`` of this distribution) or ``file`` in the bundle.

    A file is imported only if its SHA-256 is ``sha256``; its function is ``function``.
    """

    entry: str | None = None
    file: str | None = None
    sha256: str | None = None
    function: str = "segment"


@dataclass(frozen=True, slots=True)
class WeightsCard:
    """The weights: a safetensors file in the bundle, its SHA-256 in hex, and what is in it."""

    file: str
    sha256: str
    dtype: str
    parameters: int


@dataclass(frozen=True, slots=True)
class PostprocessCard:
    """What is done to one structure after the network. All off unless said.

    Attributes:
        largest_component: keep only the largest 26-connected part.
        fill_holes: fill cavities that no path of background voxels joins to the outside.
        hole_connectivity: of that path: 6, over faces; 26, over corners too, so that less is filled.
        minimum_cm3: smaller parts are dropped.
    """

    largest_component: bool = False
    fill_holes: bool = False
    hole_connectivity: Literal[6, 26] = 6
    minimum_cm3: float = 0.0


@dataclass(frozen=True, slots=True)
class StructureCard:
    """One structure that the model offers.

    Attributes:
        extent: from where to where: names alone mean different things in different clinics.
        volume_cm3: a volume outside this range is reported to the clinician.
        may_be_absent: True if a patient may lack it, or it may lie outside a usual field of view.
        several_parts: True if it is naturally in several parts on a CT (bowel).
        reaches_out: True if it naturally leaves the field of view (spine): touching the border is no warning.
        local_name: True if TG-263 has no such name.
    """

    extent: str
    volume_cm3: tuple[float, float]
    may_be_absent: bool = False
    several_parts: bool = False
    reaches_out: bool = False
    local_name: bool = False
    postprocess: PostprocessCard = field(default_factory=PostprocessCard)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What must be seen in the structures' largest parts; confidence is their mean probability there."""

    structures: tuple[str, ...]
    minimum_cm3: float
    minimum_mean_hu: float = -1000.0
    maximum_mean_hu: float = 3000.0
    minimum_confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class RegionCard:
    """The part of the body that the model was trained on, and how to tell that a CT shows it.

    Attributes:
        name: as it stands in the refusal, e.g. ``pelvis``.
        required: all of these must be met, else the CT is refused.
        supporting: one of these must be met too, if there are any.
        whole: any that is not met earns the warning that only part of the region is there.
    """

    name: str
    required: tuple[Evidence, ...]
    supporting: tuple[Evidence, ...] = ()
    whole: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingData:
    """One source of what the weights have seen; ``fingerprint`` is the SHA-256 of a data set."""

    name: str
    licence: str
    what: str
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """The whole card; ``folder`` is where it was read from.

    Attributes:
        name, version: together the model's reference, ``name@version``.
        kind: a network with weights, a program, networks of an nnU-Net plan run by us or by nnU-Net, a bundle
            of MONAI.
        summary, intended_use, licence: for people; ``licence`` is that of the weights.
        validated: False where it has seen synthetic data only; such a model needs ``allow_unvalidated``.
        validation: what it was measured on, in words.
        structures: what it offers, by TG-263 name.
        outputs: the network's classes by index, ``background`` first under softmax; some may not be offered.
        activation: softmax, every voxel is one class; sigmoid, each output by itself and without background.
        thresholds: under sigmoid, the least probability by output; 0.5 unless said.
        left_right: an output that holds both sides, and the (left, right) structures it is split into.
        pairs, midline: (left, right) structures whose sides are checked by position, and what lies between.
        region: how to tell that the CT shows what the model knows; None if any CT will do.
        training, figures, limits: where the weights come from, measured accuracy, what is known not to work.
        recipe: that the weights were trained by, whole, with what was computed from the data; may be empty.
        statistics: what the training cases look like, for a second look; None of a card that has none.
    """

    name: str
    version: str
    kind: Literal["network", "program", "nnunet", "nnunet-predictor", "monai"]
    summary: str
    intended_use: str
    licence: str
    validated: bool
    validation: str
    structures: Mapping[str, StructureCard]
    folder: Path
    network: NetworkCard | None = None
    program: ProgramCard | None = None
    nnunet: NnunetCard | None = None
    nnunet_predictor: NnunetPredictorCard | None = None
    monai: MonaiCard | None = None
    weights: WeightsCard | None = None
    input: InputCard | None = None
    outputs: tuple[str, ...] = ()
    activation: Literal["softmax", "sigmoid"] = "softmax"
    thresholds: Mapping[str, float] = field(default_factory=dict)
    left_right: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    pairs: tuple[tuple[str, str], ...] = ()
    midline: tuple[str, ...] = ()
    region: RegionCard | None = None
    training: tuple[TrainingData, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)
    statistics: Statistics | None = None

    @property
    def reference(self) -> str:
        """``name@version``, as a protocol names it."""
        return f"{self.name}@{self.version}"


def read_card(file: Path) -> Card:
    """The card in ``file``.

    Raises:
        BundleError: ``model.card-unreadable`` or ``model.card-invalid``.
    """
    try:
        return _card_of(file.read_text(encoding="utf-8"), file.parent)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BundleError(
            "model.card-unreadable", f"A model card cannot be read ({type(error).__name__})."
        ) from error


@lru_cache(maxsize=128)
def _card_of(text: str, folder: Path) -> Card:
    """Kept, because every protocol of a configuration looks through all cards and YAML is slow to read."""
    content = parsed(text)
    if not isinstance(content, dict):
        raise BundleError("model.card-invalid", "A model card is not a mapping of keys.")
    try:
        card = section(Card, content | {"folder": folder}, "card")
    except SectionInvalid as error:
        raise BundleError("model.card-invalid", str(error)) from error
    _check(card)
    return card


def _check(card: Card) -> None:
    """The parts of a card must fit one another."""
    wrong: list[str] = []
    if card.kind == "network":
        wrong += _wrong_in_network(card)
    elif card.kind != "program":
        wrong += _wrong_from_elsewhere(card)
    elif card.program is None or (card.program.entry is None) == (card.program.file is None):
        wrong.append("a program needs either entry or file")
    elif card.program.file is not None and card.program.sha256 is None:
        wrong.append("a program file needs its sha256")
    named = [name for group in (*card.pairs, card.midline) for name in group]
    named += [] if card.statistics is None else sorted(card.statistics.named)
    if card.region is not None:
        evidence = card.region.required + card.region.supporting + card.region.whole
        named += [name for each in evidence for name in each.structures]
    known = {*card.outputs, *card.structures, *_sides(card)}
    wrong += [f"{name} is neither a structure nor an output" for name in named if name not in known]
    if wrong:
        raise BundleError(
            "model.card-invalid", f"The card of {card.reference} does not fit: {'; '.join(wrong)}."
        )


def _sides(card: Card) -> set[str]:
    return {side for sides in card.left_right.values() for side in sides}


def _wrong_in_network(card: Card) -> list[str]:
    if card.network is None or card.weights is None or card.input is None or not card.outputs:
        return ["a network needs network, weights, input and outputs"]
    wrong: list[str] = []
    softmax, shown = card.activation == "softmax", card.input
    if softmax and (len(card.outputs) < 2 or card.outputs[0] != "background"):
        wrong.append("the outputs of softmax are background and at least one more")
    if softmax and (card.thresholds or card.network.apart):
        wrong.append("thresholds and networks apart need sigmoid")
    if not softmax and "background" in card.outputs:
        wrong.append("sigmoid has no output background")
    if not axes_fit(card.network.axes):
        wrong.append(AXES_RULE)
    if any(not 0 < threshold < 1 for threshold in card.thresholds.values()):
        wrong.append("thresholds lie between 0 and 1")
    if shown.context_slices % 2 == 0 or shown.context_slices < 1:
        wrong.append("context_slices is an odd number")
    if shown.context_slices > 1 and shown.dimensions == 3:
        wrong.append("context_slices need a patch of one slice")
    foreign = [name for name in (*card.thresholds, *card.left_right) if name not in card.outputs]
    of_network = {*card.outputs, *_sides(card)}
    foreign += [name for name in card.structures if name not in of_network]
    return wrong + [f"{name} is no output of the network" for name in foreign]


def _wrong_from_elsewhere(card: Card) -> list[str]:
    if getattr(card, card.kind.replace("-", "_")) is None or card.weights is None:
        return [f"a model of kind {card.kind} needs {card.kind.replace('-', '_')} and weights"]
    wrong = [f"{name} is no output of the networks" for name in card.structures if name not in card.outputs]
    softmax = card.activation == "softmax"
    if softmax and (len(card.outputs) < 2 or card.outputs[0] != "background"):
        wrong.append("the outputs of softmax are background and at least one more, one for each voxel")
    if not softmax and (card.kind == "nnunet" or "background" in card.outputs):
        wrong.append("of sigmoid are MONAI bundles and nnU-Net's own predictor, without background")
    if card.region is not None or card.left_right:
        wrong.append("region and left_right are of our own networks only")
    return wrong if card.nnunet is None or axes_fit(card.nnunet.axes) else [*wrong, AXES_RULE]
