"""The reference of validators and fixups is complete, and its examples work."""

from __future__ import annotations

import configparser
import inspect
import json
import re

import pytest

from anchor.config import plugins
from anchor.config.plugins import load_plugin
from anchor.policy.checks import SUPPLIED
from anchor.policy.mandatory_checks import content_checks, key_checks, result_checks
from anchor.X509 import oids
from anchor.X509.weak_keys import Allowed
from tests.support import reference_pages
from tests.support.paths import ROOT
from tests.support.policies import make_policy

PAGES = {"anchor.validators": "validators", "anchor.fixups": "fixups"}


def entry_points(namespace):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options.entry_points"][namespace].split("\n")
    return sorted(line.partition("=")[0].strip() for line in lines if line.strip())


def section(namespace, title):
    """A section of a page, from its title to the next title."""
    text = reference_pages.text(PAGES[namespace])
    parts = re.split(r"^(.+)\n=+\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(title)


PLUGINS = [(namespace, name) for namespace in PAGES for name in entry_points(namespace)]


@pytest.mark.parametrize(("namespace", "name"), PLUGINS)
def test_every_plugin_has_a_section_with_each_of_its_options(namespace, name):
    text = section(namespace, name)
    function = load_plugin(namespace, name)
    options = plugins.Signature.of(function, SUPPLIED).names()

    assert text, f"{name} has no section"
    assert options == set(re.findall(r"^``(\w+)``$", text, flags=re.MULTILINE))
    assert inspect.getdoc(function)
    required = {
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name in options and parameter.default is parameter.empty
    }
    assert len(required) == len(re.findall(r"\bRequired\b", text))


@pytest.mark.parametrize(("namespace", "name"), PLUGINS)
def test_every_example_is_a_configuration_that_starts(namespace, name, tmp_path):
    (tmp_path / "blocklist.dat").write_bytes(bytes(16))
    examples = re.findall(
        r"code-block:: json\n\n((?: {4}.*\n|\n)+)", section(namespace, name) + "\n"
    )

    assert examples
    for example in examples:
        options = json.loads(example.replace("/var/lib/anchor", str(tmp_path)))
        assert name in options
        assert make_policy(**{namespace.removeprefix("anchor."): options})


def test_every_mandatory_check_is_on_the_page():
    text = section("anchor.validators", "Mandatory checks")
    rules = [
        *key_checks(frozenset(), Allowed()),
        *content_checks(intermediate=True),
        *content_checks(intermediate=False),
        *result_checks(),
    ]
    names = {check.name for check in rules}

    assert names == set(re.findall(r"^``(\w+)``$", text, flags=re.MULTILINE))


@pytest.mark.parametrize(
    ("title", "known"),
    [
        ("extensions", oids.EXTENSIONS),
        ("key_usage", oids._USAGES),
        ("ext_key_usage", oids.EXTENDED_USAGES),
    ],
)
def test_every_spelling_is_on_the_page(title, known):
    text = section("anchor.validators", title)
    aliases = {"extendedKeyUsage", "subjectAlternativeName"}

    shown = {spelling.lower() for spelling in re.findall(r"``([^`]+)``", text)}
    assert [] == [name for name in known if name.lower() not in shown and name not in aliases]
