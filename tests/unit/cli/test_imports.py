"""Short commands import only what they need, because imports take most of their time."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.acme import add_account
from tests.support.inventory import add, open_inventory
from tests.support.tokens import add_token

# Each test starts a process.
pytestmark = pytest.mark.slow

# The commands that have to be fast need none of them, and each takes long to import.
HEAVY = {
    "alembic",
    "cryptography",
    "joserfc",
    "keystoneauth1",
    "ldap3",
    "mako",
    "multiprocessing",
    "oslo_messaging",
    "pecan",
    "psycopg",
    "requests",
    "stevedore",
    "webob",
}
PROGRAM = """if True:
    import gc, json, sys
    before = set(sys.modules)
    from anchor.cli import main
    try:
        code = main.main(sys.argv[1:])
    except SystemExit as ended:
        code = ended.code
    assert not code, code
    assert gc.isenabled()
    print(json.dumps(sorted(set(sys.modules) - before)), file=sys.stderr)
"""


def imported_by(*arguments):
    """The modules that a command imports, and its output."""
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True
    )
    return set(json.loads(finished.stderr.splitlines()[-1])), finished.stdout


def heavy(modules):
    """The large packages among modules."""
    return {module.partition(".")[0] for module in modules} & HEAVY


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_help_imports_no_command_and_no_library(option):
    modules, output = imported_by(option)

    assert "anchor" in output
    assert {module for module in modules if module.startswith("anchor.")} - {
        "anchor.cli.examples"
    } == {
        "anchor.cli",
        "anchor.cli.command_modules",
        "anchor.cli.main",
        "anchor.cli.output",
        "anchor.cli.parser",
        "anchor.cli.terminal",
        "anchor.errors",
    }
    assert heavy(modules) | modules & {"asyncio", "pydantic", "sqlalchemy"} == set()


@pytest.mark.parametrize("command", ["list", "renew"])
def test_the_client_imports_no_jose_library_while_nothing_is_due(command, tmp_path):
    modules, output = imported_by(command, "--state", str(tmp_path))

    assert "nothing is tracked" in output
    assert heavy(modules) == {"cryptography"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["certs"],
        ["certs", "--for", "a.example.com"],
        ["certs", "show", "{fingerprint}"],
        ["token", "list"],
        ["token", "revoke", "{token}"],
        ["acme", "clients"],
    ],
    ids=" ".join,
)
def test_reading_the_inventory_imports_no_library_of_the_service(arguments, document, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(document))
    inventory = open_inventory(tmp_path)
    fingerprint = add(inventory, "a.example.com")
    token = add_token(inventory.database, names=("a.example.com",), uses=2)["user"]
    account = add_account(inventory.database, requester="a.example.com")
    add(inventory, "a.example.com", token_id=token, acme_account=account.id)
    words = [word.format(fingerprint=fingerprint, token=token) for word in arguments]

    modules, output = imported_by(*words, "--config", str(config))

    assert "a.example.com" in output
    assert "sqlalchemy" in modules
    assert heavy(modules) == set()
