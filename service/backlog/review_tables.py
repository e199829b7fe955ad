"""The ledger's tables of evaluation: structure sets that came back, what was changed in them, grades.

They name no patient: jobs and series by id, reviewers not at all. ``job_id`` and ``series_id`` are no foreign
keys, because what was measured stays when the CT it was measured on is forgotten.
"""

from __future__ import annotations

import sqlalchemy as sa

from service.backlog.ledger_tables import metadata

_serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_json = sa.JSON(none_as_null=True)

reviewed_set = sa.Table(
    "reviewed_set",
    metadata,
    sa.Column("id", _serial, primary_key=True, autoincrement=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),  # of its file: a hash of the SOP Instance UID
    sa.Column("received_at", sa.Double, nullable=False, index=True),
    sa.Column("series_id", _serial, index=True),
    sa.Column("sender", sa.Text, nullable=False),
    sa.Column("approval", sa.Text, nullable=False),
    sa.Column("reviewer_known", sa.Boolean, nullable=False),
    sa.Column("found_by", sa.Text, nullable=False),
    sa.Column("file", sa.Text, nullable=False),  # empty once it is deleted
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("code", sa.Text),
    sa.Column("sentence", sa.Text),
)

reviewed_structure = sa.Table(
    "reviewed_structure",
    metadata,
    sa.Column("id", _serial, primary_key=True, autoincrement=True),
    sa.Column("set_id", _serial, sa.ForeignKey("reviewed_set.id"), nullable=False, index=True),
    sa.Column("job_id", sa.Text, nullable=False, index=True),
    sa.Column("received_at", sa.Double, nullable=False, index=True),
    sa.Column("contoured_at", sa.Double, nullable=False),
    sa.Column("protocol", sa.Text, nullable=False),
    sa.Column("ct_sender", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("is_shadow", sa.Boolean, nullable=False),
    sa.Column("structure", sa.Text, nullable=False, index=True),
    sa.Column("their_name", sa.Text),
    sa.Column("matched_by", sa.Text),
    sa.Column("code", sa.Text),
    sa.Column("sentence", sa.Text),
    sa.Column("measures", _json, nullable=False),
    sa.Column("slices", _json, nullable=False),
    sa.Column("estimated_grade", sa.Text),
    sa.Column("reader_grade", sa.Text),
    sa.Column("superseded", sa.Boolean, nullable=False),
    sa.UniqueConstraint("set_id", "job_id", "structure"),
)

reader_grade = sa.Table(
    "reader_grade",
    metadata,
    sa.Column("id", _serial, primary_key=True, autoincrement=True),
    sa.Column(
        "reviewed_structure_id", _serial, sa.ForeignKey("reviewed_structure.id"), nullable=False, index=True
    ),
    sa.Column("slice_position_mm", sa.Double),  # None: the whole structure
    sa.Column("grade", sa.Text, nullable=False),
    sa.Column("reader", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
)

review_query = sa.Table(
    "review_query",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),  # as in reviewed_set
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("asked_at", sa.Double, nullable=False),
)
