"""The picture of a case in Chromium: until it is there, and what a step of the wheel takes of the main thread.

A whole node with its console, 200 slices of 512 x 512, three structures; headless, drawn in software. What the main
thread does is taken from the browser's own trace, which is kept beside the JSON file.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.machine import versions
from benchmarks.measure_receive import series_of_noise
from benchmarks.null_node import CALLER, null_node
from benchmarks.scoreboard import Bar, Scoreboard, absolute, not_measured
from benchmarks.sending import images_of, send
from benchmarks.settings import Settings
from running_node import wait_until

from service.backlog.accounts import Accounts
from service.backlog.records import JobState
from service.backlog.roles import Role

CHROMIUM = Path("/usr/bin/chromium")
_PASSWORD = "correct horse battery"
_STEPS = 200
_TASK = {"RunTask", "ThreadControllerImpl::RunTask"}
_NEXT_FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def measure(settings: Settings) -> Scoreboard:
    """Run it."""
    slices = 20 if settings.small else 200
    board = Scoreboard("viewer", versions={"ours": versions()})
    bars = {"first": Bar("<=", 1.0, of="ours"), "step": Bar("<=", 16.0, of="ours")}
    if not CHROMIUM.is_file():
        why = "needs Debian's Chromium: setup/debian.sh"
        board.rows = [
            not_measured("first picture", "s", why, bars["first"]),
            not_measured("main thread, a step of the wheel", "ms", why, bars["step"]),
        ]
        return board
    series = series_of_noise(settings.work("viewer") / "ct", slices)
    trace = settings.out / "viewer.trace.json"
    firsts: list[float] = []
    with null_node(settings.work("viewer") / "node") as (node, tps):
        node.start(120)
        send(node.port, images_of(series), called="DELINEATE", calling=CALLER)
        tps.wait_for_next(0, 120)
        with node.ledger() as ledger:
            wait_until(lambda: ledger.find_jobs(JobState.DONE), 60)
            (job,) = ledger.find_jobs(JobState.DONE)
            Accounts(ledger).add("reader", Role.READER, _PASSWORD)
        wait_until(lambda: (node.storage / "console.port").is_file(), 60)
        with _signed_in(f"http://127.0.0.1:{(node.storage / 'console.port').read_text()}") as (browser, page):
            for _ in range(settings.rounds(5)):
                page.goto(f"{page.url.split('/case')[0].rstrip('/')}/case/{job.id}")
                page.wait_for_selector(f'#viewer[data-loaded="{slices}"]')
                firsts.append(float(page.get_attribute("#viewer", "data-first-picture")) / 1000)
            _scroll(browser, page, trace)
    steps = _main_thread_ms(json.loads(trace.read_text())["traceEvents"])
    what = f"{slices} slices of 512 x 512"
    board.rows = [
        absolute(f"{what}: from the page's start to the first picture", "s", firsts, bars["first"]),
        absolute(f"{what}: main thread, a step of the wheel, median", "ms", steps),
        absolute(
            f"{what}: the same, 95th percentile of {len(steps)}",
            "ms",
            [float(np.percentile(steps, 95))],
            bars["step"],
        ),
        absolute(f"{what}: the same, worst", "ms", steps, worst=True),
    ]
    board.remarks.append(f"The trace is {trace.name} beside the JSON file; chrome://tracing shows it.")
    return board


@contextmanager
def _signed_in(address: str) -> Iterator[tuple[Any, Any]]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(120_000)
        page.goto(f"{address}/sign-in")
        page.fill("#name", "reader")
        page.fill("#password", _PASSWORD)
        page.click("#sign-in button")
        page.wait_for_url(f"{address}/")
        yield browser, page
        browser.close()


def _scroll(browser: Any, page: Any, trace: Path) -> None:
    canvas = page.locator(".viewer-axial canvas").first
    canvas.focus()
    page.keyboard.press("Home")
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.evaluate(_NEXT_FRAME)
    browser.start_tracing(page=page, path=trace, categories=["toplevel", "devtools.timeline"])
    for step in range(_STEPS + 1):
        page.mouse.wheel(0, 100 if step % 200 < 100 else -100)
        page.evaluate(_NEXT_FRAME)
    browser.stop_tracing()


def _main_thread_ms(events: Sequence[dict[str, Any]]) -> list[float]:
    """What the page's main thread was busy from each turn of the wheel to the next."""
    wheels = [
        each
        for each in events
        if each["name"] == "EventDispatch" and each.get("args", {}).get("data", {}).get("type") == "wheel"
    ]
    thread = (wheels[0]["pid"], wheels[0]["tid"])
    tasks = [
        (each["ts"], each.get("dur", 0))
        for each in events
        if (each["pid"], each["tid"]) == thread and each["name"] in _TASK and each["ph"] == "X"
    ]
    begins = sorted({max((at for at, dur in tasks if at <= w["ts"]), default=w["ts"]) for w in wheels})
    return [
        sum(dur for at, dur in tasks if start <= at < end) / 1000 for start, end in itertools.pairwise(begins)
    ]
