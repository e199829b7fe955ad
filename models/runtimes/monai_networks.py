"""A network of MONAI from its name and plain arguments, built by MONAI's own ``ConfigParser``.

Only classes on the list below are built, and only from numbers, texts, lists and mappings of these: nothing
that ``ConfigParser`` would run or look up gets to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from models.cards.card import BundleError, Card
from models.cards.catalog import verified_bytes
from models.cards.monai_card import MonaiNetwork
from models.runtimes.installed_extras import imported

NETWORKS: Final = frozenset(
    {
        *(
            "AttentionUnet",
            "BasicUNet",
            "BasicUNetPlusPlus",
            "DynUNet",
            "HighResNet",
            "SegResNet",
            "SegResNetDS",
        ),
        *("MedNeXt", "MedNeXtS", "MedNeXtB", "MedNeXtM", "MedNeXtL", "SwinUNETR", "UNet", "UNETR", "VNet"),
    }
)
"""Classes of ``monai.networks.nets`` that segment a volume and fetch nothing from anywhere."""

_READ_BY_PARSER: Final = ("$", "@", "%")  # an expression, a reference, a file


def network_of(said: MonaiNetwork) -> nn.Module:
    """The network, its weights not loaded.

    Raises:
        BundleError: ``model.card-invalid``: it is not on the list or its arguments are not plain or not its;
            ``model.extra-missing`` or ``model.extra-broken``.
    """
    if said.name not in NETWORKS or not is_plain(said.arguments):
        sentence = f"{said.name} with these arguments is no network of MONAI that is built here."
        raise BundleError("model.card-invalid", sentence)
    parser = imported("monai.bundle").ConfigParser(
        {"network": {"_target_": f"monai.networks.nets.{said.name}", **said.arguments}}
    )
    try:
        network: nn.Module = parser.get_parsed_content("network")
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        reason = error.__cause__ or error
        sentence = f"MONAI does not build {said.name} from these arguments: {reason}."
        raise BundleError("model.card-invalid", sentence) from error
    return network.eval().requires_grad_(requires_grad=False)


def is_plain(value: Any) -> bool:  # noqa: ANN401 - whatever a configuration says
    """True for numbers, texts, lists and mappings of these in which ``ConfigParser`` finds nothing to do."""
    if isinstance(value, Mapping):
        return all(
            isinstance(key, str) and not key.startswith("_") and is_plain(item) for key, item in value.items()
        )
    if isinstance(value, list | tuple):
        return all(is_plain(item) for item in value)
    if isinstance(value, str):
        return not value.startswith(_READ_BY_PARSER) and "%" not in value
    return value is None or isinstance(value, bool | int | float)


def load_built(card: Card, said: MonaiNetwork) -> nn.Module:
    """The network with the bundle's weights.

    Raises:
        BundleError: as :func:`network_of`; or the file is not the card's or does not fit.
    """
    assert card.weights is not None  # noqa: S101 - for the type checker: the card was checked
    content = verified_bytes(card.folder / card.weights.file, card.weights.sha256, card.reference)
    network = network_of(said)
    try:
        state: dict[str, Tensor] = load(content)
        network.load_state_dict(state, strict=True)
    except (SafetensorError, RuntimeError) as error:
        sentence = f"The weights of {card.reference} do not fit the network that its card describes."
        raise BundleError("model.weights-do-not-fit", sentence) from error
    if not all(bool(tensor.isfinite().all()) for tensor in state.values()):
        sentence = f"The weights of {card.reference} hold numbers that are not finite."
        raise BundleError("model.weights-do-not-fit", sentence)
    return network
