"""A protocol must fit its model, and its ROI names the TPS."""

from __future__ import annotations

import pytest


@pytest.fixture
def with_model(edited, bundle):
    """The file with a protocol of ``test-ct@1.0`` beside the other; lines 12 and on."""

    def write(structures: str, *, allow: bool = True) -> str:
        allowed = "allow_unvalidated: true, " if allow else ""
        text = edited(
            "routes:\n", f"  test:\n    {{{allowed}model: {bundle}, structures: {structures}}}\nroutes:\n"
        )
        return text.replace("port: 11112", "port: 11112, bundles: [bundles]")

    return write


def test_a_structure_that_the_model_does_not_have_gets_a_suggestion(with_model, mistakes):
    (found,) = mistakes(with_model("{Femur_Haed_L: }"), bundles=True)
    assert found == (
        "config.yaml:12: protocols.test.structures.Femur_Haed_L: test-ct@1.0 has no such structure; "
        "did you mean Femur_Head_L?; allowed: Femur_Head_L, Femur_Head_R or Vertebrae_Lumbar_5"
    )


def test_a_card_that_says_synthetic_data_only_needs_permission(with_model, mistakes):
    assert mistakes(with_model("{Femur_Head_L: }"), bundles=True) == ()
    (found,) = mistakes(with_model("{Femur_Head_L: }", allow=False), bundles=True)
    assert found.startswith(
        "config.yaml:11: protocols.test.allow_unvalidated: the card of test-ct@1.0 says: synthetic data only"
    )
    assert "NOT FOR CLINICAL USE" in found


def test_an_unknown_model_names_those_there_are(edited, mistakes):
    (found,) = mistakes(edited("external@1.0", "externel@1.0"), bundles=True)
    assert found.startswith(
        "config.yaml:8: protocols.external.model: found externel@1.0; did you mean external@1.0?"
    )
    assert "bundle not found in" in found


def test_a_version_that_is_not_here_is_not_replaced_by_one_that_is(edited, mistakes):
    assert "external@1.1" in mistakes(edited("external@1.0", "external@1.1"), bundles=True)[0]


@pytest.mark.parametrize("model", ["external", "external@1", "External@1.0", "external@latest"])
def test_a_model_is_named_with_its_version(model, edited, mistakes):
    assert "bundle@version, such as pelvis-ct@2.0" in mistakes(edited("external@1.0", model))[0]


def test_a_structure_name_of_more_than_sixteen_characters_needs_a_shorter_one(with_model, mistakes):
    (found,) = mistakes(with_model("{Vertebrae_Lumbar_5: }"), bundles=True)
    assert "has 18 characters; allowed: at most 16, so give it a shorter `name`" in found
    assert mistakes(with_model("{Vertebrae_Lumbar_5: {name: VB_L5}}"), bundles=True) == ()


def test_a_name_of_more_than_sixteen_characters_is_refused(with_model, mistakes):
    (found,) = mistakes(with_model("{Femur_Head_L: {name: 0123456789abcdefg}}"))
    assert "protocols.test.structures.Femur_Head_L.name: found '0123456789abcdefg'" in found


@pytest.mark.parametrize(
    "structures",
    [
        "{Femur_Head_L: {name: Hip}, Femur_Head_R: {name: HIP}}",
        "{Femur_Head_L: , Femur_Head_R: {name: femur_head_l}}",
    ],
)
def test_roi_names_of_one_protocol_differ_ignoring_case(structures, with_model, mistakes):
    found = mistakes(with_model(structures), bundles=True)
    assert sum("the same ROI name as on line 12 ignoring case" in one for one in found) == 1


def test_left_renamed_right_and_right_renamed_left_is_two_names(with_model, read):
    text = with_model("{Femur_Head_L: {name: Hip_L}, Femur_Head_R: {name: Hip_R}}")
    structures = read(text).site.protocols["test"].structures
    assert [(key, structure.name) for key, structure in structures.items()] == [
        ("Femur_Head_L", "Hip_L"), ("Femur_Head_R", "Hip_R"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["Hip_R", "hip right", "HipR", "Hueftkopf re", "Hueftkopf_rechts", "股骨头右"]
)
def test_no_left_structure_is_called_right(name, with_model, mistakes):
    (found,) = mistakes(with_model(f"{{Femur_Head_L: {{name: {name}}}}}"), bundles=True)
    assert f"'{name}' says right and is the name of Femur_Head_L; allowed: a name that says left" in found


@pytest.mark.parametrize("name", ["Hip_L", "Caput femoris", "RLL_left", "Hip_R_or_L", "R5", "左股骨头"])
def test_a_name_may_say_its_own_side_or_none(name, with_model, mistakes):
    assert mistakes(with_model(f"{{Femur_Head_L: {{name: {name}}}}}"), bundles=True) == ()


@pytest.mark.parametrize(
    ("derived", "wrong"),
    [
        ("Femur_R_PRV: {of: Femur_Head_L, margin: 5}", "derived.Femur_R_PRV: 'Femur_R_PRV' says right"),
        ("PRV: {of: Femur_Head_L, margin: 5, name: PRV_R}", "derived.PRV.name: 'PRV_R' says right"),
        ("Femora: {of: [Femur_Head_L, Femur_Head_R], name: Femora_R}", None),
        ("Femur_L_PRV: {of: Femur_Head_L, margin: 5}", None),
    ],
)
def test_what_is_made_of_a_left_structure_is_not_called_right(derived, wrong, with_model, mistakes):
    both = "{Femur_Head_L: , Femur_Head_R: }"
    found = mistakes(with_model(f"{both}, derived: {{{derived}}}"), bundles=True)
    assert [wrong in one for one in found] == ([] if wrong is None else [True])


def test_a_protocol_without_structures_gets_every_one_of_its_model(edited, tmp_path):
    from service.config.reader import parse

    loaded = parse(
        edited('    structures:\n      External: {color: "#00ff00"}\n', ""), tmp_path / "config.yaml"
    )
    assert loaded.site.protocols["external"].structures == {"External": None}


def test_an_empty_list_of_structures_is_a_mistake(edited, mistakes):
    (found,) = mistakes(edited('\n      External: {color: "#00ff00"}', ""))
    assert found == "config.yaml:9: protocols.external.structures: lists nothing; allowed: at least one"
