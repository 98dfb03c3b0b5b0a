"""The errors of database drivers, in words for operators."""

from __future__ import annotations

import psycopg

from anchor.errors import DatabaseUnavailable
from anchor.store.database.errors import replacement_of


def test_the_number_of_a_system_error_is_left_out():
    error = psycopg.OperationalError(
        "failed to resolve host 'db.example': [Errno -2] Name or service not known"
    )

    replacement = replacement_of(error, "postgresql://db.example/anchor")

    assert isinstance(replacement, DatabaseUnavailable)
    assert str(replacement) == (
        "postgresql://db.example/anchor: failed to resolve host 'db.example': "
        "Name or service not known"
    )
