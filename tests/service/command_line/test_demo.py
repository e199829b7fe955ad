"""The demonstration's folder, configuration and seed; the run itself is in ``test_demonstration.py``."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from models.synthetic_ct.phantoms.phantom import NEVER_TRAINED_FROM_SEED
from service.command_line import demo, demonstration
from service.config.reader import parse
from service.errors import DeliveryFailed


def test_the_folder_of_an_earlier_demonstration_is_emptied(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    demonstration._begin_anew(out)
    (out / "report.json").write_text("{}")
    demonstration._begin_anew(out)
    assert [file.name for file in out.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("others_file", ["thesis.tex", "config.yaml"])
def test_the_folder_of_somebody_else_is_left_alone(others_file: str, tmp_path: Path) -> None:
    (tmp_path / others_file).write_text("node: {}  # years of work\n")
    with pytest.raises(DeliveryFailed, match="holds something else"):
        demonstration._begin_anew(tmp_path)
    assert (tmp_path / others_file).exists()


def test_its_configuration_asks_for_all_that_the_shipped_one_does(tmp_path: Path, repository: Path) -> None:
    text = demonstration._CONFIG.format(port=11113)
    assert text.startswith(demonstration._MARK)
    site = parse(text, tmp_path / "config.yaml").site
    shipped = yaml.safe_load((repository / "config.yaml").read_text())
    for name, protocol in shipped["protocols"].items():
        assert list(site.protocols[name].structures) == list(protocol["structures"])


def test_its_seed_is_one_that_training_refuses() -> None:
    assert demo.DEMO_SEED >= NEVER_TRAINED_FROM_SEED
