"""Public keys as JSON: one key has one thumbprint, and nothing else is read as a key."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448
from joserfc.jwk import ECKey, OKPKey, RSAKey

from anchor.jose.public_keys import parse_public_jwk, public_jwk_of
from anchor.X509.weak_keys import WeakKey
from tests.support import jwt

EC, RSA, ED = jwt.make_key(), jwt.make_key("RSA", 2048), jwt.make_key("OKP", "Ed25519")


def key_whose_coordinate_begins_with_zero():
    while True:
        members = ECKey.generate_key("P-256").as_dict(private=False)
        if jwt.unb64(members["x"])[0] == 0:
            return members


def test_the_thumbprint_is_that_of_the_standard():
    # RFC 7638 section 3.1, which has members that are not required too.
    key = parse_public_jwk(
        {
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1"
            "L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4"
            "QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbO"
            "pbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csF"
            "Cur-kEgU8awapJzKnqDKgw",
            "e": "AQAB",
            "alg": "RS256",
            "kid": "2011-04-29",
        }
    )

    assert jwt.b64(key.thumbprint) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("name", ["n", "e"])
def test_an_rsa_key_with_more_zero_bytes_is_the_same_key(name):
    members = jwt.public(RSA)
    longer = members | {name: jwt.b64(b"\0\0" + jwt.unb64(members[name]))}

    assert parse_public_jwk(longer).thumbprint == parse_public_jwk(members).thumbprint


def test_an_ec_key_with_more_or_fewer_zero_bytes_is_the_same_key():
    members = key_whose_coordinate_begins_with_zero()
    coordinate = jwt.unb64(members["x"])

    for octets in (b"\0" + coordinate, coordinate.lstrip(b"\0")):
        other = members | {"x": jwt.b64(octets)}
        assert parse_public_jwk(other).members == parse_public_jwk(members).members


def test_members_that_are_not_required_make_no_other_key():
    for key in (EC, RSA, ED):
        members = jwt.public(key, use="sig", key_ops=["verify"], more={"a": [1]})
        assert parse_public_jwk(members).thumbprint == parse_public_jwk(jwt.public(key)).thumbprint


REFUSED = {
    "no object": (["EC"], "it is not an object"),
    "no type": ({}, "its 'kty' should be one of RSA, EC, OKP"),
    "a type that is a list": ({"kty": ["EC"]}, "its 'kty' should be one of RSA, EC, OKP"),
    "a shared secret": ({"kty": "oct", "k": "AAAA"}, "its 'kty' should be one of RSA, EC, OKP"),
    "a private key": (EC.as_dict(private=True), "it has a private key: send the public key only"),
    "another curve": (jwt.public(EC, crv="secp256k1"), "its 'crv' should be one of P-256, "),
    "a key for key agreement": (jwt.public(ED, crv="X25519"), "its 'crv' should be one of Ed25519"),
    "no coordinate": (jwt.public(EC, y=None), "its 'y' should be a string of at most 1400 "),
    "a coordinate that is a number": (
        jwt.public(EC, x=7),
        "its 'x' should be a string of at most ",
    ),
    "a long modulus": (
        jwt.public(RSA, n="A" * 1401),
        "its 'n' should be a string of at most 1400 ",
    ),
    "padding": (jwt.public(RSA, e="AQAB===="), "its 'e' is not base64url without padding"),
    "bits after the last byte": (jwt.public(RSA, e="AQAB" + "AB"), "its 'e' is not the canonical "),
    "a large coordinate": (jwt.public(EC, x=jwt.b64(b"\1" * 33)), "it is not a valid EC key"),
    "a point off the curve": (jwt.public(EC, y=jwt.b64(b"\1" * 32)), "it is not a valid EC key"),
    "31 bytes": (jwt.public(ED, x=jwt.b64(b"\2" * 31)), "it is not a valid OKP key"),
    "the exponent 1": (jwt.public(RSA, e="AQ"), "it is not a valid RSA key"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_public_key_is_refused_with_the_reason(what):
    value, reason = REFUSED[what]

    with pytest.raises(ValueError) as raised:  # noqa: PT011  # the assertion compares its text
        parse_public_jwk(value)

    assert str(raised.value).startswith(reason)


def test_a_small_rsa_key_is_weak_before_a_library_sees_it():
    with pytest.raises(WeakKey, match="the RSA key is too small"):
        parse_public_jwk(jwt.public(RSA, n=jwt.b64(b"\xff" * 255)))


def test_the_exponent_of_an_rsa_key_may_be_any_that_is_safe():
    parse_public_jwk(jwt.public(RSA, e="Aw")).require_strong()

    with pytest.raises(WeakKey, match="exponent"):
        parse_public_jwk(
            jwt.public(RSA, e=jwt.b64((2**32 + 1).to_bytes(5, "big")))
        ).require_strong()


KEYS = [
    lambda: RSAKey.generate_key(2048),
    *(lambda curve=curve: ECKey.generate_key(curve) for curve in ("P-256", "P-384", "P-521")),
    lambda: OKPKey.generate_key("Ed25519"),
]


@pytest.mark.parametrize("make", KEYS)
def test_the_key_of_a_certificate_has_the_thumbprint_of_the_same_key_in_json(make):
    key = make()

    of_certificate = public_jwk_of(key.private_key.public_key())

    parsed = parse_public_jwk(key.as_dict(private=False))
    assert of_certificate.thumbprint == parsed.thumbprint
    assert of_certificate.members == parsed.members


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP256K1()),
        lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
        ed448.Ed448PrivateKey.generate,
        lambda: dsa.generate_private_key(1024),
    ],
)
def test_a_key_of_another_kind_has_no_form_in_json(make):
    assert public_jwk_of(make().public_key()) is None
