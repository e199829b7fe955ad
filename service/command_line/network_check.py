"""Whether networks can learn at their published width: two small cases, by heart."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_STEPS = 200
_GOAL = 0.95


def check_networks(names: list[str], device: str, *, every: bool = False) -> int:
    """Build each at full width and overfit it, with a bar and a result line; how many did not learn."""
    import typer
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from models.cards.card import BundleError
    from models.network_run import device_named
    from models.networks import NETWORKS

    unknown = [name for name in names if name not in NETWORKS]
    if unknown:
        raise typer.BadParameter(
            f"{', '.join(unknown)}: neither a bundle (name@version) nor a network; "
            "delineate models networks lists those that there are"
        )
    try:
        place = device_named(device)
    except (BundleError, RuntimeError) as error:
        raise typer.BadParameter(str(error)) from error
    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("step {task.completed} of at most {task.total}, DSC {task.fields[dsc]:.3f}"),
        TimeElapsedColumn(),
    )
    failed = 0
    with Progress(*columns, console=console, transient=True) as progress:
        for name in NETWORKS if every else names:
            task = progress.add_task(name, total=_STEPS, dsc=0.0)

            def report(step: int, dsc: float, task=task) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
                progress.update(task, completed=step, dsc=dsc)

            learned, line = _checked(name, place, report)
            failed += not learned
            progress.remove_task(task)
            console.print(line)
    return failed


def _checked(name: str, device: torch.device, report: Callable[[int, float], None]) -> tuple[bool, str]:
    """Whether it learned, and the line that says so."""
    import torch

    from models.networks import NETWORKS, build
    from models.training.learning.overfit import STRUCTURES, overfit

    entry = NETWORKS[name]
    steps = 0

    def count(step: int, dsc: float) -> None:
        nonlocal steps
        steps = step
        report(step, dsc)

    torch.manual_seed(0)
    began = time.monotonic()
    network = build(name, in_channels=entry.in_channels, classes=STRUCTURES).to(device)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    dsc = overfit(
        network,
        entry.dimensions,
        in_channels=entry.in_channels,
        goal=_GOAL,
        steps=_STEPS,
        learning_rate=entry.full_width_rate,
        report=count,
    )
    took = time.monotonic() - began
    learned = dsc > _GOAL
    result = f"{'learns' if learned else 'DOES NOT LEARN'}  DSC {dsc:.3f} after {steps} steps"
    return learned, f"{name}  {result}, {parameters:,} parameters, {took:.0f} s on {device}"
