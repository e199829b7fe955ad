"""The file that says on which port this host receives, or that it stands by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.backlog.spool import write_durably

if TYPE_CHECKING:
    from pathlib import Path

    from service.config.reader import LoadedSite

PORT_FILE: Final = "arrival.port"
"""Holds the port without TLS; that with TLS if it is the only one."""

TLS_PORT_FILE: Final = "arrival.tls-port"
STANDING_BY: Final = "standing-by"


class PortFile:
    """``arrival.port`` in the host's folder, and in the storage folder, where people look for it."""

    def __init__(self, loaded: LoadedSite) -> None:
        self._own = loaded.host_folder / PORT_FILE
        self._shared = loaded.storage / PORT_FILE
        self._tls = loaded.storage / TLS_PORT_FILE

    def port_before(self) -> int:
        """Where the process before this one listened, if it could not say good-bye; else 0."""
        try:
            return int(self._own.read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def stand_by(self) -> None:
        """We wait until the receiver is gone."""
        self._write(self._own, STANDING_BY)

    def listen(self, port: int, tls_port: int | None = None) -> None:
        """We receive."""
        if tls_port is not None:
            self._write(self._tls, str(tls_port))
        for file in {self._own, self._shared}:
            self._write(file, str(port))

    def remove(self) -> None:
        """We do not receive any more; to be called before another may."""
        for file in {self._own, self._shared, self._tls}:
            file.unlink(missing_ok=True)

    def remove_own(self) -> None:
        """We stand by no longer."""
        self._own.unlink(missing_ok=True)

    @staticmethod
    def _write(file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_durably(file, f"{text}\n".encode())
