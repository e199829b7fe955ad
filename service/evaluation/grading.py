"""The grade that a structure's measures would be given, by the rules of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING

from service.backlog.review_records import GRADES

if TYPE_CHECKING:
    from service.config.evaluation_section import GradeLimits, GradeRules


def estimated_grade(measures: Mapping[str, float], rules: GradeRules) -> str | None:
    """The best grade whose limits all hold, the last one if none do; None without measures."""
    if not measures:
        return None
    *with_limits, last = GRADES
    return next((grade for grade in with_limits if _keeps(measures, getattr(rules, grade))), last)


def _keeps(measures: Mapping[str, float], limits: GradeLimits) -> bool:
    """A measure that does not exist, such as a distance to nothing, keeps no limit."""
    low = all(measures.get(name, -inf) >= value for name, value in limits.at_least.items())
    return low and all(measures.get(name, inf) <= value for name, value in limits.at_most.items())
