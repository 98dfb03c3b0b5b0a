"""A signature verifies only with the signed bytes, the right key and the right algorithm."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from anchor.X509.signatures import verify_signature
from tests.support.pki import shared_key

SHA_2 = (hashes.SHA224(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512())
# Hashes that requests and CA chains can use, but issued certificates cannot.
OTHERS = (hashes.SHA3_256(), hashes.SHA3_512())
CURVES = ("ec-p256", "ec-p384", "ec-p521")


def parameters(key, used):
    if isinstance(key, rsa.RSAPrivateKey):
        return padding.PKCS1v15()
    return ec.ECDSA(used)


def by_the_library(key, octets, used):
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(octets, parameters(key, used), used)
    return key.sign(octets, parameters(key, used))


def verification(key, parameters, signature_hash):
    """Verifies a signature over bytes."""

    def verify(signature, signed):
        verify_signature(key, parameters, signature_hash, signature=signature, signed=signed)

    return verify


@pytest.mark.parametrize("used", SHA_2 + OTHERS, ids=lambda each: each.name)
@pytest.mark.parametrize("kind", ["rsa-2048", *CURVES])
def test_only_the_signed_bytes_with_the_right_hash_verify(kind, used):
    key = shared_key(kind)
    signature = by_the_library(key, b"octets", used)
    verify = verification(key.public_key(), parameters(key, used), used)

    verify(signature, b"octets")

    with pytest.raises(InvalidSignature):
        verify(signature, b"other octets")
    for other in SHA_2 + OTHERS:
        if other.name != used.name:
            with pytest.raises(InvalidSignature):
                verification(key.public_key(), parameters(key, other), other)(signature, b"octets")


@given(octets=st.binary(), other=st.binary(), damage=st.binary(max_size=80))
def test_an_ecdsa_signature_verifies_only_its_own_bytes(octets, other, damage):
    key = shared_key()
    used = hashes.SHA256()
    signature = by_the_library(key, octets, used)
    verify = verification(key.public_key(), ec.ECDSA(used), used)

    verify(signature, octets)

    if other != octets:
        with pytest.raises(InvalidSignature):
            verify(signature, other)
    with pytest.raises(InvalidSignature):
        verify(damage, octets)


def test_a_digest_is_not_accepted_as_the_signed_bytes():
    key = shared_key()
    used = hashes.SHA256()
    digest = hashes.Hash(used)
    digest.update(b"octets")
    signature = by_the_library(key, b"octets", used)

    with pytest.raises(InvalidSignature):
        verification(key.public_key(), ec.ECDSA(used), used)(signature, digest.finalize())


def test_an_algorithm_of_another_kind_of_key_verifies_nothing():
    used = hashes.SHA256()
    for key, its in ((shared_key(), padding.PKCS1v15()), (shared_key("rsa-2048"), ec.ECDSA(used))):
        with pytest.raises(UnsupportedAlgorithm):
            verification(key.public_key(), its, used)(b"signature", b"octets")


@pytest.mark.slow
def test_dsa_verifies_with_its_hash():
    key = dsa.generate_private_key(2048)
    used = hashes.SHA256()
    verify = verification(key.public_key(), None, used)

    verify(key.sign(b"octets", used), b"octets")

    with pytest.raises(InvalidSignature):
        verify(key.sign(b"octets", used), b"other octets")
