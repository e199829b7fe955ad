"""Derived structures in the file: every mistake with its line, and what a good section says."""

from __future__ import annotations

import pytest

from service.config.derivation import cycle_in, in_order_of_need

CARD = """\
name: iliac-ct
version: "1.0"
kind: program
summary: For tests.
intended_use: Tests.
licence: Apache-2.0
validated: true
validation: by construction
program: {file: program.py, sha256: "00"}
structures:
  A_Iliac_L: {extent: all, volume_cm3: [1, 2]}
  CTVn: {extent: all, volume_cm3: [1, 2]}
  Bladder: {extent: all, volume_cm3: [1, 2]}
"""


@pytest.fixture
def with_derived(edited, tmp_path):
    """The file with a protocol ``test`` that has these derived structures; the first one is on line 16."""
    folder = tmp_path / "bundles" / "iliac-ct"
    folder.mkdir(parents=True)
    (folder / "card.yaml").write_text(CARD)

    def write(derived: str, structures: str = "{Bladder: }") -> str:
        lines = "".join(f"      {line}\n" for line in derived.strip().splitlines())
        head = f"  test:\n    model: iliac-ct@1.0\n    structures: {structures}\n    #\n    derived:\n"
        text = edited("routes:\n", f"{head}{lines}routes:\n")
        return text.replace("port: 11112", "port: 11112, bundles: [bundles]")

    return write


def test_one_operation_stands_in_the_section_itself_and_several_under_steps(with_derived, read, mistakes):
    text = with_derived(
        "Bladder_PRV05: {of: Bladder, margin: 5}\n"
        "zVessels_07:\n"
        "  of: [A_Iliac_L]\n"
        "  steps:\n"
        "    - margins: {R: 7, L: 7, S: 3}\n"
        "    - away_from: {structures: Bladder, mm: 2.5}\n"
    )
    assert mistakes(text, bundles=True) == ()
    protocol = read(text).site.protocols["test"]
    prv, vessels = protocol.derived.values()
    assert [step.margin for step in prv.in_order] == [5.0]
    assert (vessels.in_order[0].margins.S, vessels.in_order[0].margins.I) == (3.0, 0.0)
    assert vessels.needs == ("A_Iliac_L", "Bladder")
    assert protocol.needs == ("Bladder", "A_Iliac_L")  # what is sent, then what others are made of


@pytest.mark.parametrize(
    ("derived", "said"),
    [
        ("R: {of: Bladder, margin: 5, smooth: 2}", "config.yaml:16: protocols.test.derived.R: found a section; "
         "allowed: one operation here, or several in order under steps"),
        ("R: {of: Bladder, steps: [{margin: 5, smooth: 2}]}", "exactly one of union, intersection"),
        ("R: {of: Bladder, margins: {R: 5, L: -5}}", "margins that are all outwards or all inwards"),
        ("R: {of: Bladder, margins: {R: 5, X: 5}}", "derived.R.margins.X: unknown key"),
        ("R: {of: Bladder, ring: {inner: 5, outer: 5}}", "an outer distance that is larger than the inner one"),
        ("R: {of: Bladder, margin: 5mm}", "config.yaml:16: protocols.test.derived.R.margin: found '5mm'"),
        ("R: {of: Bladder, fill_holes: all}", "allowed: cavities or slices"),
        ("R: {of: Bladder, type: CTV}", "allowed: ORGAN, AVOIDANCE or CONTROL"),
        ("R: {margin: 5}", "protocols.test.derived.R.of: is missing"),
    ],
)  # fmt: skip
def test_a_mistake_within_a_section_is_named_with_its_line(derived, said, with_derived, mistakes):
    (found,) = mistakes(with_derived(derived))
    assert said in found


def test_a_source_that_no_model_gives_gets_a_suggestion(with_derived, mistakes):
    text = with_derived(
        "R: {of: Bladder, steps: [{margin: 5}, {inside: {structure: Externl}}]}\nS: {of: Blader}"
    )
    first, second = mistakes(text, bundles=True)
    assert first.startswith(
        "config.yaml:16: protocols.test.derived.R.steps[1].inside.structure: iliac-ct@1.0 has no such structure"
    )
    assert second == (
        "config.yaml:17: protocols.test.derived.S.of: iliac-ct@1.0 has no such structure; did you mean Bladder?; "
        "allowed: A_Iliac_L, CTVn or Bladder"
    )


def test_a_cycle_is_refused_with_its_names(with_derived, mistakes):
    text = with_derived("A: {of: B, margin: 1}\nB: {of: C}\nC: {of: Bladder, difference: [A]}\nD: {of: A}")
    (found,) = mistakes(text)
    assert found.startswith("config.yaml:16: protocols.test.derived.A: is made of itself: A -> B -> C -> A")


@pytest.mark.parametrize("name", ["CTVn_aid", "CTV", "zCTV_7", "gtv"])
def test_no_clinical_target_is_made_of_organs(name, with_derived, mistakes):
    (found,) = mistakes(with_derived(f"{name}: {{of: A_Iliac_L, margin: 7}}"))
    assert f"found '{name}': a CTV or GTV comes only from a model that learned it" in found


def test_nor_under_another_name_that_is_written(with_derived, mistakes):
    (found,) = mistakes(with_derived("zAid: {of: A_Iliac_L, name: CTVn_7}"))
    assert found.startswith("config.yaml:16: protocols.test.derived.zAid.name: found 'CTVn_7'")


def test_a_planning_target_is_made_of_a_clinical_one(with_derived, mistakes):
    assert mistakes(with_derived("PTVn: {of: CTVn, margin: 7}"), bundles=True) == ()
    (found,) = mistakes(with_derived("PTVn: {of: A_Iliac_L, margin: 7}"))
    assert "a PTV is made of a CTV or GTV" in found


def test_names_are_short_and_different_from_those_of_the_models(with_derived, mistakes):
    (found,) = mistakes(with_derived("SpinalCanal_PRV05: {of: Bladder}"), bundles=True)
    assert "has 17 characters; allowed: at most 16" in found
    found = mistakes(with_derived("BLADDER: {of: Bladder, margin: 1}"))
    assert "found 'BLADDER', the same name as on line 13 ignoring case" in found[0]


def test_a_name_that_is_derived_is_not_also_taken_from_a_model_that_offers_it(with_derived, tmp_path):
    from service.config.reader import parse

    text = with_derived("Bladder: {of: A_Iliac_L, margin: 1}").replace("    structures: {Bladder: }\n", "", 1)
    assert "Bladder: }" not in text
    found = parse(text, tmp_path / "config.yaml").site.protocols["test"]
    assert list(found.structures) == ["A_Iliac_L", "CTVn"]


def test_structures_come_after_those_they_are_made_of():
    needs = {"a": ("b", "m"), "b": ("c",), "c": ("m",), "d": ("a", "c")}
    assert in_order_of_need(needs) == ("c", "b", "a", "d")
    assert cycle_in(needs) == ()
    assert cycle_in({"a": ("a",)}) == ("a", "a")


class TestSeveralModels:
    """Which model gives which structure stands in the file."""

    def write(self, edited, models: str, structures: str = "{Bladder: , External: }") -> str:
        protocol = f"  test:\n    models: {models}\n    structures: {structures}\n    allow_unvalidated: true\nroutes:\n"
        return edited("routes:\n", protocol)

    def test_the_rest_goes_to_the_first_that_offers_it(self, edited, read, mistakes):
        text = self.write(edited, "[{model: pelvis-ct@2.0, if_refused: leave_out}, {model: external@1.0}]")
        assert mistakes(text, bundles=True) == ()
        first, second = read(text).site.protocols["test"].uses
        assert (first.model, first.if_refused, second.if_refused) == ("pelvis-ct@2.0", "leave_out", "refuse")

    def test_two_may_not_give_the_same(self, edited, mistakes):
        each = "structures: [External]"
        text = self.write(
            edited, f"[{{model: external@1.0, {each}}}, {{model: external@1.0, {each}}}]", "{External: }"
        )
        (found,) = mistakes(text, bundles=True)
        assert found.startswith(
            "config.yaml:12: protocols.test.models[1].structures[0]: found 'External', which another"
        )

    def test_what_none_offers_is_said_of_all(self, edited, mistakes):
        models = "[{model: pelvis-ct@2.0}, {model: external@1.0}]"
        (found,) = mistakes(self.write(edited, models, "{Bladdr: }"), bundles=True)
        assert "pelvis-ct@2.0 or external@1.0 has no such structure; did you mean Bladder?" in found

    def test_a_structure_that_its_model_does_not_list_is_missed(self, edited, mistakes):
        models = "[{model: pelvis-ct@2.0, structures: [Rectum]}, {model: external@1.0}]"
        (found,) = mistakes(self.write(edited, models, "{Bladder: , Rectum: }"), bundles=True)
        assert "protocols.test.structures.Bladder: no model gives it" in found

    @pytest.mark.parametrize("models", ["[]", "[{model: external@1.0}]\n    model: external@1.0"])
    def test_one_or_several_but_not_both_and_not_none(self, models, edited, mistakes):
        (found,) = mistakes(self.write(edited, models))
        assert "allowed: either `model` or `models`" in found

    def test_without_structures_every_one_of_all_models_is_meant(self, edited, tmp_path):
        from service.config.reader import parse

        text = self.write(
            edited,
            "[{model: external@1.0}, {model: pelvis-ct@2.0, structures: [Rectum, Bladder]}]",
            "{Bladder: }",
        ).replace("    structures: {Bladder: }\n", "")
        found = parse(text, tmp_path / "config.yaml").site.protocols["test"].structures
        assert list(found) == ["External", "Bladder", "Rectum"]
