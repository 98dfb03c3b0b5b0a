"""The backends of the how-to work when they are installed as it says."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import textwrap

import pytest

from tests.support.paths import DOC

PAGE = DOC / "howto/authentication-backends.rst"

_ASK = """
import json, sys
from pathlib import Path
from anchor.auth.loading import load_authenticator
from anchor.auth.results import AuthDetails
from anchor.errors import ConfigurationError, NotAuthenticated
for line in sys.stdin:
    section, user, secret = json.loads(line)
    try:
        backend = load_authenticator("it", section, Path())
        if secret is None:
            found = backend.look_up("default", AuthDetails(user))
        else:
            found = backend.authenticate("default", user, secret)
        print(json.dumps([found.username, list(found.groups)]))
    except (ConfigurationError, NotAuthenticated) as error:
        print(json.dumps(f"{type(error).__name__}: {error}"))
"""


def blocks(language):
    text = PAGE.read_text()
    found = re.findall(rf"code-block:: {language}\n\n((?:    .*\n|\n)+)", text)
    return [textwrap.dedent(block) for block in found]


@pytest.fixture
def ask(tmp_path):
    """Calls a backend in a Python environment with the how-to's package."""
    (tmp_path / "example_auth.py").write_text("\n".join(blocks("python")))
    [registration] = blocks("ini")
    metadata = tmp_path / "example_auth-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: example-auth\nVersion: 1\n")
    lines = registration.splitlines()[2:]
    entry_points = ["[anchor.authentication]", *(line.strip() for line in lines)]
    (metadata / "entry_points.txt").write_text("\n".join(entry_points))

    def run(*questions):
        done = subprocess.run(
            [sys.executable, "-c", _ASK],
            input="\n".join(map(json.dumps, questions)),
            env=os.environ | {"PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
            cwd=tmp_path,
            text=True,
            check=True,
            stdout=subprocess.PIPE,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def test_the_howtos_backends_work(ask, tmp_path):
    [configuration] = blocks("json")
    sections = json.loads(configuration)["authentication"]
    hashed = hashlib.scrypt(b"alice-secret", salt=b"salt", n=2**14, r=8, p=1).hex()
    users = tmp_path / "users.json"
    users.write_text(json.dumps({"alice": {"salt": "salt", "hash": hashed, "groups": ["Nova"]}}))
    users.chmod(0o600)
    people = sections["people"] | {"users": str(users)}
    refused = "NotAuthenticated: the credentials were not accepted"

    assert [
        ["web1", ["token-holders"]],
        refused,
        ["alice", ["users", "Nova"]],
        refused,
        refused,
        ["alice", ["users", "Nova"]],
        "NotAuthenticated: the user is not in the file any more",
        "ConfigurationError: missing option 'users'",
        "ConfigurationError: unknown option 'group': did you mean 'default_group'?",
    ] == ask(
        [sections["machines"], "web1", "a-long-random-token"],
        [sections["machines"], "web1", "another"],
        [people, "alice", "alice-secret"],
        [people, "alice", "wrong"],
        [people, "bob", "alice-secret"],
        [people, "alice", None],
        [people, "bob", None],
        [{"backend": "users_file"}, "alice", "alice-secret"],
        [people | {"group": "x"}, "alice", "alice-secret"],
    )
