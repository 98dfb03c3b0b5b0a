"""Paths in a configuration: of :mod:`anchor.options`, without what its other types need."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo


def resolve(path: Path, info: ValidationInfo) -> Path:
    """The path from where the process is, as far as the context tells."""
    base: Path = (info.context or {}).get("base", Path())
    return base / path.expanduser()


FilePath = Annotated[Path, AfterValidator(resolve)]
"""A path; a relative one starts at the directory of ``config.json``, ``~`` at the home."""
