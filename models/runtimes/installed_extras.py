"""Optional extras, imported where they are used: what is missing or does not work is refused by name.

Torchvision beside a torch of another build raises ``RuntimeError`` when it is imported, not ``ImportError``;
so does then whatever imports it.
"""

from __future__ import annotations

import warnings
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from types import ModuleType
from typing import Final

from models.cards.card import BundleError, Card

EXTRAS: Final = {"monai": "monai", "nnunetv2": "nnunet"}
"""The extra of this distribution that brings a package."""


def missing_extra(card: Card) -> str | None:
    """The extra that a model needs and that is not installed; nothing is imported."""
    packages = ["nnunetv2"] if card.nnunet_predictor is not None else []
    packages += ["monai"] if card.monai is not None and card.monai.network is not None else []
    return next((EXTRAS[package] for package in packages if find_spec(package) is None), None)


def imported(module: str) -> ModuleType:
    """A module of an optional package; what it prints when it is imported goes nowhere.

    Raises:
        BundleError: ``model.extra-missing``; ``model.extra-broken``, it is installed and does not work.
    """
    package = module.partition(".")[0]
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            return import_module(module)
    except ImportError as error:
        lacking = (error.name or package).partition(".")[0]
        beside = "" if lacking == package else f" (it lacks {lacking})"
        sentence = (
            f"This model needs {package}, which is not installed{beside}: "
            f"pip install delineate[{EXTRAS[package]}]."
        )
        raise BundleError("model.extra-missing", sentence) from error
    except RuntimeError as error:
        sentence = (
            f"{package} is installed but cannot be imported. Torchvision of another build than torch is the "
            "usual cause: install both from one index, or remove torchvision."
        )
        raise BundleError("model.extra-broken", sentence) from error
