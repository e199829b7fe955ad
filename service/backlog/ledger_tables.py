"""The ledger's tables: what people see of a CT, from its arrival to the structure set at its destination.

Times are UTC seconds since the epoch. Only ``series`` holds values of a patient, in columns of its own.
Texts under ``folder``, ``files`` and ``file`` are relative to the storage folder where that is known.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

SCHEMA_VERSION: Final = 5
"""Each version has its step in :mod:`service.backlog.migrations`."""

metadata = sa.MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s"})

_json = sa.JSON(none_as_null=True)
_serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite numbers rows only of type INTEGER

ledger_version = sa.Table("ledger_version", metadata, sa.Column("version", sa.Integer, nullable=False))

config = sa.Table(
    "config",
    metadata,
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("first_used_at", sa.Double, nullable=False),
)

series = sa.Table(
    "series",
    metadata,
    sa.Column("id", _serial, primary_key=True, autoincrement=True),
    sa.Column("series_instance_uid", sa.Text, nullable=False, unique=True),
    sa.Column("study_instance_uid", sa.Text, nullable=False, index=True),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("folder_name", sa.Text, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("code", sa.Text),
    sa.Column("sentence", sa.Text),
    sa.Column("instances", sa.Integer, nullable=False),
    sa.Column("calling_ae_title", sa.Text, nullable=False),
    sa.Column("called_ae_title", sa.Text, nullable=False),
    sa.Column("sender_address", sa.Text, nullable=False),
    sa.Column("first_at", sa.Double, nullable=False),
    sa.Column("last_at", sa.Double, nullable=False, index=True),
    sa.Column("recorded_at", sa.Double, nullable=False),
    sa.Column("purged_at", sa.Double),
    sa.Column("patient_id", sa.Text, nullable=False, index=True),
    sa.Column("patient_name", sa.Text, nullable=False),
    sa.Column("birth_date", sa.Text, nullable=False),
    sa.Column("sex", sa.Text, nullable=False),
    sa.Column("accession_number", sa.Text, nullable=False),
    sa.Column("study_date", sa.Text, nullable=False),
    sa.Column("study_description", sa.Text, nullable=False),
    sa.Column("series_description", sa.Text, nullable=False),
)

job = sa.Table(
    "job",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("series_id", _serial, sa.ForeignKey("series.id"), nullable=False, index=True),
    sa.Column("protocol", sa.Text, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("destinations", _json, nullable=False),
    sa.Column("mode", sa.Text, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("routes", _json, nullable=False),
    sa.Column("when_sent_again", sa.Text, nullable=False),
    sa.Column("files", _json, nullable=False),
    sa.Column("notes", _json, nullable=False),
    sa.Column("config_version", sa.Text, nullable=False),
    sa.Column("predecessor", sa.Text),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("code", sa.Text),
    sa.Column("sentence", sa.Text),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("submissions", sa.Integer, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False, index=True),
    sa.Column("updated_at", sa.Double, nullable=False),
    sa.Column("contoured_at", sa.Double),
    sa.Column("provenance", _json),
    sa.Column("volumes_cm3", _json),
    sa.Column("seconds", _json),
    sa.Column("purged_at", sa.Double),
    sa.UniqueConstraint("series_id", "protocol", "revision"),
)

finding = sa.Table(
    "finding",
    metadata,
    sa.Column("id", _serial, primary_key=True, autoincrement=True),
    sa.Column("job_id", sa.Text, sa.ForeignKey("job.id"), nullable=False, index=True),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("structure", sa.Text),
    sa.Column("severity", sa.Text, nullable=False),
)

delivery = sa.Table(
    "delivery",
    metadata,
    sa.Column("id", _serial, primary_key=True, autoincrement=True),
    sa.Column("job_id", sa.Text, sa.ForeignKey("job.id"), nullable=False, index=True),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("file", sa.Text, nullable=False),
    sa.Column("sop_instance_uid", sa.Text, nullable=False, index=True),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("submissions", sa.Integer, nullable=False),
    sa.Column("last_status", sa.Integer),
    sa.Column("reason", sa.Text),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
    sa.Column("next_at", sa.Double),
    sa.UniqueConstraint("job_id", "destination", "kind", "generation"),
)

attempt = sa.Table(
    "attempt",
    metadata,
    sa.Column("delivery_id", _serial, sa.ForeignKey("delivery.id"), primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("started_at", sa.Double, nullable=False),
    sa.Column("ended_at", sa.Double),
    sa.Column("status", sa.Integer),
    sa.Column("code", sa.Text),
    sa.Column("sentence", sa.Text),
)

event = sa.Table(
    "event",
    metadata,
    sa.Column("id", _serial, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Double, nullable=False, index=True),
    sa.Column("job_id", sa.Text, index=True),
    sa.Column("series_id", _serial, index=True),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("sentence", sa.Text),
    sa.Column("who", sa.Text),
    sa.Column("facts", _json),
)

resent = sa.Table(
    "resent",
    metadata,
    sa.Column("id", _serial, primary_key=True, autoincrement=True),
    sa.Column("series_instance_uid", sa.Text, nullable=False, index=True),
    sa.Column("at", sa.Double, nullable=False),
)
