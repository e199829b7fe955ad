"""A disk of the test's own: ext4 on a loop image, mounted where only this process and its children see it.

Its power can be cut: ``EXT4_IOC_SHUTDOWN`` without flushing the log throws away all that was not made durable,
as a loss of power does. It can be filled, and can fail.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import os
import shutil
import struct
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_EXT4_IOC_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2


class Unavailable(Exception):
    """No disk can be made here; the text says why."""


class Disk:
    """A mounted file system of its own.

    Attributes:
        folder: where it is mounted; everybody may look into it.
    """

    def __init__(self, megabytes: int) -> None:
        if os.geteuid() != 0 or not Path("/dev/loop-control").exists() or shutil.which("mkfs.ext4") is None:
            message = "mounting a file system needs root, loop devices and mkfs.ext4"
            raise Unavailable(message)
        self._home = Path(tempfile.mkdtemp(prefix="delineate-disk-"))
        self._home.chmod(0o755)
        self._image = self._home / "image"
        self.folder = self._home / "mounted"
        self.folder.mkdir()
        _keep_mounts_private()
        _run("truncate", "-s", f"{megabytes}M", self._image)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", self._image)
        self.mount()

    def mount(self) -> None:
        """Mount it, at first or after :meth:`unmount`."""
        try:
            _run("mount", "-o", "loop,errors=remount-ro", self._image, self.folder)
        except subprocess.CalledProcessError as error:
            shutil.rmtree(self._home)
            message = "this machine does not let us mount a loop image"
            raise Unavailable(message) from error

    def unmount(self) -> None:
        """Unmount it, once nobody uses it any more."""
        deadline = time.monotonic() + 30
        while subprocess.run(["umount", self.folder], capture_output=True, check=False).returncode != 0:
            if time.monotonic() > deadline:
                message = "somebody still uses the disk"
                raise TimeoutError(message)
            time.sleep(0.05)

    def cut_power(self) -> None:
        """From now on nothing reaches the disk, and what was not made durable is gone."""
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def fail(self) -> None:
        """The file system finds an error and makes itself read-only, whoever writes just then."""
        _run("mount", "-o", "remount,abort", self.folder)

    def repair(self) -> None:
        """Mend what :meth:`fail` left, while it is not mounted."""
        subprocess.run(["e2fsck", "-p", "-f", self._image], check=False, capture_output=True)

    def sync(self) -> None:
        """Make durable all that is on it."""
        _run("sync", "-f", self.folder)

    def fill(self, leave_bytes: int = 0) -> Path:
        """Take all the space there is but so much; deleting the file gives it back."""
        ballast = self.folder / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while (left := shutil.disk_usage(self.folder).free - leave_bytes) > 0:
                file.write(bytes(min(left, 1 << 20)))
        return ballast

    def close(self) -> None:
        """Unmount it and delete the image."""
        self.unmount()
        shutil.rmtree(self._home)


@functools.cache
def _keep_mounts_private() -> None:
    """Give this process a mount namespace of its own, once; what it mounts ends with it at the latest."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        message = f"this machine gives no mount namespace ({os.strerror(ctypes.get_errno())})"
        raise Unavailable(message)
    _run("mount", "--make-rprivate", "/")


def _run(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)
