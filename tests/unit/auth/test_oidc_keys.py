"""Which keys of an issuer verify tokens, and the file with the keys."""

from __future__ import annotations

import contextlib
import json
import logging

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from anchor.auth.oidc.key_sources import KeyFile
from anchor.auth.oidc.keys import MAX_KEYS, InvalidKeys, parse_keys
from anchor.errors import BackendUnavailable, ConfigurationError, NotAuthenticated
from anchor.jose.algorithms import KEY_KINDS
from tests.support import jwt
from tests.support.clock import Clock
from tests.support.oidc import ask, backend, reason
from tests.support.properties import examples

__all__ = ["backend"]

EC, RSA, ED = jwt.make_key(), jwt.make_key("RSA", 2048), jwt.make_key("OKP", "Ed25519")
OTHER = jwt.make_key(name="2")


def number(value):
    return jwt.b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rsa_member(modulus, exponent=65537, **members):
    return {"kty": "RSA", "kid": "1", "n": number(modulus), "e": number(exponent), **members}


SMALL_RSA = rsa.generate_private_key(65537, 1024).public_key().public_numbers().n

LEFT_OUT = {
    "a key for encryption": jwt.public(RSA, use="enc"),
    "a key of certificates": jwt.public(RSA, use="x509-svid"),
    "a key that does not verify": jwt.public(RSA, key_ops=["encrypt"]),
    "key operations that are no list": jwt.public(RSA, key_ops={"verify": 1}),
    "a use that is no text": jwt.public(RSA, use=["sig"]),
    "an unknown type": {"kty": "AKP", "alg": "ML-DSA-65", "pub": "AA"},
    "an unknown curve": {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
    "a curve that is no text": {"kty": "EC", "crv": ["P-256"], "x": "AA", "y": "AA"},
    "a key for key agreement": {"kty": "OKP", "crv": "X25519", "x": "AA"},
    "Ed448": {"kty": "OKP", "crv": "Ed448", "x": "AA"},
    "RSA of 1024 bits": rsa_member(SMALL_RSA),
    "RSA with an even modulus": rsa_member(2**2047 + 2),
    "a small secret number": jwt.public(
        jwt.ECKey.import_key(
            {
                "kty": "EC",
                "crv": "P-256",
                # The generator itself: the secret is 1.
                "x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
                "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU",
            }
        )
    ),
    "a point of small order": {"kty": "OKP", "crv": "Ed25519", "x": jwt.b64(b"\1" + bytes(31))},
}


@pytest.mark.parametrize("what", LEFT_OUT)
def test_a_key_for_another_purpose_or_a_weak_one_is_left_out(what):
    keys = parse_keys(jwt.key_set(LEFT_OUT[what], jwt.public(EC))).keys

    assert ["EC"] == [key.kind[0] for key in keys]


@pytest.mark.parametrize("use", [None, "sig", "jwt-svid"])
@pytest.mark.parametrize("operations", [None, ["verify"], ["sign", "verify"]])
def test_a_key_for_signatures_is_used(backend, use, operations):
    authenticator = backend(jwt.public(EC, use=use, key_ops=operations))

    assert ask(authenticator, jwt.make_token()).username == "web1"


BROKEN = {
    "RSA with the exponent 1": jwt.key_set({**jwt.public(RSA), "e": "AQ"}),
    "an algorithm that is a list": jwt.key_set(jwt.public(EC, alg=["ES256"])),
    "an algorithm that is a number": jwt.key_set(jwt.public(RSA, alg=256)),
    "nothing": b"",
    "no JSON": b"<html>",
    "a list": b"[]",
    "no keys": b"{}",
    "keys that are no list": b'{"keys": {}}',
    "keys twice": b'{"keys": [], "keys": []}',
    "a key that is no object": b'{"keys": ["a"]}',
    "a key without a type": b'{"keys": [{}]}',
    "a type that is a list": b'{"keys": [{"kty": ["EC"]}]}',
    "not UTF-8": b'{"keys": [], "a": "\xff"}',
    "too deep": b"[" * 100_000,
    "too large": b'{"keys": []}' + b" " * 1_000_000,
    "too many keys": jwt.key_set(*[jwt.public(EC)] * (MAX_KEYS + 1)),
    "a private EC key": jwt.key_set(EC.as_dict(private=True)),
    "a private RSA key": jwt.key_set(RSA.as_dict(private=True)),
    "a private Ed25519 key": jwt.key_set(ED.as_dict(private=True)),
    "one prime of a private key": jwt.key_set({**jwt.public(RSA), "p": "AQ"}),
    "a private key of an unknown type": jwt.key_set({"kty": "AKP", "d": "AQ"}),
    "a private key for encryption": jwt.key_set({**EC.as_dict(private=True), "use": "enc"}),
    "a shared secret": jwt.key_set({"kty": "oct", "kid": "1"}),
    "a point off the curve": jwt.key_set({**jwt.public(EC), "y": jwt.b64(b"\1" * 32)}),
    "the point at infinity": jwt.key_set(
        {**jwt.public(EC), "x": jwt.b64(bytes(32)), "y": jwt.b64(bytes(32))}
    ),
    "half a point": jwt.key_set({"kty": "EC", "crv": "P-256", "x": "AA"}),
    "a coordinate of another curve": jwt.key_set({**jwt.public(EC), "x": jwt.b64(b"\1" * 48)}),
    "a modulus that is a number": jwt.key_set({**jwt.public(RSA), "n": 7}),
    "an empty modulus": jwt.key_set({**jwt.public(RSA), "n": ""}),
    "a modulus with a plus": jwt.key_set({**jwt.public(RSA), "n": "+" * 342}),
    "a huge modulus": jwt.key_set({**jwt.public(RSA), "n": "A" * 100_000}),
    "an Ed25519 key of 31 bytes": jwt.key_set({**jwt.public(ED), "x": jwt.b64(b"\2" * 31)}),
    "a kid that is a number": jwt.key_set(jwt.public(EC, kid=7)),
    "a long kid": jwt.key_set(jwt.public(EC, kid="k" * 257)),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_key_set_is_an_error_that_shows_no_key(what):
    with pytest.raises(InvalidKeys) as raised:
        parse_keys(BROKEN[what])

    shown = str(raised.value)
    assert len(shown) < 200
    for private in (EC, RSA, ED):
        assert private.as_dict(private=True)["d"] not in shown


MEMBERS = ["kty", "kid", "use", "alg", "key_ops", "crv", "x", "y", "n", "e", "d"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=50) | st.sampled_from(["EC", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=examples(300), deadline=None)
@given(
    key=st.sampled_from([EC, RSA, ED]),
    changes=st.dictionaries(st.sampled_from(MEMBERS), JSON, min_size=1),
    extra=st.dictionaries(st.text(), JSON),
)
def test_any_key_set_is_read_or_is_an_error(key, changes, extra):
    encoded = json.dumps({**extra, "keys": [{**jwt.public(key), **changes}]}).encode()
    with contextlib.suppress(InvalidKeys):
        assert all(key.kind in KEY_KINDS.values() for key in parse_keys(encoded).keys)


def test_the_kid_selects_the_key(backend, caplog):
    authenticator = backend(jwt.public(EC, kid="1"), jwt.public(OTHER, kid="2"))

    assert ask(authenticator, jwt.make_token(EC, header={"kid": "1"}))
    assert ask(authenticator, jwt.make_token(OTHER, header={"kid": "2"}))
    for kid in ("1", "3"):
        assert reason(authenticator, jwt.make_token(OTHER, header={"kid": kid}), caplog)


def test_without_a_kid_exactly_one_key_has_to_fit(backend, caplog):
    token = jwt.make_token(header={"kid": None})

    assert ask(backend(jwt.public(EC), jwt.public(RSA)), token)
    assert ask(backend(jwt.public(EC, kid=None)), token)
    assert "several keys" in reason(
        backend(jwt.public(EC), jwt.public(OTHER, kid="2")), token, caplog
    )


def test_two_keys_with_one_kid_are_told_apart_by_the_algorithm_only(backend, caplog):
    both = backend(jwt.public(EC), jwt.public(RSA))

    assert ask(both, jwt.make_token(EC))
    assert ask(both, jwt.make_token(RSA, "RS256"))
    assert "several keys" in reason(
        backend(jwt.public(EC), jwt.public(OTHER)), jwt.make_token(EC), caplog
    )
    assert ask(backend(jwt.public(EC), jwt.public(EC)), jwt.make_token(EC))


def test_a_key_without_a_kid_is_not_used_for_a_token_with_one(backend, caplog):
    assert "no key '1'" in reason(backend(jwt.public(EC, kid=None)), jwt.make_token(), caplog)


def test_the_algorithm_of_a_key_is_the_only_one(backend, caplog):
    options = {"algorithms": ["RS256", "PS256"]}
    authenticator = backend(jwt.public(RSA, alg="PS256"), **options)

    assert ask(authenticator, jwt.make_token(RSA, "PS256"))
    assert "no key '1' for its algorithm" in reason(
        authenticator, jwt.make_token(RSA, "RS256"), caplog
    )


@pytest.mark.parametrize("name", ["EdDSA", "Ed25519"])
def test_both_names_of_ed25519_are_one_algorithm(backend, name):
    authenticator = backend(jwt.public(ED, alg=name), algorithms=["EdDSA", "Ed25519"])

    for algorithm in ("EdDSA", "Ed25519"):
        assert ask(authenticator, jwt.make_token(ED, algorithm))


def test_a_spiffe_bundle_is_a_key_file(backend):
    bundle = {
        "spiffe_sequence": 12,
        "spiffe_refresh_hint": 300,
        "keys": [
            {"kty": "EC", "use": "x509-svid", "crv": "P-256", "x": "AA", "y": "AA", "x5c": ["MII"]},
            jwt.public(EC, use="jwt-svid"),
        ],
    }

    assert len(parse_keys(json.dumps(bundle).encode()).keys) == 1


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "keys.json"
    path.write_bytes(jwt.key_set(jwt.public(EC)))
    return path


def key_ids(keys):
    return [key.key_id for key in keys.keys(lambda _: True).keys]


def test_a_changed_file_is_read_again(path, clock):
    keys = KeyFile(path, 100, clock)
    assert key_ids(keys) == ["1"]

    path.write_bytes(jwt.key_set(jwt.public(EC, kid="2"), jwt.public(OTHER, kid="3")))
    assert key_ids(keys) == ["2", "3"]
    path.write_bytes(b'{"keys": []}')
    assert key_ids(keys) == []


@pytest.mark.parametrize("break_it", [lambda path: path.write_bytes(b"{"), lambda p: p.unlink()])
def test_the_last_keys_outlive_a_broken_file_for_a_while(path, clock, caplog, break_it):
    keys = KeyFile(path, 100, clock)
    break_it(path)

    assert key_ids(keys) == key_ids(keys) == ["1"]
    [record] = caplog.records
    assert (record.levelno, "stay in use" in record.message) == (logging.ERROR, True)
    clock.ahead = 99
    assert key_ids(keys) == ["1"]
    clock.ahead = 101
    with pytest.raises(BackendUnavailable, match="no usable keys for too long"):
        key_ids(keys)
    path.write_bytes(jwt.key_set(jwt.public(EC, kid="2")))
    assert key_ids(keys) == ["2"]


def test_a_file_that_stays_broken_in_other_ways_is_given_up_at_the_same_time(path, clock):
    keys = KeyFile(path, 100, clock)
    path.write_bytes(b"{")
    key_ids(keys)
    clock.ahead = 60
    path.write_bytes(b"{{")
    key_ids(keys)
    clock.ahead = 101

    with pytest.raises(BackendUnavailable):
        key_ids(keys)


def test_a_broken_file_at_the_start_is_an_error_of_the_configuration(backend):
    with pytest.raises(ConfigurationError, match="jwks_file: key 0 is a secret key"):
        backend(EC.as_dict(private=True))


def test_a_rotated_file_changes_who_gets_in_without_a_restart(backend, tmp_path):
    authenticator = backend(jwt.public(EC))
    assert ask(authenticator, jwt.make_token(EC))

    backend(jwt.public(OTHER))  # It writes the same file.

    assert ask(authenticator, jwt.make_token(OTHER))
    with pytest.raises(NotAuthenticated):
        ask(authenticator, jwt.make_token(EC))
