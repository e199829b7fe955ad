"""No container engine runs here, so each step of the image is a script, and each script is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from running_node import ReceivingTps, RunningNode

from service.node.supervisor import ROLES


@pytest.fixture(scope="module")
def dockerfile(repository: Path) -> list[str]:
    text = (repository / "docker" / "Dockerfile").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_every_step_that_runs_something_is_one_script_of_ours(
    dockerfile: list[str], repository: Path
) -> None:
    steps = [line.split(maxsplit=1)[1] for line in dockerfile if line.startswith("RUN")]
    assert steps == [
        "setup/environment.sh",
        "setup/bill_of_materials.sh sbom.cdx.json",
        "docker/prepare.sh",
    ]
    for step in steps:
        assert os.access(repository / step.split()[0], os.X_OK)


def test_everything_that_is_copied_exists_and_is_not_ignored(dockerfile: list[str], repository: Path) -> None:
    allowed = [
        line[1:] for line in (repository / ".dockerignore").read_text().splitlines() if line.startswith("!")
    ]
    for line in dockerfile:
        if line.startswith("COPY"):
            for source in [word for word in line.split()[1:-1] if not word.startswith("--")]:
                assert (repository / source).exists(), source
                assert any(fnmatch(Path(source.removeprefix("./")).parts[0], each) for each in allowed), (
                    source
                )


def test_the_image_does_not_run_as_root_and_has_a_health_check(dockerfile: list[str]) -> None:
    assert "USER delineate" in dockerfile
    assert any(line.startswith("HEALTHCHECK") and "docker/health.sh" in line for line in dockerfile)
    assert dockerfile.index("USER delineate") > dockerfile.index("RUN docker/prepare.sh")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make users")
def test_the_user_is_made_with_its_folders_and_a_good_configuration(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group", "shadow", "gshadow"):
        (tmp_path / "etc" / name).write_text("")
    subprocess.run([repository / "docker" / "prepare.sh", tmp_path], check=True, capture_output=True)
    assert "delineate:x:11112:11112:" in (tmp_path / "etc" / "passwd").read_text()
    assert (tmp_path / "var/lib/delineate").stat().st_uid == 11112
    node = yaml.safe_load((tmp_path / "etc/delineate/config.yaml").read_text())["node"]
    assert (node["bind"], node["storage"]) == ("0.0.0.0", "/var/lib/delineate")
    check = [
        sys.executable,
        "-P",
        "-m",
        "service",
        "check",
        "--config",
        tmp_path / "etc/delineate/config.yaml",
    ]
    assert subprocess.run(check, capture_output=True).returncode == 0


COMPOSE_FILES = (
    "compose.yaml",
    "compose.gpu.yaml",
    "compose.hosts.yaml",
    "compose.hosts.gpu.yaml",
)


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_compose_files_name_only_stages_that_exist(name: str, repository: Path) -> None:
    services = yaml.safe_load((repository / "docker" / name).read_text())["services"]
    for service in services.values():
        command = service.get("command")
        if command:
            help_text = subprocess.run(
                [sys.executable, "-P", "-m", "service", command[0], "--help"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            for option in [word for word in command if word.startswith("--")]:
                assert re.search(rf"{option}\b", help_text)


def test_hosts_of_one_node_share_a_folder_and_a_database_and_can_be_scaled(repository: Path) -> None:
    document = yaml.safe_load((repository / "docker" / "compose.hosts.yaml").read_text())
    hosts = {name: each for name, each in document["services"].items() if name != "database"}
    roles = [role for each in hosts.values() for role in each["command"][2].split(",")]
    assert sorted(roles) == sorted(ROLES)  # nothing is left out and nothing done by two
    for host in hosts.values():
        assert host["command"][:2] == ["serve", "--roles"]
        assert host["volumes"][1] == "${DELINEATE_STORAGE:-storage}:/var/lib/delineate"
        assert host["depends_on"] == {"database": {"condition": "service_healthy"}}
        assert "PGPASSWORD" in host["environment"]
        assert "container_name" not in host  # either would keep a service from being scaled
        assert "hostname" not in host
        assert host["read_only"] is True
    assert [name for name, each in hosts.items() if "ports" in each] == ["receiving"]
    assert set(document["volumes"]) == {"storage", "database"}
    with_gpu = yaml.safe_load((repository / "docker" / "compose.hosts.gpu.yaml").read_text())["services"]
    assert set(with_gpu) <= set(hosts)


@pytest.mark.slow
def test_the_image_starts_and_answers_its_health_check(repository: Path, tmp_path: Path) -> None:
    tps = ReceivingTps()
    node = RunningNode(
        tmp_path,
        {
            "node": {},
            "senders": {"CTSCANNER": None},
            "destinations": {"tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": tps.port}},
        },
    )
    environment = {
        **os.environ,
        "DELINEATE_CONFIG": str(node.config_file),
        "DELINEATE_VENV": str(Path(sys.executable).parents[1]),
    }
    health = [repository / "docker" / "health.sh"]
    assert subprocess.run(health, env=environment, capture_output=True, timeout=60).returncode != 0
    process = subprocess.Popen(
        [repository / "docker" / "start.sh"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert "node.ready" in process.stdout.readline()
        subprocess.run(health, env=environment, check=True, capture_output=True, timeout=60)
    finally:
        process.terminate()
        assert process.wait(30) == 0
        process.stdout.close()
        tps.close()
    assert subprocess.run(health, env=environment, capture_output=True, timeout=60).returncode != 0
