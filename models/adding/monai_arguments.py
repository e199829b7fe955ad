"""The arguments of one transform of a MONAI bundle: read by name, and none left over unread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from models.adding.monai_config import BundleConfig
from models.cards.card import BundleError

_OF_PARSER: Final = frozenset({"_target_", "_desc_", "_requires_", "_mode_", "_disabled_"})
_NEUTRAL: Final = frozenset({"keys", "allow_missing_keys", "lazy"})


class Arguments:
    """What a transform was given; every argument is taken, or was one that does not matter, or is refused.

    Args:
        said: the entry as the configuration has it.
        config: that it stands in.
        key: of the data dictionary, ``image`` or ``pred``.
    """

    def __init__(self, said: Mapping[str, Any], config: BundleConfig, key: str) -> None:
        self.name = class_name(said)
        self._said = {k: v for k, v in said.items() if k not in _OF_PARSER}
        self._config = config
        keys = config.value(self._said.get("keys", []))
        self._keys = [keys] if isinstance(keys, str) else list(keys)
        self.concerned = key in self._keys
        self._at = self._keys.index(key) if self.concerned else 0
        self._taken = set(_NEUTRAL)

    def take(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - whatever it is
        """An argument; where there is a list with one for each key, the one of ours."""
        self._taken.add(name)
        found = self._config.value(self._said.get(name, default))
        return found[self._at] if isinstance(found, list | tuple) and len(found) == len(self._keys) else found

    def whole(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - whatever it is
        """An argument that is a list by itself."""
        self._taken.add(name)
        return self._config.value(self._said.get(name, default))

    def ignore(self, *names: str) -> None:
        """Arguments that decide nothing here."""
        self._taken.update(names)

    def expect(self, name: str, *known: Any) -> Any:  # noqa: ANN401 - whatever it is
        """An argument that is one of ``known``, the first of which is the default.

        Raises:
            BundleError: ``add.transform-unknown``.
        """
        found = self.take(name, known[0])
        if found not in known:
            raise self.unknown(f"{name}: {found!r}")
        return found

    def finish(self) -> None:
        """Nothing may be left.

        Raises:
            BundleError: ``add.transform-unknown``.
        """
        left = sorted(set(self._said) - self._taken)
        if left:
            raise self.unknown(", ".join(left))

    def unknown(self, what: str) -> BundleError:
        """The refusal of what the transform is asked for."""
        sentence = (
            f"The bundle's {self.name} asks for {what}, which is not done here. Change its configuration, "
            "or add its TorchScript export (models/model.ts) by itself with a small card."
        )
        return BundleError("add.transform-unknown", sentence)


def class_name(said: Mapping[str, Any]) -> str:
    """``Spacingd`` for that class under any of its names."""
    name = str(said.get("_target_", "")).rpartition(".")[2]
    for ending in ("Dict", "D"):
        if name.endswith(ending):
            return name.removesuffix(ending) + "d"
    return name


def transforms_of(said: Any, config: BundleConfig, key: str) -> Sequence[Arguments]:  # noqa: ANN401
    """The transforms of a ``Compose`` (or of a list) that concern ``key``, in order.

    Raises:
        BundleError: ``add.transform-unknown`` or ``add.needs-trust``.
    """
    entries = said.get("transforms") if isinstance(said, Mapping) and class_name(said) == "Compose" else said
    if not isinstance(entries, list) or not all(isinstance(each, Mapping) for each in entries):
        sentence = "The bundle's transforms are not listed in a Compose, so what they do cannot be read."
        raise BundleError("add.transform-unknown", sentence)
    enabled = [each for each in entries if not config.value(each.get("_disabled_", False))]
    return [one for one in (Arguments(each, config, key) for each in enabled) if one.concerned]
