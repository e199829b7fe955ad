"""What the supervisor knows of the configuration, handed over by the child that read it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

GO: Final = b"go\n"
"""The supervisor's answer, once it has locked the storage folder."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """This host's folder, AE title, the file with the configuration at the start, is there a console."""

    host_folder: str
    ae_title: str
    config_at_start: str
    console: bool

    def as_line(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def of_line(cls, line: str) -> Prepared:
        """The same back."""
        return cls(**json.loads(line))
