"""Advice on tokens."""

from __future__ import annotations

from collections.abc import Iterator

from anchor.config_lint.review import ConfigUnderReview
from anchor.errors import AnchorError, ConfigProblem
from anchor.store.database.inspection import inspect_database, schema_of
from anchor.store.database.settings import DatabaseLocation
from anchor.store.database.tokens import SINCE_SCHEMA, count_without_end


def tokens_without_end(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find tokens in the database that never expire."""
    for path, _section in review.sections("authentication", "token"):
        if count := _count_without_end(review.loaded.database.location):
            yield ConfigProblem(
                path,
                f"{count} usable token{'s' if count > 1 else ''} in the database never "
                f"expire{'' if count > 1 else 's'}, so a copy that is found years later still gets "
                "certificates: `anchor token list` shows them, `anchor token revoke` ends one",
            )
        # All sections have the same tokens.
        return


def _count_without_end(location: DatabaseLocation) -> int:
    """The number of usable tokens without an end; 0 if the database cannot be read now."""
    try:
        with inspect_database(location) as connection:
            has_tokens = (schema_of(connection) or "") >= SINCE_SCHEMA
            return count_without_end(connection) if has_tokens else 0
    except AnchorError:
        # The database of a service that never started does not exist, and a server may be away.
        return 0
