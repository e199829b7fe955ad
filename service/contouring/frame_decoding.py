"""Compressed frames decoded in processes of their own: the parent's side of ``frame_process``."""

from __future__ import annotations

import atexit
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from socket import socket, socketpair
from typing import Any, Final

from service.contouring.model_link import LinkClosed, receive, send
from service.errors import SegmentationFailed
from service.log import EventLog
from service.process_life import Lifeline

_CHILD: Final = ("-m", "service.contouring.frame_process")
_START_SECONDS: Final = 60.0
_FRAME_SECONDS: Final = 60.0
_TRIES: Final = 2
"""A frame that ends its process does so again; a process killed by somebody else is no reason to refuse."""
_KEPT: Final = 2

_log = EventLog("contouring")


class FrameUndecodable(Exception):
    """What the frame holds cannot be made into pixels."""


class FrameDecoders:
    """Processes that decode, one for each thread that asks at the moment; a few are kept for the next."""

    def __init__(self, *, frame_seconds: float = _FRAME_SECONDS) -> None:
        self._frame_seconds = frame_seconds
        self._lifeline: Lifeline | None = None
        self._starter: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._idle: list[_Decoder] = []

    def decode(self, request: Mapping[str, Any], out: memoryview) -> None:
        """Put the pixels of one frame into ``out``, bytes.

        Args:
            request: ``file``, ``offset`` of PixelData's value, ``transfer_syntax_uid``, ``frame`` (0-based),
                and ``image``, the Image Pixel module in the words of pydicom's decoders.
            out: as long as the frame is.

        Raises:
            FrameUndecodable: the decoder refused it, ended with it, or took too long.
            SegmentationFailed: no process could be started.
        """
        for _ in range(_TRIES):
            decoder, answered = self._taken(), False
            try:
                decoded = decoder.decode(request, out)
                answered = True
            except LinkClosed:
                _log.error("decoder.ended", exit_code=decoder.kill())
                continue
            except TimeoutError:
                _log.error("decoder.timed-out", seconds=self._frame_seconds)
                break
            finally:
                self._give_back(decoder) if answered else decoder.kill()
            if decoded:
                return
            break
        raise FrameUndecodable

    def close(self) -> None:
        """End the processes; those at work end with this one."""
        with self._lock:
            idle, self._idle = self._idle, []
        for decoder in idle:
            decoder.kill()
        if self._starter is not None:
            self._starter.shutdown()
        if self._lifeline is not None:
            self._lifeline.close()

    def _taken(self) -> _Decoder:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            if self._starter is None:  # its thread lives as long as this process; see process_life
                self._starter = ThreadPoolExecutor(1, thread_name_prefix="decoder-starter")
                self._lifeline = Lifeline()
            starter, lifeline = self._starter, self._lifeline
        assert lifeline is not None  # noqa: S101 - for the type checker: made with the starter
        return _Decoder(starter, lifeline, self._frame_seconds)

    def _give_back(self, decoder: _Decoder) -> None:
        with self._lock:
            if len(self._idle) < _KEPT:
                self._idle.append(decoder)
                return
        decoder.kill()


class _Decoder:
    """One process."""

    def __init__(self, starter: ThreadPoolExecutor, lifeline: Lifeline, frame_seconds: float) -> None:
        self._seconds = frame_seconds
        self._link, theirs = socketpair()
        with theirs:
            self._child = starter.submit(
                subprocess.Popen,
                [sys.executable, "-P", *_CHILD, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # decoders write what they think of a frame
                pass_fds=(theirs.fileno(), *lifeline.pass_fds),
                env=lifeline.environment(),
            ).result()
        self._link.settimeout(_START_SECONDS)
        try:
            receive(self._link)
        except (LinkClosed, TimeoutError):
            self.kill()
            sentence = (
                "The process that decodes compressed images did not start. Retry the job; if it fails again, "
                "see what the machine lacks."
            )
            raise SegmentationFailed("decoder.not-started", sentence) from None

    def decode(self, request: Mapping[str, Any], out: memoryview) -> bool:
        """See :meth:`FrameDecoders.decode`; False if the frame is refused."""
        self._link.settimeout(self._seconds)
        send(self._link, request)
        reply, _ = receive(self._link)
        if reply["say"] != "done":
            return False
        _receive_into(self._link, out)
        return True

    def kill(self) -> int:
        """End it; its exit status."""
        self._link.close()
        with suppress(ProcessLookupError):
            self._child.kill()
        return self._child.wait()


def _receive_into(link: socket, out: memoryview) -> None:
    while out:
        try:
            count = link.recv_into(out)
        except TimeoutError:
            raise
        except OSError as error:
            raise LinkClosed from error
        if count == 0:
            raise LinkClosed
        out = out[count:]


DECODERS: Final = FrameDecoders()
"""Of this process."""

atexit.register(DECODERS.close)
