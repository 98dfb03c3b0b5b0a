"""The tests do not depend on the environment of the user who runs them."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.environment import clean_environment


def test_variables_of_python_and_of_the_user_are_removed():
    before = {
        "HOME": "/home/alice",
        "PATH": "/usr/bin",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": "/somewhere",
        "XDG_CONFIG_HOME": "/home/alice/.config",
        "VIRTUAL_ENV": "/venv",
        "ANCHOR_CONF": "/etc/anchor/config.json",
        "https_proxy": "http://proxy.example.com",
        "PIP_INDEX_URL": "https://pypi.example.com/simple",
    }

    assert {
        "HOME": "/nobody",
        "PATH": "/usr/bin",
        "LANG": "C.UTF-8",
        "LANGUAGE": "C",
        "TERM": "dumb",
        "PIP_CACHE_DIR": "/home/alice/.cache/pip",
        "PIP_INDEX_URL": "https://pypi.example.com/simple",
    } == clean_environment(before, "/nobody")


def test_child_processes_have_the_clean_environment():
    names = subprocess.run(
        [sys.executable, "-c", "import os; print(*os.environ, sep='\\n')"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert [] == [name for name in names if name.startswith("PYTHON")]
    assert "ANCHOR_CONF" not in names
    assert "C.UTF-8" == os.environ["LANG"]
