"""How long the structure set takes where its job makes other objects too, beside a job that makes nothing else.

One node, CT after CT, by turns from two senders: the route of the one asks for the set alone, the route of the
other for segmentations and previews as well.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.machine import versions
from benchmarks.measure_receive import series_of_noise
from benchmarks.null_node import TimedTps, config_of, write_null_bundle
from benchmarks.scoreboard import Scoreboard, absolute, compared
from benchmarks.sending import images_of, renamed, send
from benchmarks.settings import Settings
from pynetdicom import evt
from running_node import RunningNode, wait_until

from service.arrival.gathering import GAPS_OF_SILENCE
from service.config.output_objects import ObjectKind

_SLICES, _ROUNDS = 150, 5
_QUIET_SECONDS = 3.0
OTHERS = [kind.value for kind in ObjectKind if kind.sop_class_uid is not None]


class EveryObject(TimedTps):
    """A Storage SCP that takes every object of ours and notes when each was stored, by SOP class."""

    def __init__(self, ae_title: str) -> None:
        self.stored: list[tuple[str, float]] = []
        super().__init__()
        self.close()
        self.ae_title = ae_title
        self.classes = tuple(str(ObjectKind(name).sop_class_uid) for name in OTHERS)
        self.open()

    def _store(self, event: evt.Event) -> int:
        status = super()._store(event)
        self.stored.append((str(event.request.AffectedSOPClassUID), time.monotonic()))
        return status

    def sets(self) -> list[float]:
        """When each structure set was stored."""
        return [at for uid, at in self.stored if uid == str(ObjectKind.RTSTRUCT.sop_class_uid)]


class TwoWays:
    """A node and its two receivers; ``environment`` is the node's."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_null_bundle(folder / "bundles")
        self.receivers = {"ALONE": EveryObject("ALONE"), "OTHERS": EveryObject("OTHERS")}
        alone = self.receivers["ALONE"]
        config = config_of(alone, folder / "bundles")
        config["console"] = {"enabled": False}
        config["senders"] = dict.fromkeys(self.receivers)
        config["destinations"] = {
            name.lower(): {"ae_title": name, "host": "127.0.0.1", "port": at.port}
            for name, at in self.receivers.items()
        }
        config["destinations"]["others"]["objects"] = OTHERS
        config["routes"] = [
            {
                "name": name,
                "when": {"calling_ae": name},
                "contour": "null",
                "send_to": [name.lower()],
                "mode": "send",
            }
            for name in self.receivers
        ]
        self.node = RunningNode(folder, config, environment)
        self._folder = folder

    def seconds(self, name: str, folder: Path, word: str) -> tuple[float, float]:
        """From the end of the silence to the set stored, and to the last object stored, s."""
        at = self.receivers[name]
        before, objects = len(at.sets()), len(at.stored) + (1 if name == "ALONE" else len(OTHERS))
        sent = renamed(images_of(folder), folder, word)
        gap = send(self.node.port, sent, called="DELINEATE", calling=name).longest_gap_seconds
        ready = time.monotonic() + max(_QUIET_SECONDS, GAPS_OF_SILENCE * gap)
        wait_until(lambda: len(at.stored) >= objects, 300)
        return at.sets()[before] - ready, at.stored[-1][1] - ready

    def close(self) -> None:
        """End it and leave nothing."""
        if self.node.process is not None and self.node.process.poll() is None:
            self.node.stop()
        for at in self.receivers.values():
            at.close()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def two_ways(folder: Path, environment: dict[str, str] | None = None) -> Iterator[TwoWays]:
    """It, started and warm."""
    made = TwoWays(folder, environment)
    try:
        made.node.start(120)
        wait_until(lambda: made.node.events("model.loaded"), 120)
        yield made
    finally:
        made.close()


def measure(settings: Settings) -> Scoreboard:
    """Run it."""
    slices = 20 if settings.small else _SLICES
    work = settings.work("first_set")
    folder = series_of_noise(work / "ct", slices)
    alone: list[float] = []
    others: list[float] = []
    last: list[float] = []
    with two_ways(work / "node") as ways:
        for number in range(-1, settings.rounds(2 if settings.small else _ROUNDS)):
            found = {name: ways.seconds(name, folder, f"{name} {number}") for name in ways.receivers}
            if number >= 0:
                alone.append(found["ALONE"][0])
                others.append(found["OTHERS"][0])
                last.append(found["OTHERS"][1])
    board = Scoreboard("first_set", versions={"ours": versions()})
    what = f"{slices} slices, end of the silence to"
    board.rows = [
        compared(f"{what} structure set stored, four other objects of the job", "s", {"ours": others, "set alone": alone}),
        absolute(f"{what} the last of five objects stored", "s", last),
    ]  # fmt: skip
    return board
