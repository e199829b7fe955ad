"""``delineate models verify`` of networks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from torch import nn
from typer.testing import CliRunner

import models.networks
from models.networks import NETWORKS
from models.networks.attention_unet import AttentionUnet
from service.command_line.models import app


class Pointwise(nn.Conv2d):
    """Sees one pixel at a time, and so cannot tell where a structure begins in noise."""

    def __init__(self, in_channels, classes):
        super().__init__(in_channels, classes, 1)

    def scales(self, x):
        return (self.forward(x),)


@pytest.fixture
def two_networks(monkeypatch):
    entry = replace(NETWORKS["attention-unet"], full_width_rate=1e-2)
    known = {
        "narrow": replace(entry, build=partial(AttentionUnet, width=0.125)),
        "pointwise": replace(entry, build=Pointwise),
    }
    monkeypatch.setattr(models.networks, "NETWORKS", known)


def verify(*arguments: str):
    return CliRunner().invoke(app, ["models", "verify", *arguments])


def test_a_network_that_learns_is_named_with_its_dsc(two_networks):
    found = verify("narrow", "--device", "cpu")
    assert found.exit_code == 0
    (line,) = found.output.strip().splitlines()
    assert line.startswith("narrow  learns  DSC 0.9")
    assert "502,661 parameters" in line
    assert line.endswith("s on cpu")


def test_every_network_has_a_line_and_one_that_does_not_learn_is_a_failure(two_networks):
    found = verify("--networks", "--device", "cpu")
    assert found.exit_code == 1
    lines = found.output.strip().splitlines()
    assert [line.split()[0] for line in lines[-2:]] == ["narrow", "pointwise"]
    assert "DOES NOT LEARN" in lines[-1]
    assert "after 200 steps" in lines[-1]
    assert any(line.startswith("pelvis-ct@2.0  intact") for line in lines)


def test_what_is_neither_a_bundle_nor_a_network_is_refused():
    found = verify("cab-unet", "cab-net")
    assert found.exit_code == 2
    assert "cab-net" in found.output
