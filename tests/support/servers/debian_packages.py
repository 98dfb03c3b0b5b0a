"""The Debian packages of this clone, built once for all tests."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support.paths import ROOT
from tests.support.servers.uwsgi_wheel import uwsgi_wheels


@pytest.fixture(scope="session")
def debian_packages():
    """The paths of the packages, by the name of the package."""
    directory = ROOT / ".cache/deb"
    # pip's settings are in the environment, too.
    finished = subprocess.run(
        [ROOT / "tools/make-deb", directory],
        env={**os.environ, "WHEELS": str(uwsgi_wheels())},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    assert 0 == finished.returncode, finished.stdout
    return {path.name.split("_")[0]: path for path in directory.glob("*.deb")}
