"""The model process: loads bundles, keeps them warm, segments what its parent hands it.

It alone uses torch. Started by :class:`service.contouring.segment.ModelClient` with exec, never by fork. It
ends when its parent dies or closes the link. After a failure that may have harmed it (a lost GPU, an
unforeseen exception) it tells the parent and ends, and the parent starts a fresh one.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from models.cards.card import BundleError, Card
from models.cards.catalog import find_bundle
from models.volume import CtVolume, OutsideTrainedRegion, Segmentation
from service.contouring.model_link import (
    LinkClosed,
    Message,
    array_in,
    grid_of_json,
    mapped,
    new_memory,
    receive,
    segmentation_as_json,
    send,
)
from service.failpoints import reach
from service.log import EventLog

if TYPE_CHECKING:
    from models.predictor import Predictor

_WARM_MODELS: Final = 3
_PROGRESS_SECONDS: Final = 0.1

_log = EventLog("model-process")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the parent at the other end of ``--link`` until it lets go."""
    given = _parsed(sys.argv[2:] if arguments is None else arguments)
    link = socket.socket(fileno=given.link)
    os.set_inheritable(given.link, False)
    models = WarmModels(given.device, [Path(folder) for folder in given.bundles])
    import torch  # slow, and here its time counts as the start of the process, not as the first CT's

    from models.predictor import load  # noqa: F401 - imports what the first CT would wait for

    torch.set_num_threads(given.threads or os.cpu_count() or 1)
    try:
        send(link, {"say": "ready"})
        while True:
            message, descriptors = receive(link)
            if not _answer(link, message, descriptors, models):
                return
    except LinkClosed:
        return


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="delineate model-process")
    parser.add_argument("--link", type=int, required=True, help="descriptor of the socket to the parent")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--bundles", action="append", default=[])
    return parser.parse_args(list(arguments))


class WarmModels:
    """The models used last, ready to run."""

    def __init__(self, device: str, folders: Sequence[Path]) -> None:
        self._device = device
        self._folders = tuple(folders)
        self._ready: OrderedDict[str, Predictor] = OrderedDict()

    def get(self, reference: str) -> Predictor:
        """The model ``name@version``, loaded again if its card has changed.

        Raises:
            BundleError: there is none, or it does not fit its card.
        """
        card: Card = find_bundle(reference, self._folders)
        ready = self._ready.pop(reference, None)
        if ready is None or ready.card != card:
            from models.predictor import load

            started = time.perf_counter()
            ready = load(card, self._device)
            _log.info("model.loaded", model=card.name, version=card.version, seconds=_since(started))
        self._ready[reference] = ready
        while len(self._ready) > _WARM_MODELS:
            self._ready.popitem(last=False)
        return ready


def _answer(link: socket.socket, message: Message, descriptors: list[int], models: WarmModels) -> bool:
    """Do what the parent asks; False if this process should end."""
    from models.predictor import OutputNotFinite

    try:
        reply, memory = _do(message, descriptors, models, _teller(link))
    except (BundleError, OutsideTrainedRegion, OutputNotFinite) as error:
        _refuse(link, "refused", error.code, str(error))
    except MemoryError:
        sentence = (
            "There is not enough memory for this CT and this model, not even in the model's smallest form."
        )
        _refuse(link, "failed", "model.out-of-memory", sentence)
        return False
    except LinkClosed:
        raise
    except Exception as error:  # noqa: BLE001 - the loop body of this process
        _log.failure("model.failed", error)
        sentence = f"The model ended with an unforeseen error ({type(error).__name__}); the log says where."
        _refuse(link, "failed", "model.failed", sentence)
        return False
    else:
        try:
            send(link, reply, [] if memory is None else [memory])
        finally:
            if memory is not None:
                os.close(memory)
    return True


def _do(
    message: Message, descriptors: list[int], models: WarmModels, tell: Callable[[float], None]
) -> tuple[Message, int | None]:
    """The reply and the memory file that goes with it."""
    try:
        if message["do"] == "warm":
            models.get(message["model"]).warm()
            return {"say": "done"}, None
        memory = mapped(descriptors[0], writable=False)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    grid = grid_of_json(message["grid"])
    hu: Any = array_in(memory, grid.shape_zyx, np.dtype(message["dtype"]))
    started = time.perf_counter()
    model = models.get(message["model"])
    load_seconds = _since(started)
    reach("contour.inferring")
    segmentation = model.segment(CtVolume(hu, grid), message["structures"], tell)
    _log.info(
        "model.done",
        model=model.card.name,
        version=model.card.version,
        slices=grid.shape_zyx[0],
        structures=len(segmentation.structures),
        device=segmentation.provenance.device,
        precision=segmentation.provenance.precision,
        seconds=_since(started),
    )
    return _packed(segmentation, load_seconds)


def _packed(segmentation: Segmentation, load_seconds: float) -> tuple[Message, int]:
    message, arrays = segmentation_as_json(segmentation)
    message["seconds"]["model_load"] = load_seconds
    descriptor = new_memory("fields", message["bytes"])
    memory = mapped(descriptor, writable=True)
    for one, values in zip(message["fields"], arrays, strict=True):
        array_in(memory, values.shape, values.dtype, one["offset"])[:] = values
    return {"say": "done", **message}, descriptor


def _teller(link: socket.socket) -> Callable[[float], None]:
    """Tells the parent how far we are, not more than ten times a second."""
    told_at = 0.0

    def tell(part: float) -> None:
        nonlocal told_at
        if time.monotonic() - told_at > _PROGRESS_SECONDS:
            told_at = time.monotonic()
            send(link, {"say": "progress", "part": round(part, 3)})

    return tell


def _refuse(link: socket.socket, kind: str, code: str, sentence: str) -> None:
    _log.warning("model.no-answer", kind=kind, code=code)
    send(link, {"say": "error", "kind": kind, "code": code, "sentence": sentence})


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 3)
