"""Which bars hold, by what one run on a GPU measured."""

from __future__ import annotations

from benchmarks.gpu_report import Report

MOST_SECONDS, MOST_GIB, MOST_SECONDS_TO_BYTES = 0.4, 8.0, 1.0
TIMES_NNUNET, TIMES_MONAI, TIMES_PLAIN, MOST_NETWORK_MS = 10.0, 3.0, 3.0, 1000.0
MONAI = {
    "monai float32": "beside MONAI's window, its default precision",
    "monai float16": "beside MONAI's window, the same precision",
}


def add_bars(report: Report) -> None:
    """A row for each bar of which something was measured; a peer's ratio is that of the same rounds."""
    own = [row for row in report.rows if row["part"] == "ours" and row.get("product")]
    if own:
        best = min(own, key=lambda row: row["seconds"])
        _most(report, "volume to fields, s", best["seconds"], MOST_SECONDS, way=best["what"])
        _most(report, "volume to fields, GPU GiB", best["gpu_gib"], MOST_GIB, way=best["what"])
    whole = report.of("volume to RTSTRUCT bytes", "seconds")
    if whole is not None:
        _most(report, "volume to RTSTRUCT bytes, s", whole, MOST_SECONDS_TO_BYTES)
    for peer, what in MONAI.items():
        _times(
            report, what, report.of("ours beside monai", "seconds"), report.of(peer, "seconds"), TIMES_MONAI
        )
    ours = report.of("ours beside nnunet", "seconds")
    peer = report.of("nnunet, whole", "seconds")
    so_far = report.of("nnunet, so far", "seconds")
    if peer is None and so_far is not None:
        _times(report, "beside nnU-Net, which had not finished", ours, so_far, TIMES_NNUNET)
    _times(report, "beside nnU-Net", ours, peer, TIMES_NNUNET)
    _networks(report)


def _networks(report: Report) -> None:
    found: dict[str, tuple[float, float]] = {}  # ratio and milliseconds of the faster way
    for row in report.rows:
        if row["part"] in ("networks", "compiled-networks") and "ratio" in row:
            before = found.get(row["what"], (0.0, float("inf")))
            found[row["what"]] = max(before[0], row["ratio"]), min(before[1], row["ours_ms"])
    if not found:
        return
    for what, good, bar in (
        ("networks, times their plain self", [r >= TIMES_PLAIN for r, _ in found.values()], TIMES_PLAIN),
        ("networks, ms a CT", [ms < MOST_NETWORK_MS for _, ms in found.values()], MOST_NETWORK_MS),
    ):
        short = [name for name, fits in zip(found, good, strict=True) if not fits]
        report.add("bar", what, hold=sum(good), of=len(good), bar=bar, holds=not short, short=short)


def _most(report: Report, what: str, value: float, bar: float, **more: str) -> None:
    report.add("bar", what, ours=value, bar=f"<= {bar:g}", holds=value <= bar, **more)


def _times(report: Report, what: str, ours: float | None, peer: float | None, bar: float) -> None:
    if ours and peer:
        ratio = peer / ours
        report.add("bar", what, ours=ours, peer=peer, ratio=ratio, bar=f">= {bar:g}", holds=ratio >= bar)
