"""What ``models`` refuses while data sets are made or read, as a refusal of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def refusals() -> Iterator[None]:
    """What ``models`` refuses, as a refusal that the command line prints as a sentence."""
    from models.data_sets.data_set import DataSetInvalid
    from service.errors import DataRefused

    try:
        yield
    except DataSetInvalid as error:
        raise DataRefused(error.code, str(error)) from error
