"""The model process from its parent's side, with real children and models made to misbehave."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import yaml

from models.cards.card import read_card
from models.volume import Grid, Severity
from service.config.reader import parse
from service.contouring.segment import ModelClient
from service.errors import ModelRefused, SegmentationFailed, SeriesRefused

INT16 = np.dtype(np.int16)
SHAPE = (9, 24, 32)

PROGRAMS = {
    "fine": """
        import numpy as np
        def segment(volume):
            z, y, x = np.mgrid[:9, :24, :32]
            ball = 1 / (1 + np.exp(np.hypot(np.hypot((z - 4) * 3, (y - 12) * 2), (x - 20) * 2) - 9))
            assert volume.hu.dtype == np.int16 and (volume.hu == 7).all() and not volume.hu.flags.writeable
            return {"Bladder": ball, "Rectum": np.zeros(volume.hu.shape)}
    """,
    "hangs": """
        import time
        def segment(volume):
            time.sleep(600)
    """,
    "crashes": """
        import os, signal
        def segment(volume):
            os.kill(os.getpid(), signal.SIGSEGV)
    """,
    "is-killed": """
        import os, signal
        def segment(volume):
            os.kill(os.getpid(), signal.SIGKILL)
    """,
    "raises": """
        def segment(volume):
            raise ZeroDivisionError("DOE^JANE 1970-01-01")
    """,
    "nan": """
        import numpy as np
        def segment(volume):
            return {"Bladder": np.full(volume.hu.shape, np.nan)}
    """,
    "elsewhere": """
        from models.volume import OutsideTrainedRegion
        def segment(volume):
            raise OutsideTrainedRegion("region.no-pelvis", "No pelvis was found on this CT.")
    """,
    "greedy": """
        def segment(volume):
            raise MemoryError
    """,
    "beyond": """
        import numpy as np
        from models.volume import StructureField
        def segment(volume):
            return {"Bladder": StructureField(np.ones((9, 24, 32), np.float32), (1, 0, 0))}
    """,
    "echo": """
        import time
        import numpy as np
        def segment(volume):
            time.sleep(0.5)
            out = np.zeros(volume.hu.shape)
            out[:, :, : int(volume.hu.flat[0])] = 1
            return {"Bladder": out}
    """,
    "pid": """
        import os
        from models.volume import OutsideTrainedRegion
        def segment(volume):
            raise OutsideTrainedRegion("test.pid", str(os.getpid()))
    """,
}  # fmt: skip


def write_bundle(folder: Path, name: str, code: str) -> None:
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(dedent(code))
    structure = {"extent": "a ball", "volume_cm3": [0.1, 100.0], "may_be_absent": True}
    card = {
        "name": name, "version": "1.0", "kind": "program", "summary": name, "intended_use": "tests",
        "licence": "Apache-2.0", "validated": True, "validation": "exact",
        "structures": {"Bladder": structure, "Rectum": structure},
        "program": {"file": "model.py", "sha256": hashlib.sha256((folder / "model.py").read_bytes()).hexdigest()},
    }  # fmt: skip
    (folder / "card.yaml").write_text(yaml.safe_dump(card))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    for name, code in PROGRAMS.items():
        write_bundle(folder / name, name, code)
    return folder


@pytest.fixture(scope="module")
def loaded(bundles: Path):
    return parse(f"node: {{device: cpu, bundles: ['{bundles}']}}\n", bundles / "config.yaml")


@pytest.fixture(scope="module")
def client(loaded):
    with ModelClient(loaded) as made:
        yield made


def a_grid() -> Grid:
    origins = np.zeros((SHAPE[0], 3))
    origins[:, 2] = np.arange(SHAPE[0]) * 3.0 + 1 / 3
    return Grid(origins, np.array([2.0, 0, 0]), np.array([0, 2.0, 0]), *SHAPE[1:])


def segment(client: ModelClient, bundles: Path, name: str, *, deadline: float = 60.0, **more):
    card = read_card(bundles / name / "card.yaml")
    return client.segment(
        more.pop("fill", lambda out: out.fill(7)),
        a_grid(),
        INT16,
        card,
        more.pop("structures", None),
        deadline_seconds=deadline,
        **more,
    )


def test_a_ct_goes_in_and_fields_come_back(client, bundles):
    told: list[float] = []
    found = segment(client, bundles, "fine", progress=told.append)
    field = found.structures["Bladder"]
    assert field.field[4 - field.corner_zyx[0], 12 - field.corner_zyx[1], 20 - field.corner_zyx[2]] == (
        pytest.approx(9.0, abs=1e-5)
    )
    assert not field.field.flags.writeable
    assert field.volume_cm3(a_grid()) == pytest.approx(4 / 3 * np.pi * 9**3 / 1000, rel=0.05)
    assert set(found.structures) == {"Bladder"}
    (absent,) = found.findings
    assert (absent.code, absent.structure, absent.severity) == (
        "structure.not-found",
        "Rectum",
        Severity.NOTE,
    )
    assert (found.provenance.model, found.provenance.version) == ("fine", "1.0")
    assert {"program", "plausibility", "model_load"} <= set(found.seconds)
    assert told[-1] == 1.0


def test_only_the_wanted_structures_are_asked_for(client, bundles):
    assert segment(client, bundles, "fine", structures=["Rectum"]).structures == {}
    with pytest.raises(ModelRefused) as refusal:
        segment(client, bundles, "fine", structures=["Nose"])
    assert refusal.value.code == "model.structure-unknown"


def test_the_child_stays_warm(client, bundles):
    pids = set()
    for _ in range(2):
        with pytest.raises(ModelRefused) as refusal:
            segment(client, bundles, "pid")
        pids.add(int(refusal.value.sentence))
    assert pids == {client.pid}


def test_torch_is_not_imported_by_the_parent():
    code = "import sys, service.contouring.segment; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("name", "code"),
    [("nan", "model.not-finite"), ("elsewhere", "region.no-pelvis"), ("beyond", "model.answer-invalid")],
)
def test_an_answer_that_must_not_be_used_is_refused_and_the_child_lives_on(client, bundles, name, code):
    segment(client, bundles, "fine")
    before = client.pid
    with pytest.raises(ModelRefused) as refusal:
        segment(client, bundles, name)
    assert refusal.value.code == code
    assert not refusal.value.retry
    assert client.pid == before


def test_a_bundle_whose_program_was_changed_is_refused(client, bundles):
    write_bundle(bundles / "changed", "changed", PROGRAMS["fine"])
    (bundles / "changed" / "model.py").write_text("raise SystemExit")
    with pytest.raises(ModelRefused) as refusal:
        segment(client, bundles, "changed")
    assert refusal.value.code == "model.hash-mismatch"


def test_a_bundle_is_loaded_again_when_its_card_has_changed(client, bundles):
    write_bundle(bundles / "versions", "versions", PROGRAMS["fine"])
    assert set(segment(client, bundles, "versions").structures) == {"Bladder"}
    for file in (bundles / "versions").iterdir():
        file.unlink()
    (bundles / "versions").rmdir()
    write_bundle(bundles / "versions", "versions", PROGRAMS["elsewhere"])
    with pytest.raises(ModelRefused) as refusal:
        segment(client, bundles, "versions")
    assert refusal.value.code == "region.no-pelvis"


def test_what_goes_wrong_while_decoding_comes_through(client, bundles):
    def broken(_out):
        raise SeriesRefused("pixels.unreadable", "The pixels of a slice cannot be decoded.")

    with pytest.raises(SeriesRefused):
        segment(client, bundles, "fine", fill=broken)
    assert set(segment(client, bundles, "fine").structures) == {"Bladder"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "deadline", "code"),
    [
        ("hangs", 0.5, "model.timed-out"),
        ("crashes", 60, "model.crashed"),
        ("is-killed", 60, "model.killed"),
        ("raises", 60, "model.failed"),
        ("greedy", 60, "model.out-of-memory"),
    ],
)
def test_a_failure_is_told_and_the_next_ct_gets_a_fresh_child(client, bundles, capfd, name, deadline, code):
    segment(client, bundles, "fine")
    before = client.pid
    assert before is not None
    started = time.monotonic()
    with pytest.raises(SegmentationFailed) as failure:
        segment(client, bundles, name, deadline=deadline)
    assert failure.value.code == code
    assert failure.value.retry
    assert time.monotonic() - started < 10
    assert gone(before, 2.0)
    assert set(segment(client, bundles, "fine").structures) == {"Bladder"}
    assert client.pid not in (None, before)
    out, err = capfd.readouterr()
    assert "DOE" not in out + err + failure.value.sentence


@pytest.mark.slow
def test_threads_without_work_sleep_unless_the_site_says_otherwise(loaded, bundles, monkeypatch):
    for said, expected in ((None, b"PASSIVE"), ("ACTIVE", b"ACTIVE")):
        if said is not None:
            monkeypatch.setenv("OMP_WAIT_POLICY", said)
        with ModelClient(loaded) as client:
            segment(client, bundles, "fine")
            environment = Path(f"/proc/{client.pid}/environ").read_bytes().split(b"\0")
        assert b"OMP_WAIT_POLICY=" + expected in environment


@pytest.mark.slow
def test_a_child_that_died_between_two_cts_is_replaced_unnoticed(client, bundles):
    segment(client, bundles, "fine")
    before = client.pid
    os.kill(before, signal.SIGKILL)
    assert gone(before, 5.0, reaped=False)
    assert set(segment(client, bundles, "fine").structures) == {"Bladder"}
    assert client.pid != before


@pytest.mark.slow
def test_closing_ends_the_child(loaded, bundles):
    with ModelClient(loaded) as made:
        made.warm(read_card(bundles / "fine" / "card.yaml"))
        pid = made.pid
    assert gone(pid, 2.0)
    assert made.pid is None


PARENT = """
import sys, threading
from pathlib import Path
import numpy as np
from models.cards.card import read_card
from models.volume import Grid
from service.config.reader import load
from service.contouring.segment import ModelClient

client = ModelClient(load(Path(sys.argv[1])))
client.warm(read_card(Path(sys.argv[2]) / "fine" / "card.yaml"))
origins = np.zeros((9, 3)); origins[:, 2] = np.arange(9) * 3.0
grid = Grid(origins, np.array([2.0, 0, 0]), np.array([0, 2.0, 0]), 24, 32)
def hang():
    client.segment(lambda out: None, grid, np.dtype("int16"), read_card(Path(sys.argv[2]) / "hangs" / "card.yaml"),
                   None, deadline_seconds=600)
if sys.argv[3] == "busy":
    threading.Thread(target=hang, daemon=True).start()
    import time; time.sleep(1)
print(client.pid, flush=True)
threading.Event().wait()
"""


@pytest.mark.slow
@pytest.mark.parametrize("state", ["idle", "busy"])
def test_the_child_is_gone_within_two_seconds_of_its_parents_death(loaded, bundles, state, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(loaded.text)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(config), str(bundles), state], stdout=subprocess.PIPE, text=True
    )
    try:
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        parent.kill()
        parent.wait()
        assert gone(child, 2.0)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


@pytest.mark.slow
def test_a_failpoint_kills_the_child_alone(loaded, bundles, monkeypatch):
    monkeypatch.setenv("DELINEATE_FAILPOINTS", "contour.inferring:2")
    with ModelClient(loaded) as made:
        segment(made, bundles, "fine")
        with pytest.raises(SegmentationFailed) as failure:
            segment(made, bundles, "fine")
        assert failure.value.code == "model.killed"
        segment(made, bundles, "fine")


def gone(pid: int, seconds: float, *, reaped: bool = True) -> bool:
    """True once no process, or only a dead one that nobody has waited for, has this id."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0]
            threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
        except FileNotFoundError:
            return True
        if state == "Z" and threads == 1 and (not reaped or os.getpid() != parent_of(pid)):
            return True
        time.sleep(0.02)
    return False


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()[1])


def test_a_ct_never_gets_the_answer_to_the_one_before(client, bundles, monkeypatch):
    """Whoever asked for the first one went away while the model was at it."""
    card = read_card(bundles / "echo" / "card.yaml")

    def ask(columns):
        return client.segment(
            lambda out: out.fill(columns), a_grid(), INT16, card, ["Bladder"], deadline_seconds=60
        ).structures["Bladder"]

    def interrupted(*_):
        raise KeyboardInterrupt

    ask(5)
    with monkeypatch.context() as patched:
        patched.setattr(client, "_reply", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ask(5)
    assert int((ask(17).field > 0).any(axis=(0, 1)).sum()) == 17
