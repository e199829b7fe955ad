"""A derivation in words, as it stands in the ROI Description and in its hash."""

from __future__ import annotations

from collections.abc import Iterable

from service.config.derivation import DIRECTIONS, AwayFrom, DerivedStructure, Margins, Step


def in_words(made: DerivedStructure) -> str:
    """``A_Iliac_L, A_Iliac_R: margin 7 mm; outside Sacrum``."""
    steps = "; ".join(step_in_words(step) for step in made.in_order)
    return f"{_names(made.sources)}: {steps}" if steps else _names(made.sources)


def step_in_words(step: Step) -> str:
    """``margin 7 mm``."""
    if step.union is not None:
        return f"with {_names(step.union)}"
    if step.intersection is not None:
        return f"only within {_names(step.intersection)}"
    if step.difference is not None:
        return f"without {_names(step.difference)}"
    if step.margin is not None:
        return f"margin {step.margin:g} mm"
    if step.margins is not None:
        return _margins(step.margins)
    if step.ring is not None:
        return f"ring from {step.ring.inner:g} to {step.ring.outer:g} mm"
    if step.inside is not None:
        near = f", {step.inside.mm:g} mm from its surface" if step.inside.mm else ""
        return f"inside {step.inside.structure}{near}"
    return _away_from(step.away_from) if step.away_from is not None else _shape(step)


def _shape(step: Step) -> str:
    if step.fill_holes is not None:
        return "cavities filled" if step.fill_holes == "cavities" else "holes filled on each slice"
    if step.smooth is not None:
        return f"smoothed by {step.smooth:g} mm"
    return "largest piece"


def _margins(margins: Margins) -> str:
    each = [f"{side} {getattr(margins, side):g}" for side in DIRECTIONS if getattr(margins, side)]
    return f"margins {', '.join(each)} mm"


def _away_from(step: AwayFrom) -> str:
    named = [step.structures] if isinstance(step.structures, str) else step.structures
    return f"{step.mm:g} mm away from {_names(named)}" if step.mm else f"outside {_names(named)}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)
