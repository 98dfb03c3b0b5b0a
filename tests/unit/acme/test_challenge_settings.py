"""Which settings for challenges are accepted, and what is wrong with others."""

from __future__ import annotations

import pydantic
import pytest

from anchor.acme.settings import AcmeSettings

NETWORKS = {"networks": ["10.0.0.0/8"]}


def resolvers(*texts):
    return AcmeSettings(challenges=["dns-01"], resolvers=texts).resolvers


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.53", "10.0.0.53", 53),
        ("10.0.0.53:5353", "10.0.0.53", 5353),
        ("2001:DB8::53", "2001:db8::53", 53),
        ("[2001:db8::53]", "2001:db8::53", 53),
        ("[2001:db8::53]:5353", "2001:db8::53", 5353),
        ("127.0.0.53", "127.0.0.53", 53),
    ],
)
def test_a_resolver_is_an_address_and_perhaps_a_port(text, host, port):
    assert resolvers(text) == ((host, port),)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "dns.example.com",
        "10.0.0",
        "10.0.0.256",
        "10.0.0.53:",
        "10.0.0.53:0",
        "10.0.0.53:65536",
        "10.0.0.53:5353\n",
        "10.0.0.53:\u0665",
        "[10.0.0.53",
        "[2001:db8::53]5353",
        "2001:db8::53%eth0",
        "https://10.0.0.53/",
        53,
        {"address": "10.0.0.53"},
        None,
    ],
)
def test_another_resolver_is_refused_with_an_example(value):
    with pytest.raises(pydantic.ValidationError, match=r"such as '10\.0\.0\.53'"):
        resolvers(value)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"challenges": ["http-01"]}, "list the 'networks' that 'http-01' may connect to"),
        ({"challenges": ["tls-alpn-01"]}, "list the 'networks' that 'tls-alpn-01' may connect to"),
        ({"challenges": ["dns-persist-01"]}, "list its 'issuer_domain_names'"),
        ({"challenges": ["dns-01"], "caa": True}, "list its 'issuer_domain_names'"),
        (
            {"challenges": [], "caa": True, "issuer_domain_names": ["ca.example"]},
            "'caa' is checked with challenges, and there are none",
        ),
        ({"challenges": ["dns-01", "dns-01"]}, "has a challenge twice"),
        ({"challenges": [], "trust_token_names": True}, "of no use without 'challenges'"),
        ({"challenges": ["http-02"]}, "should be 'http-01'"),
        ({"challenges": ["http-01"], "networks": ["10.0.0.1/8"]}, "has host bits set"),
        (
            {"challenges": ["http-01"], "networks": ["127.0.0.0/8"]},
            "127.0.0.0/8 is never reached: its addresses are loopback",
        ),
        (
            {"challenges": ["http-01"], "networks": ["169.254.169.254"]},
            "is never reached: its addresses are link-local",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(options, problem):
    with pytest.raises(pydantic.ValidationError, match=problem):
        AcmeSettings(**options)


def test_networks_may_contain_addresses_that_are_never_reached():
    everything = ["0.0.0.0/0", "::/0", "100.64.0.0/10", "168.63.129.0/24"]
    assert len(AcmeSettings(challenges=["http-01"], networks=everything).networks) == 4


def test_dns_challenges_need_no_networks():
    assert AcmeSettings(challenges=["dns-01"]).networks == ()
