"""What a MONAI bundle's configuration says, in plain values: references followed, expressions not run.

``@id`` is another entry, ``$`` Python. A ``$`` that is a literal or a kind of number is read as such. Any
other stays an :class:`Expression`, and whoever needs its value refuses it or, with ``--trust``, has MONAI run
it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.adding.small_yaml import mapping_in
from models.cards.card import BundleError
from models.runtimes.installed_extras import imported

_ENDINGS: Final = ("json", "yaml", "yml")
_REFERENCE: Final = re.compile(r"(?:\$\s*)?@([\w#:]+)\s*")
_KIND: Final = re.compile(r"\$\s*(?:torch|np|numpy)\.((?:float|int|uint)\d+)\s*")
_DEEPEST: Final = 32  # references that are followed from one to the next


@dataclass(frozen=True, slots=True)
class Expression:
    """A value that only MONAI's parser could tell.

    Attributes:
        text: as written.
        place: id of the entry, e.g. ``preprocessing::transforms::2::pixdim``.
    """

    text: str
    place: str


def config_file(folder: Path, name: str) -> Path | None:
    """``configs/<name>`` of a bundle, in whatever form it is there."""
    found = [folder / "configs" / f"{name}.{ending}" for ending in _ENDINGS]
    return next((file for file in found if file.is_file()), None)


class BundleConfig:
    """``configs/inference`` of a bundle.

    Args:
        folder: of the bundle.
        trust: expressions may be run.
        told: hears ``expression-run`` where one was.

    Raises:
        BundleError: ``add.bundle-unreadable``.
    """

    def __init__(self, folder: Path, *, trust: bool, told: Callable[[str], None]) -> None:
        file = config_file(folder, "inference")
        if file is None:
            sentence = (
                f"{folder.name} has no configs/inference.json or .yaml; it tells how the network is run."
            )
            raise BundleError("add.bundle-unreadable", sentence)
        self._content = mapping_in(file, "add.bundle-unreadable", f"{file.name} of the bundle")
        self._folder, self._trust, self._told = folder, trust, told
        self._parser: Any = None

    def entry(self, name: str) -> Any:  # noqa: ANN401 - whatever it says
        """An entry in plain values and expressions; None without one.

        Raises:
            BundleError: ``add.bundle-unreadable``, references that go round or nowhere.
        """
        return self._plain(self._content.get(name), name, 0)

    def value(self, said: Any) -> Any:  # noqa: ANN401 - whatever it is
        """``said`` without expressions.

        Raises:
            BundleError: ``add.needs-trust``; or MONAI cannot run one.
        """
        if isinstance(said, Expression):
            return self._run(said)
        if isinstance(said, Mapping):
            return {key: self.value(item) for key, item in said.items()}
        return [self.value(item) for item in said] if isinstance(said, list | tuple) else said

    def _plain(self, said: Any, place: str, depth: int) -> Any:  # noqa: ANN401
        if depth > _DEEPEST:
            sentence = f"The bundle's references go round in circles at {place}."
            raise BundleError("add.bundle-unreadable", sentence)
        if isinstance(said, Mapping):
            return {str(k): self._plain(item, f"{place}::{k}", depth) for k, item in said.items()}
        if isinstance(said, list | tuple):
            return [self._plain(item, f"{place}::{i}", depth) for i, item in enumerate(said)]
        if not isinstance(said, str) or said[:1] not in ("@", "$", "%"):
            return said
        reference = _REFERENCE.fullmatch(said)
        if reference is not None:
            name = reference.group(1).replace("#", "::")
            return self._plain(self._at(name), name, depth + 1)
        kind = _KIND.fullmatch(said)
        if kind is not None:
            return kind.group(1)
        try:
            return self._plain(ast.literal_eval(said[1:].strip()), place, depth + 1)
        except (ValueError, SyntaxError):
            return Expression(said, place)

    def _at(self, name: str) -> Any:  # noqa: ANN401
        found: Any = self._content
        for key in name.split("::"):
            try:
                found = found[int(key)] if isinstance(found, list) else found[key]
            except (KeyError, IndexError, ValueError, TypeError):
                return f"${name}"  # given on the command line, or part of what only MONAI builds
        return found

    def _run(self, expression: Expression) -> Any:  # noqa: ANN401
        if not self._trust:
            sentence = (
                f"{expression.place} is Python ({expression.text}), and this must be known here. Write the "
                "value in its place; or, only if you trust whoever made the bundle: --trust runs it, once."
            )
            raise BundleError("add.needs-trust", sentence)
        bundle = imported("monai.bundle")
        self._told("expression-run")
        if self._parser is None:
            self._parser = bundle.ConfigParser(dict(self._content) | {"bundle_root": str(self._folder)})
            metadata = config_file(self._folder, "metadata")
            if metadata is not None:
                self._parser.read_meta(str(metadata))
        try:
            found = self._parser.get_parsed_content(expression.place)
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            sentence = f"{expression.place} of the bundle cannot be run ({type(error).__name__})."
            raise BundleError("add.bundle-unreadable", sentence) from error
        return found.tolist() if hasattr(found, "tolist") else found
