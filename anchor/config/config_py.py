"""Where ``config.py`` is, which holds Pecan's and the web service's values."""

from __future__ import annotations

import sys
from pathlib import Path

import anchor
from anchor.errors import ConfigurationError


def find_config_py(config_json: Path) -> Path:
    """``config.py``: beside config.json, or the one that came with the package.

    Raises:
        ConfigurationError: there is none.
    """
    places = (
        config_json.absolute().parent,
        Path(sys.prefix, "etc/anchor"),
        # A checkout that is installed in place.
        Path(anchor.__file__).parent.parent,
    )
    for place in places:
        if (place / "config.py").is_file():
            return place / "config.py"
    raise ConfigurationError.about("", f"there is no config.py in {', '.join(map(str, places))}")
