"""Add the accounts, the orders and the authorizations of ACME."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

KEY = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
HASH = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
TOKEN_ID = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables and the columns."""
    op.add_column("tokens", sa.Column("mac_key", sa.LargeBinary))
    op.add_column("certificates", sa.Column("acme_account", TOKEN_ID))
    _create_partial_index("certificates", "acme_account", "not_after")
    op.create_table(
        "shared_keys",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "acme_accounts",
        sa.Column("id", TOKEN_ID, primary_key=True),
        sa.Column("authority", sa.String(64), nullable=False),
        sa.Column("key_thumbprint", HASH, nullable=False),
        sa.Column("jwk", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("contact", sa.Text, nullable=False),
        sa.Column("requester", sa.Text, nullable=False),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("allowed_names", sa.Text),
        sa.Column("token_id", TOKEN_ID),
        sa.Column("binding", sa.Text),
        sa.Column("user_agent", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("refused", sa.Integer, nullable=False),
        sa.UniqueConstraint("authority", "key_thumbprint"),
    )
    op.create_index("acme_accounts_token_id", "acme_accounts", ["token_id"])
    op.create_table(
        "acme_orders",
        sa.Column("id", TOKEN_ID, primary_key=True),
        sa.Column("account_id", TOKEN_ID, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("identifiers", sa.Text, nullable=False),
        sa.Column("names_key", HASH, nullable=False),
        sa.Column("profile", sa.String(64)),
        sa.Column("error", sa.Text),
        sa.Column("replaces", KEY),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("finalized", sa.BigInteger),
        sa.Column("certificate", HASH),
        sa.Column("delete_after", sa.BigInteger, nullable=False),
    )
    op.create_index("acme_orders_account", "acme_orders", ["account_id", "created", "id"])
    op.create_index("acme_orders_names", "acme_orders", ["account_id", "names_key", "finalized"])
    op.create_index("acme_orders_delete_after", "acme_orders", ["delete_after"])
    _create_partial_index("acme_orders", "replaces")
    unfinished = sa.text("status IN ('pending', 'ready')")
    op.create_index(
        "acme_orders_unfinished",
        "acme_orders",
        ["account_id", "expires"],
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )
    uncertified = sa.text("certificate IS NULL")
    op.create_index(
        "acme_orders_uncertified",
        "acme_orders",
        ["account_id", "created"],
        sqlite_where=uncertified,
        postgresql_where=uncertified,
    )
    op.create_table(
        "acme_authorizations",
        sa.Column("id", TOKEN_ID, primary_key=True),
        sa.Column("order_id", TOKEN_ID, nullable=False),
        sa.Column("account_id", TOKEN_ID, nullable=False),
        sa.Column("identifier_type", sa.String(8), nullable=False),
        sa.Column("identifier", KEY, nullable=False),
        sa.Column("wildcard", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("challenges", sa.Text, nullable=False),
    )
    op.create_index("acme_authorizations_order", "acme_authorizations", ["order_id"])
    op.create_index(
        "acme_authorizations_account", "acme_authorizations", ["account_id", "identifier"]
    )


def _create_partial_index(table: str, column: str, *more: str) -> None:
    """Create an index of the rows in which a column is not null."""
    condition = sa.text(f"{column} IS NOT NULL")
    op.create_index(
        f"{table}_{column}",
        table,
        [column, *more],
        sqlite_where=condition,
        postgresql_where=condition,
    )
