"""The path of ``config.py``, which has the settings of Pecan and the web service."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anchor
from anchor.errors import ConfigurationError


def find_config_py(config_json: Path) -> Path:
    """The path of ``config.py``: beside ``config.json``, else the installed one.

    Raises:
        ConfigurationError: there is none.
    """
    directories = (
        config_json.absolute().parent,
        Path(sys.prefix, "etc/anchor"),
        # An editable install (`pip install -e`): the clone itself.
        Path(anchor.__file__).parent.parent,
    )
    for directory in directories:
        if (directory / "config.py").is_file():
            return directory / "config.py"
    searched = ", ".join(map(str, directories))
    raise ConfigurationError.about("", f"there is no config.py in {searched}")


def describe_failed_run(path: Path, error: BaseException) -> str:
    """Why ``config.py`` cannot be run, in one line."""
    return f"{path} cannot be run: {type(error).__name__}: {' '.join(str(error).split())}"


def require_keys(path: Path, values: Mapping[str, Any], section: str, *keys: str) -> None:
    """Require that a section has some keys.

    Args:
        path: the path of ``config.py``.
        values: its settings.
        section: the name of the section.
        keys: the keys.

    Raises:
        ConfigurationError: the section is missing, is no dictionary, or lacks a key.
    """
    content = values.get(section)
    if not isinstance(content, Mapping) or not set(keys) <= set(content):
        needed = " and ".join(map(repr, keys))
        raise ConfigurationError.about(section, f"{path} needs a dictionary with {needed}")


def require_application(path: Path, values: Mapping[str, Any]) -> None:
    """Require the section from which Pecan loads the service; see :func:`require_keys`."""
    require_keys(path, values, "app", "modules")
