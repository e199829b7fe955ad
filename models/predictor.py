"""The one door to a model: a card in, a ``Predictor``; a CT volume in, a ``Segmentation`` out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import torch

from models.cards.card import BundleError, Card
from models.cards.catalog import content_sha256
from models.found_structures import FoundStructures
from models.network_answer import parts_of
from models.network_run import NetworkRun, device_named
from models.plausibility import FieldOfView, check_sides, check_structure, side_unknown
from models.postprocess import kept, postprocess
from models.runtimes.monai_run import MonaiRun
from models.runtimes.nnunet_predictor import NnunetPredictorRun
from models.runtimes.nnunet_run import NnunetRun
from models.runtimes.program import Answer, as_field, load_program
from models.stages import Stages
from models.volume import CtVolume, Finding, Provenance, Segmentation, StructureField

Progress = Callable[[float], None]

ModelFromElsewhere = NnunetRun | NnunetPredictorRun | MonaiRun

_FROM_ELSEWHERE: Final[Mapping[str, type[NnunetRun] | type[NnunetPredictorRun] | type[MonaiRun]]] = {
    "nnunet": NnunetRun,
    "nnunet-predictor": NnunetPredictorRun,
    "monai": MonaiRun,
}
_SHARE_OF_NETWORK: Final = 0.8  # of the progress that is told


class OutputNotFinite(ValueError):
    """The model answered with NaN or infinity; nothing of it may be used."""

    code = "model.not-finite"

    def __init__(self, reference: str) -> None:
        super().__init__(f"{reference} gave numbers that are not finite; nothing of its answer is used.")


class Predictor:
    """A model that is ready to run. ``segment`` may be called any number of times, from one thread."""

    def __init__(self, card: Card, device: str = "auto", precision: str | None = None) -> None:
        self.card = card
        self._network: NetworkRun | None = None
        self._elsewhere: ModelFromElsewhere | None = None
        wanted = None if precision is None else getattr(torch, precision)
        if card.kind == "network":
            self._network = NetworkRun(card, device_named(device), wanted)
            self._sha256 = self._network.sha256
        elif card.kind == "program":
            self._program = load_program(card)
            self._sha256 = content_sha256(card)
        else:
            self._elsewhere = _FROM_ELSEWHERE[card.kind](card, device_named(device), wanted)
            self._sha256 = self._elsewhere.sha256

    def warm(self) -> None:
        """On a GPU, have the network compiled in the background; until it is, CTs run eagerly."""
        if self._network is not None and self._network.device.type != "cpu":
            self._network.compile()

    def compile(self) -> None:
        """Have the network compiled, on a processor too, and wait for it."""
        if self._network is not None:
            self._network.compile(wait=True)

    def segment(
        self,
        volume: CtVolume,
        structures: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Segmentation:
        """What the model says of ``volume``.

        Args:
            volume: on any grid whose axes are within 25 degrees of the patient's.
            structures: those wanted, by the names of the card; None for all.
            progress: told the part that is done, 0 to 1.

        Raises:
            BundleError: ``model.structure-unknown``.
            OutsideTrainedRegion: the CT does not show what the model knows.
            OutputNotFinite: the model answered with NaN.
        """
        wanted = tuple(self.card.structures if structures is None else structures)
        unknown = [name for name in wanted if name not in self.card.structures]
        if unknown:
            sentence = f"{self.card.reference} does not offer {', '.join(unknown)}."
            raise BundleError("model.structure-unknown", sentence)
        run = _Run(self.card, volume, wanted, progress or (lambda _part: None))
        if self._network is not None:
            run.ask_network(self._network)
        elif self._elsewhere is not None:
            run.ask_elsewhere(self._elsewhere)
        else:
            with run.stages.stage("program"):
                answers = self._program(volume)
                run.fields = _fields_of(answers, wanted, volume)
        return run.segmentation(self._sha256)


def load(card: Card, device: str = "auto", precision: str | None = None) -> Predictor:
    """The model of a card, its hash checked, on ``device``: ``auto``, ``cuda`` (or ``cuda:1``), ``cpu``.

    ``precision``: ``float32``, ``float16`` or ``bfloat16``; None for the device's own.

    Raises:
        BundleError: the bundle does not fit its card, or the device is not there.
    """
    return Predictor(card, device, precision)


def _fields_of(
    answers: Mapping[str, Answer], wanted: Sequence[str], volume: CtVolume
) -> dict[str, StructureField]:
    found = {name: as_field(answers[name], volume.hu.shape) for name in wanted if name in answers}
    return {name: field for name, field in found.items() if field is not None}


def _gpu_peak() -> int:
    """Most bytes allocated on the GPU since this was last asked; 0 without one."""
    if not torch.cuda.is_available():
        return 0
    peak = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return peak


class _Run:
    """One segmentation while it is made."""

    def __init__(self, card: Card, volume: CtVolume, wanted: Sequence[str], progress: Progress) -> None:
        self.fields: dict[str, StructureField] = {}
        self._card = card
        self._volume = volume
        self._wanted = wanted
        self._progress = progress
        self._findings: list[Finding] = []
        self._parts: dict[str, tuple[float, ...]] = {}
        self.stages = Stages(_gpu_peak)
        self._side_unknown: set[str] = set()
        self._steps_down: tuple[str, ...] = ()
        self._device, self._precision, self._mode, self._runtime = "cpu", "float32", "eager", ""

    def ask_network(self, network: NetworkRun) -> None:
        """Run the network and bring each structure back to the CT's grid."""
        answer = network.run(self._volume, lambda part: self._progress(part * _SHARE_OF_NETWORK), self.stages)
        self._steps_down, self._mode = answer.steps_down, answer.mode
        self._device, self._precision = answer.device, answer.precision
        self._runtime = network.runtime
        if not answer.is_finite:
            raise OutputNotFinite(self._card.reference)
        with self.stages.stage("region"):
            self._findings += answer.check_region()
        names = self._needed()
        with self.stages.stage("fields"):
            found_structures = FoundStructures(self._card, answer)
            for done, (name, found) in enumerate(found_structures.of(names), start=1):
                self._parts[name] = found.parts_cm3
                if found.side_unknown:
                    self._side_unknown.add(name)
                if found.field is not None:
                    self.fields[name] = found.field
                self._progress(_SHARE_OF_NETWORK + (1 - _SHARE_OF_NETWORK) * done / len(names))

    def ask_elsewhere(self, model: ModelFromElsewhere) -> None:
        """Run a model from elsewhere, which gives fields on the CT's grid."""
        names = self._needed()
        answer = model.run(
            self._volume, names, lambda part: self._progress(part * _SHARE_OF_NETWORK), self.stages
        )
        self._steps_down, self._runtime = answer.steps_down, model.runtime
        self._device, self._precision = answer.device, answer.precision
        if not answer.finite:
            raise OutputNotFinite(self._card.reference)
        voxel_cm3 = float(self._volume.grid.voxel_volumes_mm3().mean()) / 1000
        for name, field in answer.fields.items():
            steps = self._card.structures[name].postprocess
            parts = parts_of(field.field > 0)
            volumes_cm3 = parts.voxels * voxel_cm3
            self._parts[name] = tuple(sorted((float(v) for v in volumes_cm3), reverse=True))
            box = parts.box_of(kept(volumes_cm3, steps))
            if box is not None:
                part, _ = postprocess(field.field[box].copy(), steps, voxel_cm3)
                z, y, x = (first + one.start for first, one in zip(field.corner_zyx, box, strict=True))
                self.fields[name] = StructureField(part, (z, y, x), field.from_mask)

    def _needed(self) -> list[str]:
        """Structures that are wanted, and those that tell whether their sides are right."""
        partners = {name for pair in self._card.pairs if set(pair) & set(self._wanted) for name in pair}
        return [n for n in self._card.structures if n in {*self._wanted, *partners, *self._card.midline}]

    def segmentation(self, sha256: str) -> Segmentation:
        """Everything found, checked for plausibility."""
        if not all(np.isfinite(field.field).all() for field in self.fields.values()):
            raise OutputNotFinite(self._card.reference)
        grid = self._volume.grid
        with self.stages.stage("plausibility"):
            sides = check_sides(self._card, self.fields, grid)
            self._findings += [finding for finding in sides if finding.structure in self._wanted]
            field_of_view = FieldOfView.of(self._volume)
            kept: dict[str, StructureField] = {}
            self._findings += [side_unknown(name) for name in self._wanted if name in self._side_unknown]
            withheld = {finding.structure for finding in sides} | self._side_unknown
            for name in self._wanted:
                if name in withheld:
                    continue
                field = self.fields.get(name)
                of_card = self._card.structures[name]
                self._findings += check_structure(
                    name, of_card, field, grid, field_of_view, self._parts.get(name, ())
                )
                if field is not None:
                    kept[name] = field
        provenance = Provenance(
            model=self._card.name,
            version=self._card.version,
            sha256=sha256,
            validated=self._card.validated,
            device=self._device,
            precision=self._precision,
            steps_down=self._steps_down,
            mode=self._mode,
            runtime=self._runtime,
        )
        self._progress(1.0)
        return Segmentation(kept, provenance, tuple(self._findings), self.stages.seconds, self.stages.peaks)
