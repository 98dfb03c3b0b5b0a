"""CSR attributes name the key that the policy requires, in the form of RFC 9908 section 3.2."""

from __future__ import annotations

import subprocess

import pytest

from anchor.est.csr_attributes import csr_attributes
from tests.support.policies import make_policy


def parsed(allowed_keys):
    """The attributes as OpenSSL shows them: the types and values, without positions."""
    der = csr_attributes(make_policy({"public_key": {"allowed_keys": allowed_keys}}))
    if der is None:
        return None
    command = ["openssl", "asn1parse", "-inform", "DER"]
    shown = subprocess.run(command, input=der, capture_output=True, check=True).stdout.decode()
    return [line.rpartition(":")[2].strip() for line in shown.splitlines() if "prim" in line]


@pytest.mark.parametrize(
    ("allowed_keys", "expected"),
    [
        ({"RSA": 3072}, ["rsaEncryption", "0C00"]),
        ({"RSA": 2048}, ["rsaEncryption"]),
        ({"RSA": None}, ["rsaEncryption"]),
        ({"EC": 0}, ["id-ecPublicKey"]),
        ({"EC": 256}, ["id-ecPublicKey"]),
        ({"EC": 257}, ["id-ecPublicKey", "secp384r1"]),
        ({"EC": 384}, ["id-ecPublicKey", "secp384r1"]),
        ({"EC": 521}, ["id-ecPublicKey", "secp521r1"]),
        ({"ED25519": 0}, ["ED25519"]),
        ({"ED448": 0}, ["ED448"]),
    ],
)
def test_the_only_allowed_kind_of_key_is_named_with_its_smallest_size(allowed_keys, expected):
    assert expected == parsed(allowed_keys)


@pytest.mark.parametrize("allowed_keys", [{}, None, {"DSA": 2048}, {"RSA": 0, "EC": 0}])
def test_a_policy_without_one_kind_of_key_says_nothing(allowed_keys):
    assert parsed(allowed_keys) is None


def test_a_policy_without_a_rule_for_keys_says_nothing():
    assert csr_attributes(make_policy({})) is None
