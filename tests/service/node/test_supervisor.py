"""The node's processes start, live, are replaced and end together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running_node import RunningNode

from service.backlog.liveness import FileLocks
from service.delivery.outcome import of_rejection
from service.delivery.storage_scu import Peer, echo

pytestmark = pytest.mark.slow

CONFIG = {
    "node": {"ae_title": "DELINEATE"},
    "senders": {"SCANNER": {"addresses": ["127.0.0.1"]}},
    "destinations": {"tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": 1}},
    "protocols": {"external": {"model": "external@1.0", "structures": {"External": None}}},
    "routes": [
        {
            "name": "all",
            "when": {"Modality": "CT"},
            "contour": "external",
            "send_to": ["tps"],
            "mode": "send",
        }
    ],
}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    node = RunningNode(tmp_path, {**CONFIG, "node": dict(CONFIG["node"])})
    yield node
    node.kill_all() if node.process is not None and node.process.poll() is None else None


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(true: Callable[[], object], seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def pid_of(node: RunningNode, role: str) -> int:
    return next((pid for pid, found in node.processes().items() if found == role), 0)


def answers(node: RunningNode) -> bool:
    found = echo(Peer("DELINEATE", "127.0.0.1", node.port, "SCANNER", 5))
    return found.stored or found.code == of_rejection(1, 1, 3).code


def test_it_says_where_it_listens_and_ends_when_asked(node: RunningNode) -> None:
    node.start()
    wait_until(lambda: '"node.ready"' in node.log())
    (said,) = (line for line in node.log().splitlines() if line.startswith('{"event": "node.ready"'))
    assert json.loads(said) == {"event": "node.ready", "ae_title": "DELINEATE", "port": node.port}
    assert answers(node)
    wait_until(lambda: pid_of(node, "model-process"))
    family = node.processes()
    assert sorted(family.values()) == ["arrival", "model-process", "serve", "work"]
    wait_until(lambda: node.command("health", check=False).returncode == 0)
    assert node.stop() == 0
    assert not [pid for pid in family if alive(pid)]
    assert not (node.storage / "arrival.port").exists()
    assert node.command("health", check=False).returncode == 1


def test_killing_the_supervisor_ends_all_at_once_and_frees_the_folder(node: RunningNode) -> None:
    node.start()
    wait_until(lambda: pid_of(node, "model-process") and node.events("engine.started"))
    family = node.processes()
    os.kill(node.process.pid, signal.SIGKILL)
    node.process.wait()
    wait_until(lambda: not [pid for pid in family if alive(pid)], 15)  # a busy kernel takes a moment
    node.start()  # neither locks nor the port are held by anybody
    wait_until(lambda: len(node.events("engine.started")) == 2)
    assert node.stop() == 0


@pytest.mark.parametrize("role", ["arrival", "work"])
def test_a_process_that_dies_is_started_again(role: str, node: RunningNode) -> None:
    node.start()
    wait_until(lambda: node.events("engine.started") and pid_of(node, "model-process"))
    first, port, model = pid_of(node, role), node.port, pid_of(node, "model-process")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: pid_of(node, role) not in (0, first))
    (died,) = node.events("node.child-died")
    assert (died["role"], died["signal"], died["seconds"]) == (role, "SIGKILL", 0.5)
    wait_until(lambda: answers(node))
    assert role == "work" or node.port == port
    if role == "work":  # its model goes with it, reaped: at once, but not faster than a busy kernel
        wait_until(lambda: not Path(f"/proc/{model}").exists(), 30)
    else:
        assert Path(f"/proc/{model}").exists()
    assert node.stop() == 0


def test_a_second_node_in_the_same_folder_is_refused(node: RunningNode) -> None:
    node.start()
    second = node.command("serve", check=False)
    assert second.returncode == 2
    assert "A node is running already in this storage folder." in second.stderr
    assert answers(node)
    assert node.stop() == 0


def test_a_bad_configuration_starts_nothing_and_says_every_mistake(node: RunningNode) -> None:
    text = node.config_file.read_text().replace("port: 1", "port: 99999").replace("mode: send", "mode: maybe")
    node.config_file.write_text(text)
    refused = node.command("serve", check=False)
    assert refused.returncode == 2
    assert "99999" in refused.stderr
    assert "maybe" in refused.stderr
    assert not (node.storage / "delineate.sqlite").exists()


def test_a_process_that_refuses_to_start_ends_the_start(node: RunningNode) -> None:
    lock = FileLocks(node.storage / "locks").take("executor local:work")
    assert lock is not None
    refused = node.command("serve", check=False)
    lock.release()
    assert refused.returncode == 2
    assert "engine.executor-taken" in refused.stderr


def test_another_service_and_models_in_the_current_folder_change_nothing(
    node: RunningNode, tmp_path: Path
) -> None:
    for package in ("service", "models", "yaml", "pydicom"):
        (tmp_path / package).mkdir()
        trap = (
            f"open({str(tmp_path / 'hijacked')!r}, 'a').write(__name__)\nraise SystemExit('the wrong one')\n"
        )
        (tmp_path / package / "__init__.py").write_text(trap)
    program = Path(sys.executable).parent / "delineate"
    with node.log_file.open("ab") as log:
        node.process = subprocess.Popen(
            [program, "serve", "--config", node.config_file.name], stdout=log, stderr=log, cwd=tmp_path
        )
    wait_until(lambda: node.events("engine.started") and node.events("node.ready"))
    for pid, role in node.processes().items():
        assert Path(f"/proc/{pid}/cwd").resolve() == tmp_path, role
    assert answers(node)
    assert node.stop() == 0
    assert not (tmp_path / "hijacked").exists()


def test_a_bad_edit_does_not_keep_a_process_from_coming_back(node: RunningNode) -> None:
    node.start()
    wait_until(lambda: node.events("engine.started"))
    good = node.config_file.read_text()
    node.config_file.write_text(good.replace("mode: send", "mode: maybe"))
    first = pid_of(node, "arrival")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: pid_of(node, "arrival") not in (0, first))
    wait_until(lambda: answers(node))
    wait_until(lambda: node.events("config.invalid"))
    assert node.stop() == 0


def test_a_process_that_comes_back_keeps_the_storage_folder_of_the_others(
    node: RunningNode, tmp_path: Path
) -> None:
    node.start()
    wait_until(lambda: node.events("engine.started"))
    node.config_file.write_text(
        node.config_file.read_text().replace(str(node.storage), str(tmp_path / "other"))
    )
    first = pid_of(node, "work")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(node.events("engine.started")) == 2)
    assert not (tmp_path / "other").exists()
    assert node.stop() == 0


def test_a_host_that_does_not_receive_runs_the_worker_alone(node: RunningNode) -> None:
    words = [sys.executable, "-P", "-m", "service", "serve", "--config", str(node.config_file)]
    with (
        node.log_file.open("ab") as log,
        subprocess.Popen(
            [*words, "--roles", "contour,deliver"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "DELINEATE_NODE_UNDER_TEST": str(node.folder)},
        ) as process,
    ):
        try:
            assert json.loads(process.stdout.readline()) == {"event": "node.ready", "ae_title": "DELINEATE"}
            wait_until(lambda: node.events("engine.started"))
            assert {"serve", "work"} <= set(node.processes().values()) <= {"serve", "work", "model-process"}
            wait_until(lambda: node.command("health", check=False).returncode == 0)
        finally:
            process.terminate()
            assert process.wait(30) == 0


def test_a_role_that_does_not_exist_is_refused(node: RunningNode) -> None:
    done = node.command("serve", "--roles", "arrival,cook", check=False)
    assert done.returncode == 2
    assert "arrival, contour, deliver" in done.stderr
