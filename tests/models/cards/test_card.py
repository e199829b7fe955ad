import pytest
import yaml

from models.cards.card import BundleError, read_card

SIGMOID = {"activation": "sigmoid", "outputs": ["Femur_Head_L", "Femur_Head_R"]}


@pytest.fixture
def changed(network_bundle):
    """The small network's card with some keys changed or taken away, read again."""

    def read(*without, **changes):
        card = network_bundle()
        content = yaml.safe_load((card.folder / "card.yaml").read_text()) | changes
        for key in without:
            del content[key]
        (card.folder / "card.yaml").write_text(yaml.safe_dump(content))
        return read_card(card.folder / "card.yaml")

    return read


def test_a_card_is_read_into_typed_sections(network_bundle):
    card = network_bundle()
    assert card.reference == "tiny@1.0"
    assert card.input.patch_zyx == (8, 12, 16)
    assert card.input.channels[0].clip_hu == (-1000.0, 1000.0)
    assert card.structures["Femur_Head_L"].volume_cm3 == (0.001, 1e6)
    assert not card.structures["Femur_Head_L"].postprocess.largest_component


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"colour": "red"}, "colour"),
        ({"validated": "no"}, "card.validated must be of type bool"),
        ({"version": 1.0}, "card.version must be of type str"),
        ({"kind": "magic"}, "card.kind must be one of network, program"),
        ({"outputs": ["background", 3]}, r"card.outputs\[1\] must be of type str"),
        ({"structures": {"Liver": {"extent": "x", "volume_cm3": [1, 2]}}}, "Liver is no output"),
        ({"structures": {"Femur_Head_L": {"extent": "x"}}}, "volume_cm3"),
        ({"structures": {"Femur_Head_L": {"extent": "x", "volume_cm3": [1]}}}, "2 values"),
        ({"pairs": [["Femur_Head_L", "Nose"]]}, "Nose is neither"),
        ({"midline": ["Nose"]}, "Nose is neither"),
        ({"kind": "program"}, "a program needs either entry or file"),
        ({"kind": "program", "program": {"file": "model.py"}}, "needs its sha256"),
        ({"limits": "none"}, "card.limits must be a list"),
        ({"outputs": ["Femur_Head_L", "Femur_Head_R"]}, "the outputs of softmax are background"),
        ({"activation": "sigmoid"}, "sigmoid has no output background"),
        ({"activation": "softplus"}, "card.activation must be one of softmax, sigmoid"),
        ({"thresholds": {"Femur_Head_L": 0.4}}, "thresholds and networks apart need sigmoid"),
        ({"network": {"name": "unet-res-enc", "apart": True}}, "thresholds and networks apart need sigmoid"),
        ({**SIGMOID, "thresholds": {"Femur_Head_L": 1.0}}, "thresholds lie between 0 and 1"),
        ({**SIGMOID, "thresholds": {"Nose": 0.5}}, "Nose is no output"),
        ({"left_right": {"Nose": ["Nose_L", "Nose_R"]}}, "Nose is no output"),
    ],
)
def test_a_mistake_is_named_with_its_key(changed, changes, said):
    with pytest.raises(BundleError, match=said) as refusal:
        changed(**changes)
    assert refusal.value.code == "model.card-invalid"


@pytest.mark.parametrize(
    ("patch", "context", "said"),
    [([1, 8, 8], 4, "odd number"), ([1, 8, 8], -1, "odd number"), ([8, 8, 8], 5, "a patch of one slice")],
)
def test_slices_of_context_are_an_odd_number_around_one(changed, network_bundle, patch, context, said):
    content = yaml.safe_load((network_bundle().folder / "card.yaml").read_text())["input"]
    with pytest.raises(BundleError, match=said):
        changed(input=content | {"patch_zyx": patch, "context_slices": context})


def test_two_and_three_dimensions_follow_from_the_patch(changed, network_bundle):
    content = yaml.safe_load((network_bundle().folder / "card.yaml").read_text())["input"]
    assert changed().input.dimensions == 3
    flat = {"patch_zyx": [1, 8, 8], "context_slices": 5, "spacing_zyx_mm": [None, 1.0, 1.0]}
    read = changed(input=content | flat | {"crop": {"size_yx": [4, 6], "centre": "bone"}}).input
    assert (read.dimensions, read.in_channels, read.spacing_zyx_mm) == (2, 5, (None, 1.0, 1.0))
    assert read.crop.size_yx == (4, 6)


def test_missing_keys_are_named(changed):
    with pytest.raises(BundleError, match="licence"):
        changed("licence")
    with pytest.raises(BundleError, match="a network needs"):
        changed("weights")


@pytest.mark.parametrize("text", ["- a list", "a: [", "\x00"])
def test_what_is_not_a_card_is_refused(tmp_path, text):
    (tmp_path / "card.yaml").write_text(text)
    with pytest.raises(BundleError):
        read_card(tmp_path / "card.yaml")


def test_a_card_is_parsed_once_for_as_long_as_its_file_says_the_same(network_bundle, monkeypatch):
    """Every protocol of a configuration looks through all cards."""
    file = network_bundle().folder / "card.yaml"
    text = file.read_text()
    first = read_card(file)
    with monkeypatch.context() as patched:
        patched.setattr("models.cards.card.parsed", None)
        assert read_card(file) is first
    file.write_text(text.replace("version: '1.0'", "version: '1.1'"))
    assert read_card(file).reference == "tiny@1.1"


STATISTICS = {
    "data": "ten phantoms",
    "ct": {
        "cases": 10,
        "slice_spacing_mm": [3, 3],
        "pixel_mm": [1, 2],
        "height_mm": [200, 400],
        "body_diameter_mm": [260, 340],
        "body_hu": [[-130, -90], [-100, -60], [-20, 50], [50, 70], [150, 300]],
        "noise_hu": [5, 25],
    },
    "structures": {
        "Femur_Head_L": {
            "cases": 9,
            "volume_cm3": [100, 200],
            "height_mm": [60, 90],
            "pieces": [1, 1],
            "cavities_cm3": [0, 0],
            "gap_slices": [0, 0],
            "end_shares": [[0.1, 0.9], [0.1, 0.4]],
            "mean_hu": [200, 400],
            "std_hu": [50, 100],
        }
    },
    "places": {
        "Femur_Head_L": {"Femur_Head_R": {"cases": 9, "x_mm": [150, 200], "y_mm": [-5, 5], "z_mm": [-5, 5]}}
    },
}


def with_changed(**parts):
    """The statistics with keys of the structure or of the CT changed."""
    changed = yaml.safe_load(yaml.safe_dump(STATISTICS))
    changed["structures"]["Femur_Head_L"] |= parts.get("structure", {})
    changed["ct"] |= parts.get("ct", {})
    return changed


def test_statistics_are_read_with_their_numbers(changed):
    read = changed(statistics=STATISTICS).statistics
    assert read.ct.body_hu[2] == (-20, 50)
    assert read.structures["Femur_Head_L"].end_shares == ((0.1, 0.9), (0.1, 0.4))
    assert read.structures["Femur_Head_L"].certainty is None
    assert read.places["Femur_Head_L"]["Femur_Head_R"].x_mm == (150, 200)


def test_a_card_needs_none(changed):
    assert changed().statistics is None


@pytest.mark.parametrize(
    ("statistics", "said"),
    [
        (with_changed(structure={"height_mm": [90, 60]}), "height_mm runs from 90.0 to 60.0"),
        (with_changed(structure={"end_shares": [[0.1, 0.9], [0.4, 0.1]]}), "end_shares runs from 0.4 to 0.1"),
        (with_changed(structure={"cases": 0}), "no range of no case"),
        (with_changed(structure={"mean_hu": [1, 2, 3]}), "2 values"),
        (with_changed(structure={"hu": [1, 2]}), "made of the keys"),
        (with_changed(ct={"body_hu": [[0, 1]]}), "5 values"),
        (STATISTICS | {"structures": {"Nose": STATISTICS["structures"]["Femur_Head_L"]}}, "Nose is neither"),
    ],
)
def test_statistics_that_cannot_be_are_refused(changed, statistics, said):
    with pytest.raises(BundleError, match=said):
        changed(statistics=statistics)
