"""How often a control chart tells of a drift that is none, and how soon of one that is: the table of docs/quality.md.

``make false-alarms`` prints it; a minute for 4000 charts a line.
"""

from __future__ import annotations

import argparse
from statistics import NormalDist

import numpy as np

from service.evaluation.control_chart import Smoothing

CASES = 400
SHIFTS = (1.0, 2.0, 4.0)


def told_at(base: np.ndarray, drawn: np.ndarray, smoothing: Smoothing) -> np.ndarray:
    """The case at which each of many charts tells of a drift, from 1; one more than there are if none.

    Args:
        base: ``(charts, n)`` values of the commissioning.
        drawn: ``(charts, cases)`` values after it; larger is better.
    """
    n, cases = base.shape[1], drawn.shape[1]
    scores = np.array([NormalDist().inv_cdf((rank + 0.5) / (n + 1)) for rank in range(n + 1)])
    average, told = np.zeros(len(drawn)), np.full(len(drawn), cases + 1)
    for k in range(1, cases + 1):
        ranks = (base < drawn[:, k - 1, None]).sum(axis=1)
        average += smoothing.weight * (scores[ranks] - average)
        told[(average < smoothing.limit(k, n)) & (told > cases)] = k
    return told


def run_lengths(
    n: int, smoothing: Smoothing, shift: float, charts: int, rng: np.random.Generator
) -> np.ndarray:
    """For a commissioning of ``n`` cases and a shift by so many standard deviations after it.

    All are drawn from one normal distribution; ranks make every other continuous distribution the same.
    """
    base, drawn = rng.normal(size=(charts, n)), rng.normal(size=(charts, CASES)) - shift
    return told_at(base, drawn, smoothing)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--charts", type=int, default=4000)
    asked.add_argument("--weight", type=float, default=0.1)
    asked.add_argument("--width", type=float, default=3.0)
    told = asked.parse_args()
    smoothing, rng = Smoothing(told.weight, told.width), np.random.default_rng(1)
    print(
        "| commissioning | false alarm within 50 / 100 / 200 / 400 cases | cases until a shift by 1 / 2 / 4 is told |"
    )
    print("|---|---|---|")
    for n in (20, 30, 50):
        none = run_lengths(n, smoothing, 0.0, told.charts, rng)
        false = " / ".join(f"{100 * (none <= k).mean():.1f}" for k in (50, 100, 200, 400))
        soon = " / ".join(
            f"{np.median(run_lengths(n, smoothing, each, told.charts // 2, rng)):.0f}" for each in SHIFTS
        )
        print(f"| {n} | {false} % | {soon} |", flush=True)


if __name__ == "__main__":
    main()
