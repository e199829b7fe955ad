"""The process that decodes compressed frames, so that what they do to a decoder is done to nobody else.

A JPEG with one wrong byte ends the process that decodes it, and a few kilobytes may ask for gigabytes. This
one may take so much memory and no more, and when it dies its parent refuses the series and starts another.
"""

from __future__ import annotations

import resource
import socket
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from service.contouring.codestream import is_plausible
from service.contouring.model_link import LinkClosed, receive, send
from service.dicom.library_errors import LIBRARY_ERRORS
from service.dicom.transfer_syntaxes import TRANSFER_SYNTAXES
from service.process_life import die_with_parent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MEMORY_BYTES: Final = 1536 << 20
"""Beyond what is mapped at the start; the largest frame that is taken, 4096 x 4096, needs a fifth of it."""


class _Undecodable(ValueError):
    """The frame is not what its data set says it is."""


def main() -> None:
    """Serve the socket whose descriptor is the argument, until it closes."""
    die_with_parent()
    warnings.simplefilter("ignore")  # pydicom's quote values
    link = socket.socket(fileno=int(sys.argv[1]))
    for syntax in TRANSFER_SYNTAXES.values():
        if syntax.decoding_plugin is not None:
            get_decoder(UID(syntax.uid))
    _limit_memory()
    try:
        send(link, {"say": "ready"})
        while True:
            request, _ = receive(link)
            _answer(link, request)
    except LinkClosed:
        return


def _answer(link: socket.socket, request: dict[str, Any]) -> None:
    try:
        frame = _decoded(request)
    except LIBRARY_ERRORS:
        send(link, {"say": "undecodable"})
        return
    send(link, {"say": "done"})
    try:
        link.sendall(frame.data.cast("B"))
    except OSError as error:
        raise LinkClosed from error


def _decoded(request: dict[str, Any]) -> NDArray[np.integer]:
    """``(rows, columns)`` of 16 bits, contiguous."""
    rows, columns = request["image"]["rows"], request["image"]["columns"]
    index, frames = request["frame"], request["image"]["number_of_frames"]
    with Path(request["file"]).open("rb") as stream:
        stream.seek(request["offset"])
        frame = get_frame(stream, index, number_of_frames=frames)
        if not is_plausible(frame, rows, columns):
            raise _Undecodable
        stream.seek(request["offset"])
        decoded, _ = get_decoder(UID(request["transfer_syntax_uid"])).as_array(
            stream,
            index=index,
            decoding_plugin=TRANSFER_SYNTAXES[request["transfer_syntax_uid"]].decoding_plugin or "",
            **request["image"],
        )
    if decoded.shape != (rows, columns) or decoded.dtype.itemsize != 2:
        raise _Undecodable
    whole: NDArray[np.integer] = decoded.copy(order="C")
    return whole


def _limit_memory() -> None:
    """Let this process map no more than it should need, and leave no core dump, which would hold a CT."""
    mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    limit = mapped + _MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
