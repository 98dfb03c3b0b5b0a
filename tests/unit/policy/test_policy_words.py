"""The description of a policy is complete and reveals only public values."""

from __future__ import annotations

import inspect
import json
import random
from typing import Annotated, Any

import pytest
from pydantic import SecretStr

from anchor.config import plugins
from anchor.config.file_types import FilePath, PrivateFile, SecretEnv, SecretFile
from anchor.config.option_types import Network
from anchor.config.plugins import load_plugin
from anchor.policy.checks import SUPPLIED
from anchor.policy.description import summary
from anchor.policy.description.third_party import describe_plugin
from anchor.policy.mandatory_checks import content_checks, key_checks, result_checks
from anchor.X509.weak_keys import Allowed
from tests.docs.test_reference import entry_points
from tests.support.policies import make_policy

DESCRIBERS = {"anchor.validators": summary.VALIDATORS, "anchor.fixups": summary.FIXUPS}
EVERY = [(namespace, name) for namespace in DESCRIBERS for name in entry_points(namespace)]

# The text that describes an option; None if the option is not public.
EXPECTED = {
    ("standards_compliance", "label_re"): ("[a-z]+", "[a-z]+"),
    ("standards_compliance", "allow_ipv4_mapped"): (True, "IPv4-mapped"),
    ("source_cidrs", "cidrs"): (["10.0.0.0/8"], "10.0.0.0/8"),
    ("whitelist_names", "names"): (["%.example.com"], "%.example.com"),
    ("whitelist_names", "allow_cn_id"): (True, "in the common name"),
    ("whitelist_names", "allow_dns_id"): (True, "DNS names in subjectAltName"),
    ("whitelist_names", "allow_ip_id"): (True, "addresses in subjectAltName"),
    ("whitelist_names", "allow_uri_id"): (True, "URIs in subjectAltName"),
    ("whitelist_names", "allow_email_id"): (True, "mail addresses"),
    ("whitelist_names", "allow_upn_id"): (True, "user principal names"),
    ("whitelist_names", "allow_wildcard"): (True, "*"),
    ("requester_names", "names"): (["{username}.example.com"], "{username}.example.com"),
    ("requester_names", "credential_names"): ("all", "is in subjectAltName"),
    ("requester_names", "allow_cn_id"): (False, "in the common name"),
    ("requester_names", "allow_dns_id"): (False, "DNS names in subjectAltName"),
    ("requester_names", "allow_ip_id"): (False, "addresses in subjectAltName"),
    ("requester_names", "allow_uri_id"): (False, "URIs in subjectAltName"),
    ("requester_names", "allow_email_id"): (False, "mail addresses"),
    ("requester_names", "allow_upn_id"): (False, "user principal names"),
    ("requester_names", "allow_wildcard"): (True, "*"),
    ("blacklist_names", "domains"): ([".bad.example.com"], ".bad.example.com"),
    ("blacklist_names", "networks"): (["127.0.0.0/8"], "127.0.0.0/8"),
    ("blacklist_names", "allowed_domains"): ([".bad.example.com"], ".bad.example.com"),
    ("blacklist_names", "allowed_networks"): (["127.0.0.0/8"], "127.0.0.0/8"),
    ("common_name", "allowed_domains"): ([".example.com"], "ends in .example.com"),
    ("common_name", "allowed_networks"): (["10.0.0.0/8"], "10.0.0.0/8"),
    ("alternative_names", "allowed_domains"): (["."], "any DNS name"),
    ("alternative_names_ip", "allowed_domains"): ([".example.com"], "ends in .example.com"),
    ("alternative_names_ip", "allowed_networks"): (["10.0.0.0/8"], "10.0.0.0/8"),
    ("server_group", "group_prefixes"): ({"Nova": "nv"}, "nv- to Nova"),
    ("extensions", "allowed_extensions"): (["keyUsage"], "besides keyUsage"),
    ("ca_status", "ca_requested"): (True, "for an intermediate CA"),
    ("key_usage", "allowed_usage"): (["digitalSignature"], "nothing but digitalSignature"),
    ("ext_key_usage", "allowed_usage"): (["serverAuth"], "nothing but serverAuth"),
    ("public_key", "allowed_keys"): ({"RSA": 3072, "ED25519": None}, "RSA of at least 3072 bits"),
    ("compromised_keys", "blocklist"): ("/var/lib/anchor/blocklist.dat", None),
    ("default_key_usage", "usage"): (["keyAgreement"], "gets keyAgreement"),
    ("default_extended_key_usage", "usage"): (["clientAuth"], "gets clientAuth"),
    ("drop_extensions", "extensions"): (["keyUsage"], "left out: keyUsage"),
    ("subject_attributes", "allowed"): ({"O": ["Example"]}, "nothing but O (Example)"),
    ("subject_attributes", "required"): (["O"], "has O."),
    ("subject_attributes", "keep"): ({"O": ["%"]}, "O (any)"),
    ("subject_attributes", "fixed"): ({"O": "Example"}, "gets O=Example."),
}


def describe(name, **options):
    # A validator and a fixup can have the same name, but then their options differ.
    [describer] = [
        describers[name]
        for describers in DESCRIBERS.values()
        if name in describers
        and options.keys() <= inspect.signature(describers[name]).parameters.keys()
    ]
    return " ".join(describer(**options))


@pytest.mark.parametrize(("namespace", "name"), EVERY)
def test_every_plugin_and_option_has_a_description(namespace, name):
    signature = plugins.Signature.of(load_plugin(namespace, name), SUPPLIED)

    assert signature.names() == set(inspect.signature(DESCRIBERS[namespace][name]).parameters)
    assert signature.names() <= {option for plugin, option in EXPECTED if plugin == name}


def test_every_description_belongs_to_a_plugin():
    assert {name for _, name in EVERY} == {
        name for describers in DESCRIBERS.values() for name in describers
    }
    assert set(entry_points("anchor.authentication")) == set(summary.AUTHENTICATION)


@pytest.mark.parametrize(("plugin", "option"), EXPECTED)
def test_the_value_of_an_option_is_shown_only_if_it_is_set(plugin, option):
    value, words = EXPECTED[plugin, option]
    required = {"names": ["%.example.com"]} if option == "allow_wildcard" else {}

    text = describe(plugin, **{**required, option: value})

    if words is None:
        assert str(value) not in text
        return
    assert words in text
    if (plugin, option) not in {("source_cidrs", "cidrs")} and "usage" != option:
        empty = type(value)() if plugin in ("drop_extensions", "subject_attributes") else None
        given = {} if empty is None else {option: empty}
        if (plugin, option) == ("requester_names", "allow_upn_id"):
            # The only one of these options that is false by default.
            given = {option: True}
        assert words not in describe(plugin, **required, **given)


@pytest.mark.parametrize(("namespace", "name"), EVERY)
def test_descriptions_are_sentences(namespace, name):
    parameters = inspect.signature(DESCRIBERS[namespace][name]).parameters
    options = {
        option: EXPECTED[plugin, option][0]
        for plugin, option in EXPECTED
        if plugin == name and option in parameters
    }

    for sentence in DESCRIBERS[namespace][name](**options):
        assert sentence[0].isupper()
        assert sentence.endswith(".") or "regular expression" in sentence


def test_every_mandatory_check_has_a_description(tmp_path):
    rules = [
        *key_checks(frozenset(), Allowed()),
        *content_checks(intermediate=True),
        *content_checks(intermediate=False),
        *result_checks(),
    ]

    assert {check.name for check in rules} == set(summary.MANDATORY_CHECKS)
    sentences = summary.describe_mandatory_checks()
    assert set(summary.MANDATORY_CHECKS.values()) == set(sentences)
    assert len(set(sentences)) == len(sentences)


def test_a_validator_that_allows_nothing_is_described_as_such():
    assert "refused" in describe("source_cidrs", cidrs=[])
    assert "refused" in describe("common_name")
    assert "no extensions." in describe("extensions")


def test_a_list_of_ten_thousand_is_shortened():
    names = [f"host-{number}.example.com" for number in range(10_000)]

    text = describe("whitelist_names", names=names, allow_dns_id=True)

    assert "and 9,992 more" in text
    assert len(text) < 600


def test_placeholders_are_explained():
    names = ["{username}.x", "{username:name}.y", "{group}.z", "spiffe://a/{claim:project}"]
    assert (
        "There, {username} stands for the requester's user name (one label), "
        "{username:name} stands for the requester's user name (one or more labels), "
        "{group} stands for one of the requester's groups (one label) "
        "and {claim:project} stands for the requester's claim project (one label)."
    ) in describe("requester_names", names=names)


def test_descriptions_keep_the_configured_order_and_escape_controls():
    options = {
        "server_group": {"group_prefixes": {"No\nva\x1b[31m\u202e": "nv"}},
        "standards_compliance": {},
    }

    found = summary.describe_validators(make_policy(options), options)

    assert ["server_group", "standards_compliance"] == [words.name for words in found]
    assert all(sentence.isprintable() for words in found for sentence in words.sentences)
    assert "No\\nva" in found[0].sentences[0]


def third_party(
    csr,
    networks: tuple[Network, ...],
    levels: Annotated[dict[str, int], "anything"] | None = None,
    file: FilePath | None = None,
    secret: SecretStr | None = None,
    secret_file: SecretFile | None = None,
    secret_env: SecretEnv | None = None,
    key: PrivateFile | None = None,
    api_token: str = "",
    several: list[SecretStr] | None = None,
    untyped=None,
    anything: Any = None,
    generator: random.Random | None = None,
) -> None:
    """The request pleases the weather. It is asked
    each time.

    Another paragraph.
    """


def test_a_third_party_plugin_shows_its_docstring_and_plain_options():
    options = {name: f"hidden-{name}" for name in inspect.signature(third_party).parameters}
    options |= {"networks": ["10.0.0.0/8"], "levels": {"low": 1}}

    first, second = describe_plugin(third_party, options)

    assert "The request pleases the weather." == first
    assert {"networks": ["10.0.0.0/8"], "levels": {"low": 1}} == json.loads(second)


def test_a_third_party_plugin_with_bound_options_is_described():
    options = {
        "third_party_label": {"longest": 7},
        "third_party_old_style": {"wanted": "hidden", "allowed": ["hidden"]},
    }

    new, old = summary.describe_validators(make_policy(options), options)

    assert ("No label is longer than the option says.", '{"longest": 7}') == new.sentences
    assert ("Takes everything, as validators did once.",) == old.sentences


@pytest.mark.parametrize("function", [lambda csr: None, random.Random(1).random])
def test_a_plugin_without_a_docstring_is_described_as_a_check(function):
    assert all(describe_plugin(function, {"x": "hidden"}))
