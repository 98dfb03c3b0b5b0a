"""Create the tables for certificates, bans and failed authentications."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
KEY = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
HASH = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "certificates",
        sa.Column("id", IDENTIFIER, primary_key=True),
        sa.Column("fingerprint", HASH, nullable=False, unique=True),
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("ca_key_id", sa.String(64), nullable=False),
        sa.Column("key", HASH, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("names", sa.Text, nullable=False),
        sa.Column("not_before", sa.BigInteger, nullable=False),
        sa.Column("not_after", sa.BigInteger, nullable=False),
        sa.Column("issued_at", sa.BigInteger),
        sa.Column("authority", sa.String(64)),
        sa.Column("signing_ca", sa.String(64)),
        sa.Column("door", sa.String(16)),
        sa.Column("requester", sa.Text),
        sa.Column("user_id", sa.Text),
        sa.Column("project_id", sa.Text),
        sa.Column("groups", sa.Text),
        sa.Column("requester_key", KEY),
        sa.Column("user_id_key", KEY),
        sa.Column("address", sa.Text),
        sa.Column("request_id", sa.String(64)),
        sa.Column("der", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("serial", "ca_key_id"),
    )
    op.create_index("certificates_not_after", "certificates", ["not_after"])
    op.create_index("certificates_key", "certificates", ["key", "not_after"])
    op.create_index("certificates_authority", "certificates", ["authority", "not_after"])
    op.create_index("certificates_requester", "certificates", ["requester_key", "not_after"])
    op.create_index("certificates_user_id", "certificates", ["user_id_key", "not_after"])
    op.create_table(
        "certificate_names",
        sa.Column(
            "certificate_id",
            IDENTIFIER,
            sa.ForeignKey("certificates.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("search_key", KEY, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("not_after", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "certificate_names_search_key",
        "certificate_names",
        ["search_key", "not_after", "certificate_id"],
    )
    op.create_index("certificate_names_certificate", "certificate_names", ["certificate_id"])
    op.create_table(
        "bans",
        sa.Column("id", IDENTIFIER, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("value_hash", sa.String(64), nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
        sa.UniqueConstraint("kind", "value_hash"),
    )
    op.create_table(
        "ban_keys",
        sa.Column(
            "ban_id", IDENTIFIER, sa.ForeignKey("bans.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("key", KEY, nullable=False),
    )
    op.create_index("ban_keys_key", "ban_keys", ["key"])
    op.create_index("ban_keys_ban", "ban_keys", ["ban_id"])
    op.create_table(
        "failures",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("expires", sa.Float(53), nullable=False),
    )
    op.create_index("failures_expires", "failures", ["expires"])
    op.create_table(
        "imports",
        sa.Column("content_hash", sa.String(64), primary_key=True),
        sa.Column("imported_at", sa.BigInteger, nullable=False),
    )
