"""Add tokens, used credentials, and how the requester of a certificate was authenticated."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

HASH = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
TOKEN_ID = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables and the columns."""
    op.create_table(
        "tokens",
        sa.Column("id", TOKEN_ID, primary_key=True),
        sa.Column("authority", sa.String(64), nullable=False),
        sa.Column("requester", sa.Text, nullable=False),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("names", sa.Text),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("uses", sa.Integer, nullable=False),
        sa.Column("used", sa.Integer, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger),
        sa.Column("revoked", sa.BigInteger),
    )
    op.create_index("tokens_created", "tokens", ["created", "id"])
    op.create_table(
        "used_credentials",
        sa.Column("key", HASH, primary_key=True),
        sa.Column("expires", sa.BigInteger, nullable=False),
    )
    op.create_index("used_credentials_expires", "used_credentials", ["expires"])
    op.add_column("certificates", sa.Column("authentication", sa.String(64)))
    op.add_column("certificates", sa.Column("credential", sa.String(16)))
    op.add_column("certificates", sa.Column("token_id", TOKEN_ID))
    op.add_column("certificates", sa.Column("claims", sa.Text))
    op.create_index(
        "certificates_token_id",
        "certificates",
        ["token_id", "not_after"],
        sqlite_where=sa.text("token_id IS NOT NULL"),
        postgresql_where=sa.text("token_id IS NOT NULL"),
    )
