"""Debian's Chromium, driven by Playwright, before the console of a whole node."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_node import ReceivingTps, RunningNode, free_port, running_node, wait_until

from service.backlog.accounts import Accounts
from service.backlog.roles import Role
from service.dicom.ct_writer import SyntheticPatient, write_ct
from service.dicom.patient_grids import patient_grid, sample_hu

CHROMIUM = Path("/usr/bin/chromium")
STORESCU = Path("/usr/bin/storescu")
PASSWORD = "correct horse battery"
PICTURES = Path(__file__).parents[2] / "build" / "pictures"


class Site:
    """A node with its console, a TPS that receives, and CT to send to it."""

    def __init__(self, node: RunningNode, tps: ReceivingTps, folder: Path) -> None:
        self.node, self.tps, self.folder = node, tps, folder
        self.sent = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{(self.node.storage / 'console.port').read_text()}"

    def ct(self, patient_id: str, name: str, description: str = "Pelvis") -> list[Path]:
        """A cylinder of water in air, 20 slices."""
        self.sent += 1
        grid = patient_grid(shape_zyx=(20, 64, 64), spacing_zyx_mm=(5.0, 5.0, 5.0))
        hu = sample_hu(grid, lambda x, y, _z: -1000.0 + 1000.0 * (x**2 + y**2 < 110.0**2))
        return write_ct(
            self.folder / f"ct{self.sent}", hu, grid, seed=self.sent,
            patient=SyntheticPatient(name=name, patient_id=patient_id), study_description=description,
        )  # fmt: skip

    def send(self, files: list[Path]) -> None:
        words = [STORESCU, "-aet", "CTSCANNER", "-aec", "DELINEATE", "127.0.0.1", str(self.node.port), *files]
        subprocess.run(words, check=True, capture_output=True, timeout=120)


@pytest.fixture(scope="module")
def chromium():
    """One browser for the tests of a file; each has a context of its own.

    Not longer: Playwright's event loop stays the running one of this thread, and tests elsewhere have their own.
    """
    if not CHROMIUM.is_file():
        pytest.skip("needs Debian's Chromium: setup/debian.sh")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: make setup")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A node that contours the outline of every CT but those whose study is called Thorax, for a TPS."""
    if not STORESCU.is_file():
        pytest.skip("needs DCMTK: setup/debian.sh")
    folder = tmp_path_factory.mktemp("site")
    tps = ReceivingTps("ECLIPSE")
    spare = ReceivingTps("ARCHIVE")
    config = {
        "node": {"ae_title": "DELINEATE", "timezone": "Europe/Stockholm", "disk": {"reserve_gb": 0.001}},
        "console": {"port": free_port()},
        "senders": {"CTSCANNER": {"addresses": ["127.0.0.1"], "quiet_seconds": 0.5}},
        "destinations": {
            "eclipse": {"ae_title": "ECLIPSE", "host": "127.0.0.1", "port": tps.port},
            "archive": {"ae_title": "ARCHIVE", "host": "127.0.0.1", "port": spare.port},
        },
        "protocols": {"external": {"model": "external@1.0", "structures": {"External": {"color": "#00ff00"}}}},
        "routes": [{
            "name": "every pelvis", "when": {"Modality": "CT", "StudyDescription": "*pelvis*"},
            "contour": "external", "send_to": ["eclipse"], "mode": "send",
        }],
    }  # fmt: skip
    try:
        with running_node(folder, config) as node:
            with node.ledger() as ledger:
                for role in Role:
                    Accounts(ledger).add(role.value, role, PASSWORD)
            wait_until(lambda: (node.storage / "console.port").is_file())
            yield Site(node, tps, folder)
    finally:
        tps.close()
        spare.close()


@pytest.fixture
def signed_in(chromium, site):
    """``signed_in(role, **options)``: the worklist as that person sees it; what goes wrong in it fails the test."""
    contexts, wrong = [], []

    def sign_in(role: str = "operator", **options):
        context = chromium.new_context(
            **{"locale": "en-GB", "viewport": {"width": 1400, "height": 900}, "color_scheme": "light"}
            | options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda m: wrong.append(m.text) if m.type == "error" and "Security Policy" in m.text else None,
        )
        page.goto(f"{site.address}/sign-in")
        page.fill("#name", role)
        page.fill("#password", PASSWORD)
        page.click("#sign-in button")
        page.wait_for_url(f"{site.address}/")
        page.wait_for_selector("#live.on")
        return page

    yield sign_in
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def picture():
    """Keep what is seen, for ``docs/pictures`` and for people who look at what tests saw."""
    PICTURES.mkdir(parents=True, exist_ok=True)

    def keep(page, name: str) -> None:
        page.screenshot(path=PICTURES / f"{name}.png")

    return keep
