"""Add the lineage of certificates that were renewed without a secret."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

HASH = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")


def upgrade() -> None:
    """Create the columns."""
    op.add_column("certificates", sa.Column("allowed_names", sa.Text))
    op.add_column("certificates", sa.Column("renewed_from", HASH))
    op.add_column("certificates", sa.Column("lineage_since", sa.BigInteger))
    op.add_column("certificates", sa.Column("renewals", sa.Integer))
    op.create_index(
        "certificates_renewed_from",
        "certificates",
        ["renewed_from", "not_after"],
        sqlite_where=sa.text("renewed_from IS NOT NULL"),
        postgresql_where=sa.text("renewed_from IS NOT NULL"),
    )
