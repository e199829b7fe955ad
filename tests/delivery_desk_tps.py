"""A TPS that answers C-ECHO at the address of a desk's only destination."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from running_node import ReceivingTps, wait_until


@contextmanager
def answering_tps(desk: Any) -> Iterator[ReceivingTps]:
    """It is there within the block; the configuration then names its port, in force at once."""
    tps = ReceivingTps("ECLIPSE")
    file = desk.folder / "config.yaml"
    file.write_text(file.read_text().replace("port: 1,", f"port: {tps.port},"))
    try:
        wait_until(lambda: desk.premises.loaded().site.destinations["eclipse"].port == tps.port)
        yield tps
    finally:
        tps.close()
