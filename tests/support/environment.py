"""The tests' environment: built up from nothing, so that a prepared machine hides no fault."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# PATH leads to the servers, and pip's settings to the package index.  pytest and its plug-ins pass
# their own variables to their worker processes, and ANCHOR_LOAD is `make load`.
KEPT = ("PATH", "TMPDIR", "ANCHOR_LOAD")
KEPT_PREFIXES = ("PIP_", "PYTEST_", "COV_")


def built_up(before, home):
    """The environment that tests get.

    Args:
        before: the environment that they were started with.
        home: a home directory without any configuration.
    """
    kept = {
        name: value
        for name, value in before.items()
        if name in KEPT or name.startswith(KEPT_PREFIXES)
    }
    cache = before.get("XDG_CACHE_HOME") or Path(before.get("HOME", "/"), ".cache")
    return {
        "PIP_CACHE_DIR": str(Path(cache, "pip")),
        **kept,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
    }


def enter():
    """Give this process, and all that it starts, the tests' environment."""
    variables = built_up(os.environ, tempfile.mkdtemp(prefix="anchor-home-"))
    os.environ.clear()
    os.environ.update(variables)
