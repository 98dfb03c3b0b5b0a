"""The pages about the client are complete, and their examples are valid."""

from __future__ import annotations

import argparse
import importlib
import json
import re

import pytest

from anchor.cli import client_options, main
from anchor.client import certificate_version, configuration
from anchor.client.settings import ClientSettings
from tests.support.paths import DOC

REFERENCE = (DOC / "reference/client.rst").read_text()
HOWTOS = [DOC / "howto/certmonger.rst", DOC / "howto/renewal.rst"]
COMMANDS = ("request", "renew", "list", "forget")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented_with_its_name(name):
    parser = argparse.ArgumentParser()
    importlib.import_module(f"anchor.cli.{main.COMMANDS[name].module}").add_to(parser)

    for action in parser._actions:
        for option in action.option_strings or [action.metavar]:
            if option not in ("-h", "--help"):
                assert re.search(rf"``.*{option}\b.*``", REFERENCE), option


def test_every_key_of_the_configuration_is_documented_with_its_default():
    for name, field in ClientSettings.model_fields.items():
        entry = re.search(rf"^``{name}``\n((?:    .*\n|\n)+)", REFERENCE, re.MULTILINE)
        assert entry, name
        if field.default not in (None, "") and not field.is_required():
            assert f"{json.dumps(field.default).strip(chr(34))}" in entry[1], name


def test_every_file_and_exit_code_is_documented():
    for name in certificate_version.NAMES:
        assert f"``{name}``" in REFERENCE
    for code in (0, 1, 2, client_options.HOOK_FAILED, client_options.UNAVAILABLE):
        assert re.search(rf"^{code} ", REFERENCE, re.MULTILINE)


def test_every_variable_of_a_hook_is_documented(machine, tmp_path):
    told = tmp_path / "told"
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\nenv >{told}\n")
    hook.chmod(0o755)
    assert 0 == machine.request("www.example.com", "--hook", hook)

    page = HOWTOS[1].read_text()
    for name in re.findall(r"^(ANCHOR_\w+)=", told.read_text(), re.MULTILINE):
        assert f"``{name}``" in page


@pytest.mark.parametrize("page", HOWTOS, ids=lambda page: page.stem)
def test_the_examples_of_client_json_are_good(page, tmp_path, private_tls):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0o600)
    [example] = re.findall(r"code-block:: json\n\n((?:       .*\n)+)", page.read_text())
    text = example.replace("/etc/anchor/secret", "secret").replace(
        "/etc/anchor/tls-ca.pem", str(private_tls.ca.cert_path)
    )
    path = tmp_path / "client.json"
    path.write_text(text)

    client = configuration.load(path)

    assert "https://anchor.example.com" == client.transport.url.text
