"""A worker in a process of its own, to be killed: it writes what it does to one file, line by line.

Payloads are ``name`` or ``name;word;word`` with the words ``sleep=s``, ``held`` (until there is a file ``go`` beside the log), ``die`` or ``die=s`` (the process kills itself, after so many
seconds), ``again=n`` (asks to be run n times in all, 1.2 s apart) and ``raise``.
"""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from pathlib import Path

from service.backlog.engine import Again, EngineWorker


class Diary:
    """One file for all processes; a lock on a file for each unit shows whether two ever run it at once."""

    def __init__(self, file: Path) -> None:
        self.go = file.with_name("go")
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._units = file.parent / "units"
        self._units.mkdir(exist_ok=True)

    def say(self, *words: object) -> None:
        line = " ".join(map(str, (f"{time.time():.4f}", os.getpid(), *words)))
        os.write(self._file, f"{line}\n".encode())

    def alone(self, unit: str) -> int:
        descriptor = os.open(self._units / unit, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.say("overlap", unit)
        return descriptor


def handler(diary: Diary, queue: str):
    def handle(payload: str) -> Again | None:
        name, *words = payload.split(";")
        options = dict(word.partition("=")[::2] for word in words)
        unit = diary.alone(f"{queue}-{name}")
        diary.say("start", queue, name)
        if "die" in options:
            time.sleep(float(options["die"] or 0))
            os.kill(os.getpid(), signal.SIGKILL)
        if "raise" in options:
            message = "Lindqvist^Åsa"
            raise ValueError(message)
        while "held" in options and not diary.go.exists():
            time.sleep(0.02)
        time.sleep(float(options.get("sleep", 0)))
        diary.say("end", queue, name)
        os.close(unit)
        runs = int(options.get("again", 1))
        if runs > 1:
            rest = ";".join([name, f"again={runs - 1}", f"sleep={options.get('sleep', 0)}"])
            return Again(f"{queue}:{name}:{runs - 1}", rest, 1.2)
        return None

    return handle


def work(url: str, executor_id: str, locks: Path, log: Path, queues: str, reap_after_seconds: float) -> None:
    """Run the rows of ``queues``, such as ``contour=1,deliver=4``, until the process is asked to end."""
    diary = Diary(log)
    numbers = {name: int(number) for name, _, number in (part.partition("=") for part in queues.split(","))}
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    worker = EngineWorker(
        url,
        executor_id,
        locks,
        0.1,
        on_dead=lambda queue, payload: diary.say("dead", queue, payload.partition(";")[0]),
        reap_after_seconds=reap_after_seconds,
    )
    handlers = {queue: handler(diary, queue) for queue in numbers}
    diary.say("up", executor_id)
    left = worker.run(handlers, stop, numbers)
    diary.say("down", executor_id, left)
    if left:
        os._exit(3)
