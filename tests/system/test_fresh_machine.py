"""The messages of the two commands on a machine that lacks a program."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.servers.anchor import ROOT

NOBODY = 65534


@pytest.fixture
def without_sudo():
    """A directory with the usual programs but without sudo, readable for every user."""
    with tempfile.TemporaryDirectory() as directory:
        programs = Path(directory)
        programs.chmod(0o755)
        for name in ("sh", "id", "dpkg-query", "grep"):
            (programs / name).symlink_to(shutil.which(name))
        yield programs


def test_without_sudo_the_missing_package_is_named(without_sudo):
    finished = subprocess.run(
        [shutil.which("setpriv"), f"--reuid={NOBODY}", "--clear-groups", "sh", "-s", "no-venv"],
        input=(ROOT / "tools/install-packages").read_text(),
        env={"PATH": str(without_sudo)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 1 == finished.returncode
    assert "as root, run: apt-get install no-venv" in finished.stderr


def test_the_readme_names_what_make_serve_needs():
    readme = (ROOT / "README.rst").read_text()
    named = re.search(r"sudo apt-get install (.*)", readme)[1].split()

    # For venv and ensurepip, the clone, the Makefile, and the commands of the README.
    assert {"python3", "python3-venv", "git", "make", "curl", "openssl"} <= set(named)


def test_the_tool_for_fresh_machines_explains_itself():
    finished = subprocess.run(
        [ROOT / "tools/fresh-machine", "--help"], capture_output=True, text=True, check=False
    )

    assert 2 == finished.returncode
    assert "--suite bookworm|trixie" in finished.stdout
