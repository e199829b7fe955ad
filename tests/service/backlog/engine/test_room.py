"""So many rows at a time, and one that has been run before with no other beside it."""

from __future__ import annotations

import threading
import time

import pytest

from service.backlog.engine.room import Room, Stopped


class Guests:
    """Rows that come in threads and stay until they are let go."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.inside: list[str] = []
        self.said: list[str] = []
        self.leave: dict[str, threading.Event] = {}

    def come(self, name: str, *, alone: bool = False) -> None:
        self.leave[name] = threading.Event()

        def stay() -> None:
            told = {"waits": lambda: self.said.append(f"{name} waits")}
            told["waited"] = lambda: self.said.append(f"{name} waited")
            with self.room.place(alone=alone, **told):
                self.inside.append(name)
                self.leave[name].wait(10)
                self.inside.remove(name)

        threading.Thread(target=stay, daemon=True).start()

    def settle(self, *names: str) -> None:
        deadline = time.monotonic() + 60
        while sorted(self.inside) != sorted(names):
            assert time.monotonic() < deadline, self.inside
            time.sleep(0.005)
        time.sleep(0.05)
        assert sorted(self.inside) == sorted(names)


def test_no_more_than_its_size_are_inside():
    guests = Guests(Room(2))
    for name in "ab":
        guests.come(name)
    guests.settle("a", "b")
    guests.come("c")
    guests.settle("a", "b")
    guests.leave["a"].set()
    guests.settle("b", "c")
    assert guests.said == ["c waits", "c waited"]


def test_who_must_be_alone_waits_for_the_others_and_they_for_it():
    guests = Guests(Room(3))
    guests.come("a")
    guests.settle("a")
    guests.come("p", alone=True)
    guests.settle("a")
    guests.come("b")  # there is room, but not before p
    guests.settle("a")
    guests.leave["a"].set()
    guests.settle("p")
    guests.come("q", alone=True)
    guests.settle("p")
    guests.leave["p"].set()
    guests.settle("q")
    guests.leave["q"].set()
    guests.settle("b")
    assert sorted(guests.said) == sorted(
        f"{name} {word}" for name in ("p", "b", "q") for word in ("waits", "waited")
    )


def test_one_that_raises_leaves_its_place():
    room = Room(1)
    with pytest.raises(ValueError, match="no"), room.place(alone=True):
        raise ValueError("no")
    with room.place(alone=False):
        pass


def test_waiting_ends_with_the_process():
    stop = threading.Event()
    room = Room(1, stop.is_set)
    with room.place(alone=False):
        stop.set()
        with pytest.raises(Stopped), room.place(alone=True):
            pass
    with room.place(alone=True):  # who gave up waiting is not waited for
        pass
