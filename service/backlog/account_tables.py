"""Tables of people, of what they did, and of what was last told to them; part of the ledger's database.

Passwords, sessions and tokens are kept as hashes only. ``audit`` holds what is no event of a job: who signed
in, who looked, what was changed about people and the configuration; it names jobs by id and no patient.
"""

from __future__ import annotations

import sqlalchemy as sa

from service.backlog.ledger_tables import metadata

_serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_json = sa.JSON(none_as_null=True)

account = sa.Table(
    "account",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("password", sa.Text),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("changed_at", sa.Double, nullable=False),
)

sign_in_session = sa.Table(
    "sign_in_session",
    metadata,
    sa.Column("token_sha256", sa.Text, primary_key=True),
    sa.Column("account", sa.Text, sa.ForeignKey("account.name"), nullable=False, index=True),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
)

api_token = sa.Table(
    "api_token",
    metadata,
    sa.Column("id", _serial, primary_key=True, autoincrement=True),
    sa.Column("account", sa.Text, sa.ForeignKey("account.name"), nullable=False, index=True),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("token_sha256", sa.Text, nullable=False, unique=True),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double),
)

failed_sign_in = sa.Table(
    "failed_sign_in",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("last_at", sa.Double, nullable=False, index=True),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", _serial, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Double, nullable=False, index=True),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("who", sa.Text),
    sa.Column("address", sa.Text),
    sa.Column("succeeded", sa.Boolean, nullable=False),
    sa.Column("job_id", sa.Text, index=True),
    sa.Column("facts", _json),
)

alarm = sa.Table(
    "alarm",
    metadata,
    sa.Column("reason", sa.Text, primary_key=True),
    sa.Column("told_at", sa.Double, nullable=False),
)
