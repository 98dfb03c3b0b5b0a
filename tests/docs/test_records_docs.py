"""The pages about certificates, bans and the audit list every option and every field."""

from __future__ import annotations

import argparse
import json
import re

import pytest
from cryptography import x509

from anchor.cli import acme, ban, certs, database, main, token, unban
from anchor.cli import audit as audit_command
from anchor.store.database.tokens import Tokens
from tests.support.pages import SOURCE
from tests.support.pki import make_csr
from tests.support.tokens import add_token

COMMANDS = (SOURCE / "reference/command-records.rst").read_text()
AUDIT = (SOURCE / "reference/audit.rst").read_text()


def parsers():
    """The parser of each command; the commands of ``anchor audit`` and others have two words."""
    for module in (certs, ban, unban, token, acme, database, audit_command):
        name = module.__name__.rpartition(".")[2]
        parser = argparse.ArgumentParser()
        module.add_to(parser)
        inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        if not inner or parser.get_default("run"):
            yield name, parser
        for action in inner:
            yield from ((f"{name} {below}", its) for below, its in action.choices.items())


@pytest.mark.parametrize(("name", "parser"), [*parsers()])
def test_every_option_is_in_the_section_of_its_command(name, parser):
    section = COMMANDS.partition(f"\nanchor {name}\n=")[2].partition("\nanchor ")[0]

    assert section
    for option in (option for action in parser._actions for option in action.option_strings):
        if option not in ("-h", "--help", "--config"):
            assert re.search(rf"``(.*, )?{option}\b.*?``", section), option


def test_every_field_of_what_is_listed_is_named(service, capsys):
    service.issue(make_csr("www.example.com", "www.example.com"))
    config = ["--config", str(service.path / "config.json"), "--json"]

    assert 0 == main.main(["certs", *config])
    listed = json.loads(capsys.readouterr().out)
    assert 0 == main.main(["certs", "show", listed["fingerprint"], *config])
    shown = json.loads(capsys.readouterr().out)
    assert 0 == main.main(["ban", "name", "www.example.com", *config])
    banned = json.loads(capsys.readouterr().out)
    assert 0 == main.main(["database", "info", *config])
    described = json.loads(capsys.readouterr().out)
    assert 0 == main.main(["database", "check", *config])
    checked = json.loads(capsys.readouterr().out)

    tokens = Tokens(service.settings.database)
    add_token(service.settings.database)
    [held] = tokens.select()
    assert 0 == main.main(["token", "list", *config])
    tokens_listed = json.loads(capsys.readouterr().out)
    assert 0 == main.main(["token", "revoke", held.id, *config])
    revoked = json.loads(capsys.readouterr().out)

    assert "fingerprint" in listed
    fields = {*listed, *shown, *banned, *described, *checked, *tokens_listed, *revoked}
    assert [] == sorted(field for field in fields if f"``{field}``" not in COMMANDS)


def test_every_field_of_an_event_is_named(service, audit):
    service.issue(make_csr("www.example.com", "www.example.com"))
    for_a_ca = (x509.BasicConstraints(ca=True, path_length=None), True)
    service.sign(make_csr(extensions=[for_a_ca]), status=400)
    service.sign(secret="wrong", status=401)

    fields = {field for event in audit.events() for field in event}
    assert {"requested", "failures", "fingerprint", "reasons"} <= fields
    assert [] == sorted(field for field in fields if f"``{field}``" not in AUDIT)


def test_a_failed_authentication_is_recorded_as_claimed_and_a_form_without_a_secret_not_at_all(
    service, audit
):
    service.sign(user="mallory", secret="wrong", status=401)
    service.sign(user="mallory", secret=None, status=401)

    assert ["mallory"] == [event["user"] for event in audit.events()]
