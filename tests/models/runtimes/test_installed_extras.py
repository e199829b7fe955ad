import sys
from types import SimpleNamespace

import pytest

from models.cards.card import BundleError
from models.runtimes.installed_extras import imported, missing_extra


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A package ``monai`` that does what it is told when it is imported."""

    def make(text):
        (tmp_path / "monai.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        for name in loaded():
            monkeypatch.delitem(sys.modules, name)

    yield make
    for name in loaded():  # or a later test of this process would be given this one
        del sys.modules[name]


def loaded():
    return [name for name in sys.modules if name.partition(".")[0] == "monai"]


def test_a_module_that_is_there_is_given_and_what_it_prints_is_not(module, capsys):
    module("print('hello')\nNUMBER = 3\n")
    assert imported("monai").NUMBER == 3
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (
            "import absent_module\n",
            "model.extra-missing",
            r"lacks absent_module.*pip install delineate\[monai\]",
        ),
        (
            "raise RuntimeError('operator torchvision::nms does not exist')\n",
            "model.extra-broken",
            "Torchvision of another build",
        ),
    ],
)
def test_what_cannot_be_imported_is_refused_by_what_to_do(module, text, code, said):
    module(text)
    with pytest.raises(BundleError, match=said) as refusal:
        imported("monai")
    assert refusal.value.code == code


def test_what_is_not_installed_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "nnunetv2", None)
    with pytest.raises(BundleError, match=r"pip install delineate\[nnunet\]") as refusal:
        imported("nnunetv2.inference")
    assert refusal.value.code == "model.extra-missing"


def test_a_card_tells_which_extra_it_lacks(monkeypatch):
    built = SimpleNamespace(nnunet_predictor=None, monai=SimpleNamespace(network="UNet"))
    scripted = SimpleNamespace(nnunet_predictor=None, monai=SimpleNamespace(network=None))
    predicted = SimpleNamespace(nnunet_predictor="a plan", monai=None)
    monkeypatch.setattr("models.runtimes.installed_extras.find_spec", lambda package: None)
    assert [missing_extra(card) for card in (built, scripted, predicted)] == ["monai", None, "nnunet"]
    monkeypatch.setattr("models.runtimes.installed_extras.find_spec", lambda package: package)
    assert missing_extra(built) is None
