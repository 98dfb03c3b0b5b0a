"""The environment variables of the tests: few, so that the machine's settings do not matter."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# PATH is for the servers, and PIP_* for the package index.  pytest and its plug-ins pass their own
# variables to worker processes.  `make load` sets ANCHOR_LOAD.
KEPT = ("PATH", "TMPDIR", "ANCHOR_LOAD")
KEPT_PREFIXES = ("PIP_", "PYTEST_", "COV_")


def clean_environment(before, home):
    """The environment variables for the tests.

    Args:
        before: the environment in which pytest was started.
        home: a home directory without configuration.
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
        # Otherwise argparse looks for translations of each option's words, in files.
        "LANGUAGE": "C",
        "TERM": "dumb",
    }


def enter():
    """Set the environment variables of this process and of its children."""
    variables = clean_environment(os.environ, tempfile.mkdtemp(prefix="anchor-home-"))
    os.environ.clear()
    os.environ.update(variables)
