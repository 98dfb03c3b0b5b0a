"""Revocations are in the audit file, and are no issuances there."""

from __future__ import annotations

import json

import pytest

from anchor.cli import main
from tests.support.acme import BASE_URL, acme_configuration, issue_for
from tests.unit.acme.test_revocation import add_client, revoke
from tests.unit.cli.test_database_check import audit_in


@pytest.fixture
def acme(serve, document, tmp_path):
    document["audit"] = audit_in(tmp_path)
    return serve(acme_configuration(document), base_url=BASE_URL)


def test_the_audit_file_with_revocations_is_verified_and_compared(acme, tmp_path, capsys):
    client = add_client(acme)
    issued = [issue_for(acme.settings.acme["default"], client.row) for _ in range(2)]
    revoke(client, issued[0])
    revoke(client, issued[0], status=400)

    events = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    recorded = [event for event in events if event["event"] == "audit.revoke"]
    assert [event["outcome"] for event in recorded] == ["success", "failure"]
    assert {event["fingerprint"] for event in recorded} == {issued[0].fingerprint}
    config = ["--config", str(acme.path / "config.json")]
    assert main.main(["audit", "verify", *config]) == 0
    capsys.readouterr()
    assert main.main(["database", "check", "--json", *config]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["good"] is True
    assert report["forgotten"] == report["unknown"] == []
    assert report["bans"]["count"] == 1


def test_the_certificates_of_an_account_are_listed(acme, capsys):
    client = add_client(acme)
    issued = issue_for(acme.settings.acme["default"], client.row)
    issue_for(acme.settings.acme["default"], add_client(acme).row)
    config = ["--config", str(acme.path / "config.json"), "--json"]
    assert main.main(["certs", "--account", client.row.id, *config]) == 0
    assert json.loads(capsys.readouterr().out)["fingerprint"] == issued.fingerprint
    assert main.main(["certs", "show", issued.fingerprint, *config]) == 0
    assert json.loads(capsys.readouterr().out)["acme_account"] == client.row.id
