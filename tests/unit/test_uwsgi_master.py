"""uwsgi's master loads what its workers share, and nothing that belongs to one of them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# Each test starts a process.
pytestmark = pytest.mark.slow

PROGRAM = """if True:
    import anchor.uwsgi_master, gc, json, sys, threading
    from pathlib import Path
    print(json.dumps({
        "modules": sorted(sys.modules),
        "frozen": gc.get_freeze_count(),
        "collects": gc.isenabled(),
        "threads": threading.active_count(),
        "files": [str(file.resolve()) for file in Path("/proc/self/fd").iterdir()],
    }))
"""


@pytest.fixture
def config(document, tmp_path):
    """A configuration with a validator of Anchor's."""
    document["registration_authority"]["default"]["validators"] = {"standards_compliance": {}}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))
    return path


def start(config):
    """Import the module as uwsgi's master does."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"ANCHOR_CONF": str(config), "HOME": str(config.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_master_loads_code_and_plugins_and_makes_the_tables(config):
    finished = start(config)
    master = json.loads(finished.stdout.splitlines()[-1])

    needed = {"anchor.app", "anchor.auth.static", "anchor.ca.file_key", "stevedore.driver"}
    assert needed | {"anchor.validators.standards"} <= set(master["modules"])
    # What only the check, and the first start, need is in the process that has ended.
    assert not {"alembic", "anchor.config_lint"} & set(master["modules"])
    assert "the database's schema is now at version" in finished.stderr
    # No collection touches what the workers share.
    assert master["frozen"] > 50_000
    assert master["collects"]
    # No fork breaks anything: there is no thread, no connection and no other open file.
    assert master["threads"] == 1
    assert not [file for file in master["files"] if file.startswith(str(config.parent))]


def test_a_bad_configuration_ends_the_master(config):
    config.write_text(config.read_text().replace("standards_compliance", "no_such_validator"))

    finished = start(config)

    assert finished.returncode == 1
    assert "no_such_validator" in finished.stdout + finished.stderr
