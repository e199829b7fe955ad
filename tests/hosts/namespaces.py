"""Hosts for tests: network namespaces on one cable each, joined by a bridge in a namespace of its own.

Nothing of it is seen outside: bridge, cables and addresses are all inside namespaces, and go with them. Names
hold the process id, so that runs may stand beside each other and what a killed run left is found and removed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "delineate"
_FOLDER = Path("/run/netns")
_CLONE_NEWNET = 0x40000000


def unavailable() -> str | None:
    """Why no namespaces can be made here; None if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "the command ip is not installed (Debian: iproute2)"
    probe = f"{PREFIX}-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False)
    if made.returncode:
        return "network namespaces may not be made here"
    _ip("netns", "del", probe)
    return None


class Network:
    """A switch and the hosts on it.

    Args:
        names: of the hosts; the first gets 10.77.0.1, the next 10.77.0.2 and so on.
    """

    def __init__(self, names: Sequence[str]) -> None:
        _remove_left_over()
        self._tag = f"{PREFIX}-{os.getpid()}"
        self._switch = f"{self._tag}-switch"
        self.addresses: Mapping[str, str] = {
            name: f"10.77.0.{number}" for number, name in enumerate(names, 1)
        }
        try:
            _ip("netns", "add", self._switch)
            _ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
            _ip("-n", self._switch, "link", "set", "bridge", "up")
            for name, address in self.addresses.items():
                self._add(name, address)
        except BaseException:
            self.close()
            raise

    def unplug(self, name: str) -> None:
        """Pull a host's cable."""
        _ip("-n", self._switch, "link", "set", name, "down")

    def plug_in(self, name: str) -> None:
        """Put it back."""
        _ip("-n", self._switch, "link", "set", name, "up")

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Sockets and processes that this thread makes meanwhile are that host's."""
        own = os.open(f"/proc/self/task/{_thread_id()}/ns/net", os.O_RDONLY)
        there = os.open(_FOLDER / self._namespace(name), os.O_RDONLY)
        try:
            _enter(there)
            yield
        finally:
            _enter(own)
            os.close(own)
            os.close(there)

    def close(self) -> None:
        """Remove everything."""
        for namespace in [*(self._namespace(name) for name in self.addresses), self._switch]:
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)

    def _add(self, name: str, address: str) -> None:
        namespace = self._namespace(name)
        _ip("netns", "add", namespace)
        cable = ("link", "add", "eth0", "type", "veth", "peer", "name", name, "netns", self._switch)
        _ip("-n", namespace, *cable)
        _ip("-n", self._switch, "link", "set", name, "master", "bridge", "up")
        _ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", namespace, "link", "set", device, "up")

    def _namespace(self, name: str) -> str:
        return f"{self._tag}-{name}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _enter(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _thread_id() -> int:
    import threading

    return threading.get_native_id()


def _remove_left_over() -> None:
    for namespace in _FOLDER.glob(f"{PREFIX}-*"):
        pid = namespace.name.split("-")[1]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", namespace.name)
