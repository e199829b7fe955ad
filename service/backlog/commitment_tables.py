"""The ledger's tables of storage commitment (PS3.4 Annex J): what we ask of destinations, and senders of us.

Times are UTC seconds since the epoch. A transaction is written down before it is asked for.
"""

from __future__ import annotations

import sqlalchemy as sa

from service.backlog import ledger_tables as tables

_serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_json = sa.JSON(none_as_null=True)

commitment = sa.Table(
    "commitment",
    tables.metadata,
    sa.Column("delivery_id", _serial, sa.ForeignKey("delivery.id"), primary_key=True, autoincrement=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("code", sa.Text),
    sa.Column("failure_reason", sa.Integer),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
)

commitment_request = sa.Table(
    "commitment_request",
    tables.metadata,
    sa.Column("transaction_uid", sa.Text, primary_key=True),
    sa.Column("delivery_id", _serial, sa.ForeignKey("delivery.id"), nullable=False, index=True),
    sa.Column("ae_title", sa.Text, nullable=False),
    sa.Column("asked_at", sa.Double, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("code", sa.Text),
)

commitment_asked = sa.Table(
    "commitment_asked",
    tables.metadata,
    sa.Column("id", _serial, primary_key=True, autoincrement=True),
    sa.Column("ae_title", sa.Text, nullable=False),
    sa.Column("transaction_uid", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("instances", _json, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("asked_at", sa.Double, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
    sa.UniqueConstraint("ae_title", "transaction_uid"),
)
