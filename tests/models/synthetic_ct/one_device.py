"""Tells tensors of two devices apart where there is only one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class TwoDevices(TorchFunctionMode):
    """Fails where a tensor that was made without a device meets one that was made with one.

    A tensor made with ``device=``, moved by ``.to`` or computed from such ones counts as the device's, all
    others as the host's. A host tensor without axes is a number and goes with both, as in torch itself.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = list(_tensors((args, kwargs)))
        of_device = [one for one in given if getattr(one, "of_device", False)]
        name = getattr(func, "__name__", str(func))
        result = func(*args, **kwargs)
        moved = name in {"to", "cuda"} and (len(given) == 1 or bool(of_device))
        indexed = name == "__getitem__" and getattr(given[0], "of_device", False)  # by an index of either
        if of_device and not moved and not indexed:
            strangers = [one for one in given if not getattr(one, "of_device", False) and one.dim() > 0]
            assert not strangers, (
                f"{name}: a tensor of shape {tuple(strangers[0].shape)} was left on the host"
            )
        if of_device or moved or kwargs.get("device") is not None:
            for one in _tensors(result):
                if name not in {"cpu", "numpy"}:
                    one.of_device = True  # type: ignore[attr-defined]
        return result


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)


def made_there(*shape: int) -> Tensor:
    """Zeros on the device, for tests of the mode itself."""
    return torch.zeros(*shape, device="cpu")
