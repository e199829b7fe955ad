"""The network's half of the benchmark ``infer`` on a GPU: one program, a budget in seconds, a table and JSON.

Three runs measure every bar of a GPU, each with a budget and a file of its own (``--out FOLDER``):

    infer_on_gpu.py --seconds 100 --only ours monai rtstruct compiled networks
    infer_on_gpu.py --seconds 180 --only nnunet
    infer_on_gpu.py --seconds 300 --only compiled-networks

It needs torch, NumPy, cc3d and PyYAML; MONAI and nnU-Net where they are installed; DICOM libraries for ``rtstruct``.
A part that fails says so and the next begins; at its budget it stops with what it has, and always says which bars hold.
``--device cpu --small`` shows anywhere that it runs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

import torch  # noqa: E402
from benchmarks import infer_peers, network_times, painted_case  # noqa: E402
from benchmarks.agreement import dscs, same_bits  # noqa: E402
from benchmarks.gpu_bars import add_bars  # noqa: E402
from benchmarks.gpu_report import Budget, OutOfTime, Report, timed  # noqa: E402

from models.cards.card import read_card  # noqa: E402
from models.cards.catalog import SHIPPED  # noqa: E402
from models.network_layout import for_inference  # noqa: E402
from models.networks import NETWORKS  # noqa: E402
from models.predictor import Predictor, load  # noqa: E402
from models.synthetic_ct.phantoms.phantom import NEVER_TRAINED_FROM_SEED, pelvic_phantom  # noqa: E402
from models.volume import Segmentation  # noqa: E402

PARTS = (
    "ours", "monai", "nnunet-network", "rtstruct", "agreement", "compiled", "networks", "compiled-networks", "nnunet",
)  # fmt: skip
FAILURES = (
    ImportError, RuntimeError, LookupError, TypeError, ValueError, AttributeError, OSError, AssertionError, MemoryError,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=tuple(NETWORKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "build/bench")))
    asked = parser.parse_args()
    budget = Budget(asked.seconds)
    device = torch.device(asked.device)
    on_gpu = device.type == "cuda"
    facts = {
        "device": torch.cuda.get_device_name() if on_gpu else "cpu", "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(), "small": asked.small, "seconds": asked.seconds,
    }  # fmt: skip
    report = Report(asked.out, facts)
    print(facts, flush=True)
    with tempfile.TemporaryDirectory() as scratch, contextlib.suppress(OutOfTime):
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", f"{scratch}/inductor")
        os.environ.setdefault("TRITON_CACHE_DIR", f"{scratch}/triton")
        session = Session(asked, device, budget, report, Path(scratch))
        report.add("start", "the case", spent=time.perf_counter() - budget.started)
        for part in (one for one in PARTS if one in asked.only):
            try:
                getattr(session, part.replace("-", "_"))()
            except OutOfTime:
                report.add(part, "broken off", reason="the budget is spent")
                raise
            except FAILURES as error:
                report.add(part, "failed", reason=f"{type(error).__name__}: {error}"[:300])
    signal.setitimer(signal.ITIMER_REAL, 0)
    add_bars(report)
    report.add("end", "seconds", spent=time.perf_counter() - budget.started)


class Session:
    """The parts, each a method; models that are loaded once stay."""

    def __init__(
        self, asked: argparse.Namespace, device: torch.device, budget: Budget, report: Report, scratch: Path
    ) -> None:
        self._rounds, self._small, self._names = asked.rounds, asked.small, asked.networks
        self._device, self._budget, self._report = device, budget, report
        self._scratch = scratch
        self._size = painted_case.SMALL if asked.small else painted_case.FULL
        self._card = painted_case.painted_bundle(scratch / "bundle", self._size)
        self._ct = painted_case.painted_ct(self._size)
        self._best: Predictor | None = None
        self._segmented: dict[str, Segmentation] = {}

    def ours(self) -> None:
        """Each precision, eager; float32 last, once: it is slow."""
        on_gpu = self._device.type == "cuda"
        for precision in ("float16", "bfloat16", "float32") if on_gpu else ("float32", "bfloat16"):
            predictor = load(self._card, str(self._device), precision)
            rounds = 1 if precision == "float32" else self._rounds
            product = precision == ("float16" if on_gpu else "float32")
            self._segmented[precision] = self._ours(
                f"ours eager {precision}", predictor, rounds, product=product
            )
            self._best = self._best or predictor
        for precision, found in self._segmented.items():
            found_dscs = dscs(self._segmented["float32"], found, self._ct)
            self._report.add("agreement", f"painted {precision} eager", least=min(found_dscs.values()))
        if on_gpu:
            self._layouts()

    def _layouts(self) -> None:
        """The same channels-last, its norms replaced as on a processor: a tile at a time, and four."""
        for batch in (1, 4):
            predictor = load(self._card, str(self._device), "float16")
            run = predictor._network
            assert run is not None
            for_inference(run._network.to("cpu"), torch.device("cpu")).to(self._device)
            run._ways = tuple(replace(way, batch=batch) for way in run._ways if way.mode == "eager")
            self._ours(f"ours eager float16, channels last, {batch} at a time", predictor, 1)

    def compiled(self) -> None:
        """Compile once from an empty cache, then run."""
        predictor = self._best or load(self._card, str(self._device))
        started = time.perf_counter()
        predictor.compile()
        self._report.add("compiled", "compiling, cold", seconds=time.perf_counter() - started)
        precision = "float16" if self._device.type == "cuda" else "float32"
        found = self._ours(f"ours compiled {precision}", predictor, self._rounds, product=True)
        if "float32" in self._segmented:
            found_dscs = dscs(self._segmented["float32"], found, self._ct)
            self._report.add("agreement", f"painted {precision} compiled", least=min(found_dscs.values()))

    def _ours(self, what: str, predictor: Predictor, rounds: int, *, product: bool = False) -> Segmentation:
        first = predictor.segment(self._ct)
        found = [first]
        whole = []
        for _ in range(rounds):
            with timed(self._device) as seconds:
                found.append(predictor.segment(self._ct))
            whole.append(seconds[0])
        best = min(found[1:], key=lambda one: sum(one.seconds.values()))
        stages = {name: round(spent, 4) for name, spent in best.seconds.items()}
        native = statistics.median(_native_seconds(one) for one in found[1:])
        self._report.add(
            "ours", what, seconds=native, with_checks=statistics.median(whole),
            gpu_gib=max(peak.on_gpu for peak in first.peaks.values()) / 2**30,
            mode=best.provenance.mode, precision=best.provenance.precision,
            device=best.provenance.device, steps_down=list(best.provenance.steps_down), stages=stages,
            product=product,
        )  # fmt: skip
        self._report.add("ours", f"{what}: twice the same", bits=same_bits(found[-1], found[-2]))
        return found[-1]

    def monai(self) -> None:
        """MONAI's window in its default precision, float32, and in ours, everything on the device; by turns with ours."""
        both = (torch.float16, torch.float32) if self._device.type == "cuda" else (torch.float32,)
        self._beside("monai", {
            f"monai {str(precision).removeprefix('torch.')}": self._window(precision) for precision in both
        })  # fmt: skip

    def _window(self, precision: torch.dtype) -> Callable[[], object]:
        run = infer_peers.monai_window(self._card, self._device, precision)
        return lambda: run(self._ct)

    def nnunet_network(self) -> None:
        """nnU-Net's tiles alone, on a CT that is already at 3 mm: no resampling in either direction."""
        assert self._card.input is not None
        channel = self._card.input.channels[0]
        self._predictor = infer_peers.nnunet_predictor(self._card, self._device)
        small = torch.nn.functional.interpolate(
            torch.from_numpy(self._ct.hu).to(self._device).float()[None, None],
            size=[self._size.slices, 167, 167], mode="trilinear",
        )  # fmt: skip
        data = ((small[0].clamp(*channel.clip_hu) - channel.subtract_hu) / channel.divide_hu).cpu()
        run = self._predictor.predict_logits_from_preprocessed_data
        self._beside("nnunet's tiles", {"nnunet, tiles alone": lambda: run(data)})

    def nnunet(self) -> None:
        """nnU-Net from CT to labels once, its own resampling on the CPU included, ours before and after it."""
        predictor = infer_peers.nnunet_predictor(self._card, self._device)
        own = self._best or load(self._card, str(self._device))
        own.segment(self._ct)
        ours = [_native_seconds(own.segment(self._ct)) for _ in range(2)]
        self._report.add("ours", "ours beside nnunet", seconds=statistics.median(ours))
        spent, started = {}, time.perf_counter()
        for step in infer_peers.nnunet_in_steps(predictor, self._ct):
            so_far = time.perf_counter() - started
            spent[step] = so_far - sum(spent.values())
            self._report.replace("peer", "nnunet, so far", seconds=so_far, **spent)
        self._report.add("peer", "nnunet, whole", seconds=sum(spent.values()), **spent)
        again = _native_seconds(own.segment(self._ct))
        self._report.add("ours", "ours after nnunet", seconds=again)

    def _beside(self, who: str, peers: dict[str, Callable[[], object]]) -> None:
        """Ours and each peer by turns, the first round not counted."""
        own = self._best = self._best or load(self._card, str(self._device))
        ours: list[float] = []
        spent: dict[str, list[float]] = {what: [] for what in peers}
        peaks = dict.fromkeys(peers, 0)
        for _ in range(1 + self._rounds):
            ours.append(_native_seconds(own.segment(self._ct)))
            for what, run in peers.items():
                if self._device.type == "cuda":
                    torch.cuda.empty_cache()
                    torch.cuda.reset_peak_memory_stats()
                with timed(self._device) as seconds:
                    run()
                spent[what].append(seconds[0])
                if self._device.type == "cuda":
                    peaks[what] = torch.cuda.max_memory_allocated()
                    torch.cuda.empty_cache()
        self._report.add("ours", f"ours beside {who}", seconds=statistics.median(ours[1:]))
        for what, each in spent.items():
            self._report.add("peer", what, seconds=statistics.median(each[1:]), gpu_gib=peaks[what] / 2**30)

    def rtstruct(self) -> None:
        """Volume in memory to the bytes of the structure set, read back and compared; needs pydicom, pydantic."""
        from benchmarks.workers.write_ours import encode

        from service.contouring.ct_series import CtSeries
        from service.contouring.read_back import check
        from service.contouring.structure_names import rois_named
        from service.dicom.ct_writer import write_ct

        files = write_ct(self._scratch / "ct", self._ct.hu, self._ct.grid)
        series = CtSeries.read(files)
        predictor = self._best or load(self._card, str(self._device))
        rounds = []
        for _ in range(1 + self._rounds):
            start = time.perf_counter()
            found = predictor.segment(self._ct)
            segmented = time.perf_counter()
            encoded = encode(series, found, "")
            made = time.perf_counter()
            check(encoded, found, series, rois_named(found.structures))
            rounds.append((made - start, segmented - start, made - segmented, time.perf_counter() - made))
        whole, model, writing, reading = (
            statistics.median(column) for column in zip(*rounds[1:], strict=True)
        )
        self._report.add(
            "ours", "volume to RTSTRUCT bytes", seconds=whole, model=model, contours_and_bytes=writing,
            read_back=reading, bytes=len(encoded), structures=len(found.structures),
        )  # fmt: skip

    def agreement(self) -> None:
        """DSC of the trained bundle that ships on a phantom: each way to run it against float32 on the CPU."""
        card = read_card(SHIPPED / "pelvis-ct" / "card.yaml")
        patient = pelvic_phantom(NEVER_TRAINED_FROM_SEED)
        pixel, slice_mm = (4.0, 5.0) if self._small else (2.0, 3.0)
        volume = patient.sample(patient.grid(pixel_mm=pixel, slice_mm=slice_mm)).volume
        truth = load(card, "cpu").segment(volume)
        half = ("float16", "bfloat16") if self._device.type == "cuda" else ("bfloat16",)
        ways = [("float32", False), *((one, False) for one in half), (None, True)]
        for precision, compiled in ways:
            if compiled and self._budget.left < 100:
                break  # compiling takes too long for what is left
            predictor = load(card, str(self._device), precision)
            if compiled:
                predictor.compile()
            found = predictor.segment(volume)
            found_dscs = dscs(truth, found, volume)
            what = f"{card.reference} {found.provenance.precision} {found.provenance.mode}"
            self._report.add("agreement", what, least=min(found_dscs.values()), dsc=found_dscs)

    def networks(self) -> None:
        """Ms per CT of every network, layer by layer: plain float32 against ours."""
        network_times.add_eager(self._report, self._budget, self._names, self._device, small=self._small)

    def compiled_networks(self) -> None:
        """The same with ours compiled and warm, which a node is on once it has had a minute or two."""
        network_times.add_compiled(self._report, self._budget, self._names, self._device, small=self._small)


def _native_seconds(one: Segmentation) -> float:
    """From the volume in memory to fields on its own grid, without what is checked on the way."""
    return sum(one.seconds[name] for name in ("resample", "network", "fields"))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # a compiler that was broken off is not waited for
