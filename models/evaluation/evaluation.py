"""Measures a model on the cases of a data set, one case in memory at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.cards.card import Card
from models.cards.catalog import content_sha256
from models.data_sets.data_set import Case, DataSet, Part
from models.evaluation.figures import Figures, background_figures, figures
from models.network_run import device_named
from models.predictor import OutputNotFinite, Predictor
from models.volume import OutsideTrainedRegion, Segmentation, Severity

Mask = NDArray[np.bool_]
Progress = Callable[[float, str], None]
Watch = Callable[[Case, str, Figures, Mask, Mask], None]

_SHARE_OF_MODEL: Final = 0.7  # of a case's progress; the rest is measuring


class EvaluationRefused(ValueError):
    """An evaluation cannot be made or read; ``code`` is stable, the message is for people."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True)
class Setting:
    """What was measured on what.

    Attributes:
        model, sha256, validated, parameters: the bundle's reference, the hash of what does the work, whether
            its card says that it was validated, and how many weights it has.
        data_source, data_fingerprint, part: the data set; part None for all cases.
        structures: those that the model offers and the data set has, in the model's order.
        not_in_data, not_offered: those of the model that the data set lacks, and the other way round.
        tolerance_mm: of the surface Dice and the surface overlap.
        device: that the model ran on.
    """

    model: str
    sha256: str
    validated: bool
    parameters: int | None
    data_source: str
    data_fingerprint: str
    part: Part | None
    structures: tuple[str, ...]
    not_in_data: tuple[str, ...]
    not_offered: tuple[str, ...]
    tolerance_mm: float
    device: str


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case.

    Attributes:
        name, patient: of the case.
        slices: of its CT.
        seconds: contouring time, from the CT in memory to fields on its grid; None if the model refused.
        figures: by structure; those that are unknown in this case are no key.
        background: DSC and HD95_mm of what is no structure; empty unless every structure is known.
        warnings: what the model itself tells the clinician.
        refused: why the model gave no answer, or None.
    """

    name: str
    patient: str
    slices: int
    seconds: float | None
    figures: Mapping[str, Figures]
    background: Mapping[str, float]
    warnings: tuple[str, ...] = ()
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All cases, in the order of their names."""

    setting: Setting
    cases: tuple[CaseResult, ...]

    @property
    def answered(self) -> tuple[CaseResult, ...]:
        """The cases that the model did not refuse."""
        return tuple(case for case in self.cases if case.refused is None)


def setting_of(card: Card, data: DataSet, part: Part | None, tolerance_mm: float, device: str) -> Setting:
    """What would be measured on what.

    Raises:
        EvaluationRefused: ``evaluation.no-case`` or ``evaluation.nothing-in-common``.
        BundleError: the bundle's files are not those of its card, or the device is not there.
    """
    if not data.names(part):
        where = "The data set has no case" + (f" in its {part} part" if part else "")
        raise EvaluationRefused("evaluation.no-case", f"{where}. Choose another part with --part.")
    shared = tuple(name for name in card.structures if name in data.structures)
    if not shared:
        sentence = (
            f"{card.reference} offers {', '.join(card.structures)}; the data set has "
            f"{', '.join(data.structures)}. They have no structure in common."
        )
        raise EvaluationRefused("evaluation.nothing-in-common", sentence)
    return Setting(
        model=card.reference,
        sha256=content_sha256(card),
        validated=card.validated,
        parameters=card.weights.parameters if card.weights else None,
        data_source=data.contents.source,
        data_fingerprint=data.fingerprint,
        part=part,
        structures=shared,
        not_in_data=tuple(name for name in card.structures if name not in shared),
        not_offered=tuple(name for name in data.structures if name not in shared),
        tolerance_mm=tolerance_mm,
        device=str(device_named(device)),
    )


def evaluate(
    predictor: Predictor,
    data: DataSet,
    setting: Setting,
    *,
    watch: Watch | None = None,
    progress: Progress = lambda _part, _case: None,
    surfaces: bool = True,
) -> Evaluation:
    """Contour every case of the setting's part and compare it with what is drawn on it.

    Args:
        predictor: of the bundle that ``setting`` is about.
        data: read case by case.
        setting: as :func:`setting_of` gives it.
        watch: shown each structure that was compared: case, structure, figures, truth, answer.
        progress: told the part that is done, 0 to 1, and the case that is looked at.
        surfaces: False leaves out what looks at surfaces, which takes most of the time of measuring.
    """
    names = data.names(setting.part)
    results: list[CaseResult] = []
    for number, name in enumerate(names):
        progress(number / len(names), name)

        def within(part: float, before: int = number, case: str = name) -> None:
            progress((before + part * _SHARE_OF_MODEL) / len(names), case)

        results.append(_case(predictor, data.read(name), _Measure(setting, watch, surfaces), within))
    progress(1.0, "")
    return Evaluation(setting, tuple(results))


@dataclass(frozen=True, slots=True)
class _Measure:
    """How each case is measured."""

    setting: Setting
    watch: Watch | None
    surfaces: bool


def _case(
    predictor: Predictor, case: Case, measure: _Measure, progress: Callable[[float], None]
) -> CaseResult:
    started = time.perf_counter()
    try:
        said = predictor.segment(case.volume, measure.setting.structures, progress)
    except (OutsideTrainedRegion, OutputNotFinite) as error:
        slices = len(case.volume.hu)
        return CaseResult(case.name, case.patient, slices, None, {}, {}, refused=f"{error.code}: {error}")
    seconds = time.perf_counter() - started
    found, background = _compared(case, said, measure)
    return CaseResult(
        name=case.name,
        patient=case.patient,
        slices=len(case.volume.hu),
        seconds=seconds,
        figures=found,
        background=background,
        warnings=tuple(each.sentence for each in said.findings if each.severity is not Severity.NOTE),
    )


def _compared(
    case: Case, said: Segmentation, measure: _Measure
) -> tuple[dict[str, Figures], Mapping[str, float]]:
    """Figures by structure, and those of the background where every structure is known."""
    grid, setting, surfaces = case.volume.grid, measure.setting, measure.surfaces
    found: dict[str, Figures] = {}
    truths, answers = np.zeros(grid.shape_zyx, bool), np.zeros(grid.shape_zyx, bool)
    for name in setting.structures:
        if name not in case.masks:
            continue
        truth = case.masks[name]
        answer = (
            said.structures[name].mask(grid.shape_zyx) if name in said.structures else np.zeros_like(truth)
        )
        found[name] = figures(truth, answer, grid, setting.tolerance_mm, surfaces=surfaces)
        if measure.watch is not None:
            measure.watch(case, name, found[name], truth, answer)
        truths |= truth
        answers |= answer
    known = len(found) == len(setting.structures)
    return found, background_figures(truths, answers, grid, surfaces=surfaces) if known else {}
