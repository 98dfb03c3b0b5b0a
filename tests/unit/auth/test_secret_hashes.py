"""Hashes of secrets: which are accepted, and what they may cost."""

from __future__ import annotations

import time

import pytest
from cryptography.exceptions import UnsupportedAlgorithm

from anchor.auth import secret_hashes
from anchor.auth.secret_hashes import hash_secret, parse_hash
from tests.support.users import cheap_hash

SALT, DIGEST = "c29tc2FsdHNvbWVzYWx0", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

# From test.c of github.com/P-H-C/phc-winner-argon2, the first of Argon2id.
ARGON2ID = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$" + DIGEST
# RFC 7914 section 12, the third vector.
SCRYPT = (
    "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$"
    "cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw"
)
RIGHT = {ARGON2ID: "password", SCRYPT: "pleaseletmein"}


def made_without_argon2id(monkeypatch):
    def unsupported(**_options):
        raise UnsupportedAlgorithm("no argon2id")

    monkeypatch.setattr(secret_hashes, "Argon2id", unsupported)


def test_a_published_argon2id_hash_matches_its_secret_only():
    assert parse_hash(ARGON2ID).matches("password")
    assert not parse_hash(ARGON2ID).matches("Password")


def test_the_scrypt_vector_of_the_rfc_matches_its_secret_only():
    derived = parse_hash(SCRYPT)

    assert derived.matches("pleaseletmein")
    assert derived.matches("pleaseletmein"), "a hash can be used again"
    assert not derived.matches("pleaseletmein ")


@pytest.mark.parametrize("with_argon2id", [True, False])
def test_a_new_hash_matches_its_secret_and_no_other(with_argon2id, monkeypatch):
    monkeypatch.setattr(secret_hashes, "_SCRYPT_P", 1)
    if not with_argon2id:
        made_without_argon2id(monkeypatch)
    made = hash_secret("sécret \ud800")

    assert made.startswith("$argon2id$v=19$m=19456,t=2,p=1$" if with_argon2id else "$scrypt$ln=14,")
    assert parse_hash(made).matches("sécret \ud800")
    assert not parse_hash(made).matches("secret")
    assert made != hash_secret("sécret \ud800"), "the salt is random"


def test_without_argon2id_its_hashes_are_refused_with_a_way_out(monkeypatch):
    made_without_argon2id(monkeypatch)

    with pytest.raises(ValueError, match=r"needs OpenSSL 3\.2 or later: use scrypt"):
        parse_hash(ARGON2ID)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("simplepassword", "PHC string format"),
        ("", "PHC string format"),
        ("$2y$10$" + SALT + DIGEST, "PHC string format"),
        (f"$argon2i$v=19$m=64,t=1,p=1${SALT}${DIGEST}", "PHC string format"),
        (f"$argon2id$v=16$m=64,t=1,p=1${SALT}${DIGEST}", "PHC string format"),
        (f"$argon2id$v=19$m=0,t=1,p=1${SALT}${DIGEST}", "PHC string format"),
        (f"$argon2id$v=19$m=064,t=1,p=1${SALT}${DIGEST}", "PHC string format"),
        (f"$argon2id$v=19$m=\u0661,t=1,p=1${SALT}${DIGEST}", "PHC string format"),
        (f"$argon2id$v=19$m=64,t=1,p=1${SALT}$", "PHC string format"),
        (f"$argon2id$v=19$m=64,t=1,p=1${SALT}$AAAA", "PHC string format"),
        (f"$argon2id$v=19$m=64,t=1,p=1$AAAA${DIGEST}", "PHC string format"),
        (f"$argon2id$v=19$m=64,t=1,p=1${SALT}${DIGEST}\n", "PHC string format"),
        (f"$argon2id$v=19$m=64,t=1,p=1${SALT}${DIGEST[:-2]}", "not base64"),
        (f"$argon2id$v=19$m=8,t=1,p=2${SALT}${DIGEST}", "does not allow"),
        (f"$argon2id$v=19$m=9999999,t=1,p=1${SALT}${DIGEST}", "more than 128 MiB"),
        (f"$argon2id$v=19$m=131073,t=1,p=1${SALT}${DIGEST}", "more than 128 MiB"),
        (f"$argon2id$v=19$m=65536,t=1,p=17${SALT}${DIGEST}", "16 lanes"),
        (f"$argon2id$v=19$m=65536,t=5,p=1${SALT}${DIGEST}", "takes too long"),
        (f"$argon2id$v=19$m=8,t=9999999,p=1${SALT}${DIGEST}", "takes too long"),
        (f"$scrypt$ln=18,r=8,p=1${SALT}${DIGEST}", "more than 128 MiB"),
        (f"$scrypt$ln=9999999,r=9999999,p=1${SALT}${DIGEST}", "more than 128 MiB"),
        (f"$scrypt$ln=16,r=8,p=5${SALT}${DIGEST}", "takes too long"),
    ],
)
def test_a_hash_that_is_malformed_or_expensive_is_refused_without_being_shown(text, message):
    start = time.monotonic()
    with pytest.raises(ValueError, match=message) as raised:
        parse_hash(text)

    assert time.monotonic() - start < 5
    for part in (SALT, DIGEST[:20], "simplepassword"):
        assert part not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        # The defaults of argon2-cffi, PHP, passlib and OWASP.
        f"$argon2id$v=19$m=65536,t=3,p=4${SALT}${DIGEST}",
        f"$argon2id$v=19$m=65536,t=4,p=1${SALT}${DIGEST}",
        f"$scrypt$ln=16,r=8,p=1${SALT}${DIGEST}",
        f"$scrypt$ln=17,r=8,p=1${SALT}${DIGEST}",
    ],
)
def test_the_usual_parameters_of_other_tools_are_accepted(text):
    assert parse_hash(text)


def test_a_hash_does_not_print_its_digest():
    assert repr(parse_hash(cheap_hash())) == "SecretHash()"
