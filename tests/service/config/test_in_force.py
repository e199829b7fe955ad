from __future__ import annotations

from pathlib import Path

import pytest

from service.config.in_force import load_in_force
from service.config.reader import AT_START
from service.errors import ConfigInvalid

GOOD = "node: {ae_title: STARTED, storage: ./elsewhere}\n"
BROKEN = "node: {ae_title: EDITED, storage: ./elsewhere\nroutes: [\n"


def test_a_good_file_is_itself(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(GOOD)
    loaded, mistakes = load_in_force(file)
    assert loaded.site.node.ae_title == "STARTED"
    assert mistakes == ()


@pytest.mark.parametrize("broken", [BROKEN, 'node:\n  storage: "./elsewhere"  # here\n  por: 1\n'])
def test_while_the_file_is_broken_the_configuration_of_the_start_is_used_and_the_mistakes_are_said(
    tmp_path: Path, broken: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(broken)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / AT_START).write_text(GOOD)
    loaded, mistakes = load_in_force(file)
    assert loaded.site.node.ae_title == "STARTED"
    assert loaded.storage == tmp_path / "elsewhere"
    assert mistakes


def test_a_broken_file_that_no_node_was_started_with_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(BROKEN)
    with pytest.raises(ConfigInvalid):
        load_in_force(file)
