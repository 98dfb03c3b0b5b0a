"""Alembic runs this module for each migration, on a connection that Anchor has opened."""

from __future__ import annotations

from alembic import context

from anchor.store.database.acme_tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
