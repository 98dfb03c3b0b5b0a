"""The path of ``config.py``, which has the settings of Pecan and the web service."""

from __future__ import annotations

import sys
from pathlib import Path

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
