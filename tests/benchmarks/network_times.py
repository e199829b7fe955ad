"""Milliseconds a CT of one network: its plain self in float32 beside ours as the product runs it, by turns."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Final

import torch
from benchmarks.gpu_report import Budget, OutOfTime, Report, timed
from torch import Tensor, nn

from models.cards.input_card import Channel, InputCard
from models.compiled import CompiledNetwork
from models.network_layout import for_inference
from models.network_run import attempts
from models.networks import NETWORKS, build
from models.sliding_window import Look, blended, look_at

SLICES: Final = 200  # of a CT
TILES: Final = 16  # of 96 x 96 x 144, of the body in it: 110 x 160 voxels of 3 mm
_CLASSES: Final = 15  # fourteen structures and background, whatever the paper's network had
_PLAIN_AT_A_TIME: Final = 4
_COMPILERS: Final = 8  # processes
_SECONDS_EACH: Final = 10.0  # to load a network that is compiled and to measure it


@dataclass
class NetworkCase:
    """One network at full width, or narrow and small, what it is shown, and how many of these a CT has."""

    name: str
    device: torch.device
    small: bool
    card: InputCard = field(init=False)
    look: Look = field(init=False)
    batch: int = field(init=False)

    def __post_init__(self) -> None:
        entry = NETWORKS[self.name]
        side = 64 if self.small else 256
        flat = entry.dimensions == 2
        patch = (1, side, side) if flat else ((16, 32, 32) if self.small else (96, 96, 144))
        channels = tuple(Channel((-1000, 1000), 0, 500) for _ in range(entry.in_channels))
        self.card = InputCard((3.0, 3.0, 3.0), patch, 0.0, -1000, channels)
        self.batch = attempts(self.device, patch)[0].batch
        count = self.batch if self.device.type == "cuda" else min(self.batch, 1) * 2
        hu = (torch.randn((count * patch[0], *patch[1:]), device=self.device) * 200).clamp_(
            min=-200
        )  # no air
        self.look = look_at(hu, self.card)
        self.shown = count
        self.a_ct = SLICES if flat else TILES

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what ours is shown at a time."""
        tile = self.look.tile_zyx
        return self.batch, self.card.in_channels, *(tile[1:] if self.card.dimensions == 2 else tile)

    def network(self) -> nn.Module:
        """The network with its first weights, as PyTorch gives it."""
        entry = NETWORKS[self.name]
        torch.manual_seed(0)
        arguments = {"width": 0.25} if self.small else {}
        found = build(self.name, in_channels=entry.in_channels, classes=_CLASSES, **arguments)
        return found.eval().requires_grad_(requires_grad=False).to(self.device)

    @property
    def precision(self) -> torch.dtype:
        """Of ours."""
        return torch.float16 if self.device.type == "cuda" else torch.float32

    def ms(self, network: Callable[[Tensor], Tensor], batch: int, precision: torch.dtype) -> float:
        """Of one CT, by what a few tiles take."""
        with timed(self.device) as seconds:
            blended(network, self.look, self.card, batch=batch, precision=precision)
        return seconds[0] * 1000 * self.a_ct / self.shown


def eager_ms(case: NetworkCase, rounds: int) -> dict[str, float]:
    """Medians of plain float32, four at a time, and of ours, layer by layer, by turns; without the first."""
    ways: dict[str, tuple[nn.Module, int, torch.dtype]] = {
        "plain_ms": (case.network(), _PLAIN_AT_A_TIME, torch.float32),
        "ours_ms": (for_inference(case.network(), case.device), case.batch, case.precision),
    }
    if case.device.type == "cuda":
        ways["plain_layout_ms"] = (_folded_only(case), case.batch, case.precision)
    spent: dict[str, list[float]] = {what: [] for what in ways}
    for _ in range(1 + rounds):
        for what, way in ways.items():
            spent[what].append(case.ms(*way))
    return {what: statistics.median(each[1:]) for what, each in spent.items()}


def _folded_only(case: NetworkCase) -> nn.Module:
    """Ours with its weights laid out as PyTorch gives them: what channels-last gains or costs."""
    network = for_inference(case.network(), case.device)
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous()
    return network


def add_eager(
    report: Report, budget: Budget, names: Sequence[str], device: torch.device, *, small: bool
) -> None:
    """A row for each network."""
    for name in names:
        if budget.left < 4:
            raise OutOfTime
        try:
            spent = eager_ms(NetworkCase(name, device, small), rounds=1 if budget.left < 40 else 2)
        except RuntimeError as error:
            report.add("networks", name, reason=str(error)[:120])
            continue
        report.add("networks", name, ratio=spent["plain_ms"] / spent["ours_ms"], **spent)


def add_compiled(
    report: Report, budget: Budget, names: Sequence[str], device: torch.device, *, small: bool
) -> None:
    """A row for each network, the ones that need it most first, as far as the budget reaches.

    Several are compiled at a time in processes of their own, which fill the cache; each is measured alone.
    """
    ratios = {
        row["what"]: row["ratio"] for row in report.rows if row["part"] == "networks" and "ratio" in row
    }
    order = sorted(names, key=lambda name: ratios.get(name, 0.0))
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "2")
    done: list[str] = []
    for name in compiled_on_disk(order, device, small, budget.left / 2):
        done.append(name)
        if budget.left < _SECONDS_EACH * len(done):
            break
    report.add("compiled-networks", "compiling", count=len(done), budget_left=budget.left)
    for name in (one for one in order if one in done):
        case = NetworkCase(name, device, small)
        try:
            spent = eager_ms(case, rounds=1)
            compiled = compiled_ms(case, rounds=3)
        except RuntimeError as error:
            report.add("compiled-networks", name, reason=str(error)[:120])
            continue
        if compiled is None:
            report.add("compiled-networks", name, reason="it could not be compiled")
            continue
        eager = spent.pop("ours_ms")
        report.add(
            "compiled-networks", name, ratio=spent["plain_ms"] / compiled, ours_ms=compiled, eager_ms=eager, **spent
        )  # fmt: skip


def compiled_on_disk(
    names: Sequence[str], device: torch.device, small: bool, seconds: float
) -> Iterator[str]:
    """Names as they are compiled; what is not asked for any more, or takes longer than that, is given up."""
    pool = ProcessPoolExecutor(_COMPILERS, mp_context=multiprocessing.get_context("spawn"))
    try:
        jobs = [pool.submit(compile_once, name, str(device), small) for name in names]
        with contextlib.suppress(TimeoutError):
            for job in as_completed(jobs, seconds):
                if job.exception() is None:
                    yield job.result()
    finally:
        children = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for child in children:
            child.terminate()


def compile_once(name: str, device: str, small: bool) -> str:
    """Fill the compiler's cache on disk with one network."""
    _compiled(NetworkCase(name, torch.device(device), small))
    return name


def compiled_ms(case: NetworkCase, rounds: int) -> float | None:
    """Median of ours compiled and warm, as the product runs it once it is; None if it cannot be compiled."""
    compiled = _compiled(case)
    spent = []
    with compiled.held(case.shape, case.precision) as ready:
        if not ready:
            return None
        for _ in range(1 + rounds):
            spent.append(case.ms(compiled, case.batch, case.precision))
    return statistics.median(spent[1:])


def _compiled(case: NetworkCase) -> CompiledNetwork:
    compiled = CompiledNetwork(for_inference(case.network(), case.device), case.device)
    compiled.ask(case.shape, case.precision, wait=True)
    return compiled
