"""``anchor acme clients`` shows which clients ignore the window in which they should renew."""

from __future__ import annotations

import datetime
import json

import pytest

from anchor.acme.renewal_windows import window_of
from anchor.auth.credentials import new_token_id
from anchor.cli import main
from anchor.store.acme_records import AccountStatus
from anchor.store.bans import Ban
from anchor.store.database.bans import Bans
from tests.support.acme import add_account, add_binding_token
from tests.support.inventory import add, open_inventory
from tests.support.pki import now

HOUR = datetime.timedelta(hours=1)
DAY = 24 * HOUR


@pytest.fixture
def inventory(tmp_path):
    return open_inventory(tmp_path)


@pytest.fixture
def command(tmp_path, document, capsys, inventory):
    """Runs ``anchor acme clients``; returns its output, or its errors if it fails."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps(document))

    def run(*arguments, code=0):
        assert main.main(["acme", "clients", *arguments, "--config", str(config)]) == code
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    return run


@pytest.fixture
def clients(command):
    """The accounts as JSON, by their identifiers."""
    return lambda *arguments: {
        client["account"]: client
        for client in map(json.loads, command("--json", *arguments).splitlines())
    }


def issue(inventory, account, *names, at):
    """Store a certificate that is valid for a day; return its record."""
    names = names or ("www.example.com",)
    fingerprint = add(
        inventory, *names, issued_at=at, not_after=at + DAY, acme_account=account.id, door="acme"
    )
    return inventory.find(fingerprint)


def counts(client):
    return client["certificates"], client["early"], client["late"]


def test_a_client_that_keeps_to_its_window_is_neither_early_nor_late(inventory, clients):
    account = add_account(inventory.database)
    at = now() - 4 * DAY
    for _ in range(5):
        at = window_of(issue(inventory, account, at=at)).start
    assert counts(clients()[account.id]) == (5, 0, 0)


def test_a_client_that_issues_at_each_run_is_early(inventory, clients):
    account = add_account(inventory.database, refused=7)
    for hours in range(5):
        issue(inventory, account, at=now() - 10 * HOUR + hours * HOUR)
    client = clients()[account.id]
    assert counts(client) == (5, 4, 0)
    assert client["refused"] == 7


def test_a_client_that_renews_after_the_end_is_late(inventory, clients):
    account = add_account(inventory.database)
    for days in (9, 6, 3):
        issue(inventory, account, at=now() - days * DAY)
    assert counts(clients()[account.id]) == (3, 0, 2)


def test_other_names_are_another_certificate(inventory, clients):
    account, other = (add_account(inventory.database) for _ in range(2))
    at = now() - HOUR
    issue(inventory, account, "a.example.com", at=at)
    issue(inventory, account, "b.example.com", at=at)
    issue(inventory, account, "a.example.com", "b.example.com", at=at)
    issue(inventory, other, "a.example.com", at=at)
    assert counts(clients()[account.id]) == (3, 0, 0)
    # The sequence of names is the client's.
    issue(inventory, account, "b.example.com", "a.example.com", at=now())
    assert counts(clients()[account.id]) == (4, 1, 0)


@pytest.mark.parametrize("kind", ["certificate", "key"])
def test_a_certificate_that_replaces_a_revoked_one_is_not_early(inventory, clients, kind):
    account = add_account(inventory.database)
    first = issue(inventory, account, at=now() - 2 * HOUR)
    issue(inventory, account, at=now() - HOUR)
    issue(inventory, account, at=now())
    value = first.fingerprint if kind == "certificate" else first.key
    Bans(inventory.database).add(Ban(kind=kind, value=value, since=now() - HOUR))
    assert counts(clients()[account.id]) == (3, 1, 0)


def test_accounts_are_chosen_by_authority_token_and_behaviour(inventory, clients):
    database = inventory.database
    token_id, _ = add_binding_token(database)
    good = add_account(database, token_id=token_id)
    early = add_account(database, authority="other")
    refused = add_account(database, refused=1, status=AccountStatus.DEACTIVATED)
    for minutes in (5, 0):
        issue(inventory, early, at=now() - minutes * datetime.timedelta(minutes=1))
    assert clients().keys() == {good.id, early.id, refused.id}
    assert clients("--authority", "other").keys() == {early.id}
    assert clients("--token", token_id).keys() == {good.id}
    assert clients("--early").keys() == {early.id, refused.id}


def test_the_table_names_the_client(inventory, command):
    account = add_account(inventory.database, user_agent="certbot/5.8.0 \x1b[31m")
    issue(inventory, account, at=now())
    header, line = command().splitlines()
    assert header.split()[:4] == ["ACCOUNT", "STATUS", "CERTIFICATES", "EARLY"]
    assert line.split()[:6] == [account.id, "valid", "1", "0", "0", "0"]
    assert "certbot/5.8.0" in line and "\x1b" not in line


def test_no_account_says_so(command):
    assert command().startswith("there is no ACME account in ")
    for options in (["--early"], ["--token", new_token_id()], ["--authority", "default"]):
        assert command(*options).startswith("there is no such ACME account in ")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--authority", "other"], "there is no registration authority 'other': the configuration"),
        (
            ["--token", "geheim"],
            "that is not an identifier of a token, which is tk_ and 16 letters",
        ),
    ],
)
def test_what_cannot_exist_is_an_error(command, options, text):
    errors = command(*options, code=1)
    assert text in errors
    assert "geheim" not in errors


def test_many_accounts_are_all_listed(inventory, clients, monkeypatch):
    monkeypatch.setattr("anchor.store.database.acme_accounts._PAGE", 3)
    added = {add_account(inventory.database).id for _ in range(10)}
    assert clients().keys() == added
