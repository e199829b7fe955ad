"""Both databases for every test of the ledger and the engine."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from service.backlog import engine
from service.backlog.ledger import Ledger
from service.backlog.records import (
    Job,
    Mode,
    PatientIdentity,
    ReceivedInstance,
    ReceivedSeries,
    SeriesState,
)
from service.backlog.spool import Spool

IDENTITY = PatientIdentity(
    patient_id="4711",
    patient_name="Lindqvist^Åsa",
    birth_date="19510203",
    sex="F",
    accession_number="A-88",
    study_date="20260102",
    study_description="CT pelvis",
    series_description="Pelvis 2 mm",
)


def _tests_module(name: str) -> ModuleType:
    """A module that lies beside the tests and is no package."""
    if name not in sys.modules:
        file = Path(__file__).resolve().parents[2] / f"{name}.py"
        specification = importlib.util.spec_from_file_location(name, file)
        assert specification is not None
        assert specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        sys.modules[name] = module
        specification.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Any]:
    """A PostgreSQL server of our own; skip where it is not installed."""
    module = _tests_module("postgresql")
    try:
        running = module.Cluster()
    except module.Unavailable as reason:
        pytest.skip(str(reason))
    running.migrated = None
    yield running
    running.close()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy, which is faster than to migrate anew."""
    file = tmp_path_factory.mktemp("sqlite") / "delineate.sqlite"
    _migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest, storage: Path, migrated_sqlite: Path) -> Iterator[str]:
    """A migrated, empty database: once SQLite, once PostgreSQL."""
    if request.param == "sqlite":
        shutil.copyfile(migrated_sqlite, storage / "delineate.sqlite")
        yield f"sqlite:///{storage / 'delineate.sqlite'}"
        return
    server = request.getfixturevalue("postgresql")
    if server.migrated is None:
        server.migrated = server.new_database()
        _migrate(server.migrated)
    server.empty(server.migrated)
    yield server.migrated


@pytest.fixture
def sqlite_url(storage: Path, migrated_sqlite: Path) -> str:
    """A migrated, empty SQLite database."""
    shutil.copyfile(migrated_sqlite, storage / "delineate.sqlite")
    return f"sqlite:///{storage / 'delineate.sqlite'}"


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """The node's storage folder."""
    folder = tmp_path / "var"
    folder.mkdir()
    return folder


@pytest.fixture
def identity() -> PatientIdentity:
    """Whose the series of these tests are."""
    return IDENTITY


@pytest.fixture
def spool(storage: Path) -> Spool:
    return Spool(storage)


@pytest.fixture
def ledger(database_url: str, storage: Path) -> Iterator[Ledger]:
    opened = Ledger(database_url, storage)
    yield opened
    opened.close()


@pytest.fixture
def client(database_url: str) -> Iterator[engine.EngineClient]:
    opened = engine.EngineClient(database_url)
    yield opened
    opened.close()


@pytest.fixture
def received(spool: Spool) -> Callable[..., ReceivedSeries]:
    """Makes a received series of ``count`` files."""

    def make(
        series_uid: str = "2.25.1", count: int = 3, study_uid: str = "2.25.9", at: float = 1000.0
    ) -> ReceivedSeries:
        instances = []
        for number in range(count):
            file = spool.instance_file(series_uid, f"{series_uid}.{number}")
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(b"CT" + bytes([number]))
            instances.append(
                ReceivedInstance(
                    "1.2.840.10008.5.1.4.1.1.2",
                    f"{series_uid}.{number}",
                    study_uid,
                    series_uid,
                    "1.2.840.10008.1.2",
                    "SCANNER",
                    "DELINEATE",
                    "127.0.0.1",
                    at,
                    file,
                )
            )
        folder = spool.series_folder(series_uid)
        return ReceivedSeries(
            series_uid,
            study_uid,
            "SCANNER",
            "DELINEATE",
            "127.0.0.1",
            folder,
            tuple(instances),
            at,
            at + count,
        )

    return make


@pytest.fixture
def new_job(ledger: Ledger, received: Callable[..., ReceivedSeries]) -> Callable[..., Job]:
    """Makes a series and its job in the ledger."""

    def make(series_uid: str = "2.25.1", protocol: str = "pelvis-ct", **changes: Any) -> Job:
        series = received(series_uid)
        with ledger.begin() as conn:
            series_id = ledger.record_series(conn, series, IDENTITY, SeriesState.ROUTED)
            fields: dict[str, Any] = {
                "destinations": ("eclipse",),
                "mode": Mode.SEND,
                "priority": 100,
                "files": [instance.file for instance in series.instances],
                "config_version": "0123456789ab",
            }
            return ledger.create_job(conn, series_id=series_id, protocol=protocol, **(fields | changes))

    return make


def _migrate(url: str) -> None:
    opened = Ledger(url)
    opened.migrate()
    opened.close()
    engine.migrate(url)
