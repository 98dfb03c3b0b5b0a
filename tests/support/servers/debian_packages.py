"""The Debian packages of this clone, built once for all tests."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.paths import ROOT


@pytest.fixture(scope="session")
def debian_packages():
    """The paths of the packages, by the name of the package."""
    # pip's settings are in the environment.  The directory keeps the compiled uwsgi.
    directory = ROOT / ".cache/deb"
    finished = subprocess.run(
        [ROOT / "tools/make-deb", directory],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    assert 0 == finished.returncode, finished.stdout
    return {path.name.split("_")[0]: path for path in directory.glob("*.deb")}
