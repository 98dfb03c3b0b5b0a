"""The configuration, for commands that need only parts of it."""

from __future__ import annotations

from pathlib import Path

from anchor.config.diagnostics import Diagnostics
from anchor.config.document import Document, find_config, read_document


def read_configuration(path: Path | None) -> Document:
    """The configuration; only its structure is validated.

    Args:
        path: the file; None to look for it in the standard directories.

    Raises:
        ConfigurationError: with all problems of the structure.
    """
    problems = Diagnostics()
    document = read_document(path or find_config(), problems)
    problems.raise_if_any()
    return document
