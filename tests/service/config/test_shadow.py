"""A candidate beside a protocol's model: where it may stand, and what it makes in the shadow."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from service.config.reader import LoadedSite, parse
from service.config.shadow import in_the_shadow
from service.errors import ConfigInvalid, ModelRefused

OWN = {"model": "external@1.0"}


def site(tmp_path: Path, **protocol: object) -> LoadedSite:
    text = yaml.safe_dump({"protocols": {"body": OWN | protocol}, "routes": []}, sort_keys=False)
    return parse(text, tmp_path / "config.yaml")


def mistake(tmp_path: Path, **protocol: object) -> str:
    with pytest.raises(ConfigInvalid) as refused:
        site(tmp_path, **protocol)
    (sentence,) = refused.value.mistakes
    return sentence


def test_a_candidate_needs_no_permission_for_nothing_of_it_leaves(tmp_path):
    loaded = site(tmp_path, model="external@1.0", structures={"External": None})
    assert loaded.site.protocols["body"].shadow is None
    sentence = mistake(tmp_path, shadow="pelvis-ct@2.0", structures={"External": None})
    assert "pelvis-ct@2.0 does not offer External, which the protocol needs" in sentence
    loaded = site(tmp_path, model="pelvis-ct@2.0", allow_unvalidated=True, shadow="external@1.0")
    assert loaded.site.protocols["body"].shadow == "external@1.0"
    loaded = site(tmp_path, shadow="pelvis-ct@2.0")  # lists nothing: what both offer is compared
    assert loaded.site.protocols["body"].allow_unvalidated is False


def test_it_is_another_model_that_is_there_and_stands_beside_one(tmp_path):
    assert "`shadow` names the model itself" in mistake(tmp_path, shadow="external@1.0")
    assert "bundle not found" in mistake(tmp_path, shadow="external@9.0")
    several = {"model": None, "models": [{"model": "external@1.0"}], "shadow": "pelvis-ct@2.0"}
    text = yaml.safe_dump({"protocols": {"body": {k: v for k, v in several.items() if v}}, "routes": []})
    with pytest.raises(ConfigInvalid, match="not beside `models`"):
        parse(text, tmp_path / "config.yaml")


def test_in_the_shadow_the_candidate_stands_in_the_models_place(tmp_path):
    loaded = site(
        tmp_path,
        model="pelvis-ct@2.0",
        shadow="external@1.0",
        allow_unvalidated=True,
        label="Body",
    )
    protocol = in_the_shadow(loaded.site.protocols["body"], loaded.bundle_folders)
    assert (protocol.model, protocol.shadow, protocol.label) == ("external@1.0", None, "Body")
    assert set(protocol.structures) <= {"External"}
    with pytest.raises(ModelRefused) as refused:
        in_the_shadow(protocol, loaded.bundle_folders)
    assert refused.value.code == "shadow.none"
