"""Everything a commissioning report needs, from where it lies: ledger, bundles, CT and structure sets."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from models.cards.card import BundleError
from models.cards.catalog import content_sha256, find_bundle
from service.errors import NodeError
from service.evaluation.commissioning_report import (
    CasePicture,
    CommissioningReport,
    ModelUnderTest,
    agreement_under_test,
    structures_under_test,
)
from service.node.reviewed_case import picture_of, reviewed_case

if TYPE_CHECKING:
    from service.backlog.ledger import Ledger
    from service.backlog.review_records import ReviewedStructure
    from service.config.reader import LoadedSite
    from service.evaluation.overview import Overview
    from service.evaluation.quality import Plan


def commissioning_report(
    found: Overview, plan: Plan, loaded: LoadedSite, ledger: Ledger, made: str
) -> CommissioningReport:
    """Of everything that was found; ``made`` says when."""

    def picture(case: ReviewedStructure, place: str) -> CasePicture | None:
        try:
            return picture_of(reviewed_case(loaded, ledger, case), place)
        except NodeError:  # its files were deleted, or cannot be read any more: the report says so
            return None

    structures = structures_under_test(found.charts, picture)
    references = dict.fromkeys(each.chart.group.model for each in structures)
    return CommissioningReport(
        node=loaded.site.node.ae_title,
        made=made,
        software=version("delineate"),
        configuration=loaded.version,
        models=[_model(each, loaded) for each in references],
        structures=structures,
        agreement=agreement_under_test(structures),
        rule=_rule(plan),
    )


def _model(reference: str, loaded: LoadedSite) -> ModelUnderTest:
    try:
        card = find_bundle(reference, loaded.bundle_folders)
    except BundleError:
        gone = "the node does not have this bundle"
        return ModelUnderTest(reference, gone, validated=False, validation=gone, intended_use=gone)
    try:
        sha256 = content_sha256(card)
    except BundleError:
        sha256 = "ITS FILES ARE NOT WHAT THE CARD SAYS"
    return ModelUnderTest(reference, sha256, card.validated, card.validation, card.intended_use)


def _rule(plan: Plan) -> str:
    cases = (
        f"the first {plan.cases} reviewed cases of each structure, protocol and model version"
        if plan.window is None
        else "the cases that were reviewed on the days that the configuration names"
    )
    return (
        f"Commissioning: {cases}. Limit of single cases: the median and three standard deviations as the "
        "quartile on the bad side has them. Drift: a moving average of ranks (weight "
        f"{plan.smoothing.weight:g}) beyond {plan.smoothing.width:g} standard deviations; watched is "
        f"{plan.measure.label}."
    )
