"""Names and keys for the example of a policy."""

from __future__ import annotations

import pytest

from anchor.policy.example.candidates import candidate_names
from anchor.policy.example.parts import Variable, sample
from anchor.policy.example.request import example_key


def first(**options):
    return next(candidate_names(options))


@pytest.mark.parametrize(
    ("pattern", "kind", "text", "variables"),
    [
        ("www.example.org", "DNS", "www.example.org", []),
        ("%.example.org", "DNS", "host.example.org", ["host"]),
        ("web-%.example.org", "DNS", "web-1.example.org", ["1"]),
        ("%-%.example.org", "DNS", "1-1.example.org", ["1", "1"]),
        ("*.example.org", "DNS", "*.example.org", []),
        ("{username}.example.org", "DNS", "user.example.org", ["USER"]),
        ("{username:name}.example.org", "DNS", "user.example.org", ["USER"]),
        ("%.{group}.example.org", "DNS", "host.group.example.org", ["host", "GROUP"]),
        ("{claim:project_id}.example.org", "DNS", "project-id.example.org", ["PROJECT-ID"]),
        ("{claim:_}.example.org", "DNS", "claim.example.org", ["CLAIM"]),
        ("192.0.2.0/24", "IP", "192.0.2.1", ["192.0.2.1"]),
        ("192.0.2.7", "IP", "192.0.2.7", ["192.0.2.7"]),
        ("2001:db8::/64", "IP", "2001:db8::1", ["2001:db8::1"]),
        ("spiffe://example.org/%/web", "URI", "spiffe://example.org/host/web", ["host"]),
        ("%@example.org", "email", "host@example.org", ["host"]),
    ],
)
def test_a_name_is_derived_from_a_pattern(pattern, kind, text, variables):
    name = first(whitelist_names={"names": [pattern]})

    assert (kind, text) == (name.kind, sample(name.parts))
    assert variables == [part for part in name.parts if isinstance(part, Variable)]


def test_a_claim_gets_the_value_of_its_variable():
    name = first(requester_names={"names": ["{claim:project_id}.{username}.example.org"]})

    assert (("project_id", "project-id"),) == name.claims


def test_the_strictest_validator_comes_first_and_any_name_last():
    names = candidate_names(
        {
            "common_name": {"allowed_domains": [".c.org", "."], "allowed_networks": ["10.0.0.0/8"]},
            "whitelist_names": {"names": ["w.org"]},
            "requester_names": {"names": ["r.org"]},
        }
    )

    assert [
        *("r.org", "w.org", "host.c.org", "host.example.com", "10.0.0.1", "host.example.com")
    ] == [sample(name.parts) for name in names]


def test_only_the_first_of_ten_thousand_patterns_are_tried():
    patterns = ["x" * 1000, *(f"host-{number}.example.org" for number in range(10_000))]

    assert 30 > len(list(candidate_names({"whitelist_names": {"names": patterns}})))


@pytest.mark.parametrize(
    ("allowed", "key"),
    [
        (None, "ec-p256"),
        ({"EC": 256, "RSA": 2048}, "ec-p256"),
        ({"EC": 257}, "ec-p384"),
        ({"EC": 521}, "ec-p521"),
        ({"RSA": 2048}, "rsa-3072"),
        ({"RSA": 4096}, "rsa-4096"),
        ({"EC": 600, "RSA": 1024}, "rsa-3072"),
        ({"ED25519": 0}, "ed25519"),
        ({"ED448": 0}, "ed448"),
        ({"DSA": 2048}, None),
        ({}, None),
    ],
)
def test_the_key_is_the_fastest_that_is_allowed(allowed, key):
    assert key == example_key(allowed)
