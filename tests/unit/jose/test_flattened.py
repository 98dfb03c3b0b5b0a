"""Vectors for the flattened form and its signatures, in the manner of Wycheproof.

Some of its vectors are in ``test_wycheproof``.  Its groups are repeated here for all algorithms of
ACME: numbers at the edge of their range, other encodings of a signature, and confused keys.
Each vector is made from a good signature, by the function beside its name.
"""

from __future__ import annotations

import hashlib
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from anchor.acme.account_keys import ALGORITHMS, verify_signature
from anchor.acme.problems import AcmeProblem
from anchor.jose.algorithms import KEY_KINDS
from anchor.jose.flattened import parse_flattened
from anchor.jose.public_keys import parse_public_jwk
from anchor.jose.signatures import verify as verify_with_key
from tests.support import jwt

KEYS = {
    "ES256": jwt.make_key("EC", "P-256"),
    "ES384": jwt.make_key("EC", "P-384"),
    "ES512": jwt.make_key("EC", "P-521"),
    "EdDSA": jwt.make_key("OKP", "Ed25519"),
    "RS256": jwt.make_key("RSA", 2048),
}
PAYLOAD = b'{"status":"valid"}'
# SEC 2, 2.4.2, 2.5.1 and 2.6.1: the orders of the groups.
ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": int(
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973",
        16,
    ),
    "ES512": 2**521 - 0x5AE79787C40D069948033FEB708F65A2FC44A36477663B851449048E16EC79BF7,
}
# RFC 8032 section 5.1: the order of the group of Ed25519.
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def members_of(text):
    return dict(zip(("protected", "payload", "signature"), text.split("."), strict=True))


def make(algorithm, *, payload=PAYLOAD, key=None, signed_as=None):
    header = json.dumps({"alg": algorithm, "nonce": "AA", "url": "u", "kid": "k"}).encode()
    key = key or KEYS[algorithm]
    return members_of(jwt.sign_raw(header, payload, key, signed_as or algorithm))


def verify(members, algorithm, key=None):
    public = parse_public_jwk((key or KEYS[algorithm]).as_dict(private=False))
    verify_signature(parse_flattened(members), algorithm, public)


def with_signature(algorithm, change):
    """A good JWS whose signature is changed."""
    made = make(algorithm)
    return made | {"signature": jwt.b64(change(jwt.unb64(made["signature"])))}


@pytest.mark.parametrize("payload", [PAYLOAD, b"", b"{}", b"\0", b"no JSON", b"a" * 5000])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_good_signature_is_valid(algorithm, payload):
    verify(make(algorithm, payload=payload), algorithm)


# RFC 7515, A.3 and A.2, and RFC 8037, A.4, in the flattened form.
STANDARD = {
    "RFC 7515, A.3": (
        "ES256",
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        },
        "eyJhbGciOiJFUzI1NiJ9"
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cn"
        "VlfQ"
        ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
    "RFC 8037, A.4": (
        "EdDSA",
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
        ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    ),
}


@pytest.mark.parametrize("where", STANDARD)
def test_the_signature_of_a_standards_example_is_valid(where):
    algorithm, key, text = STANDARD[where]

    verify_signature(parse_flattened(members_of(text)), algorithm, parse_public_jwk(key))


def halves(signature):
    size = len(signature) // 2
    return signature[:size], signature[size:]


def numbers(algorithm, r=None, s=None):
    """A signature of these numbers; by default of those of the good one."""

    def change(signature):
        first, second = halves(signature)
        size, order = len(first), ORDERS[algorithm]
        values = [
            given(order) if given else int.from_bytes(good, "big")
            for given, good in ((r, first), (s, second))
        ]
        return b"".join(value.to_bytes(size, "big") for value in values)

    return change


def der(signature):
    """The same numbers as X.509 encodes them."""
    parts = b"".join(b"\2" + bytes([len(half) + 1]) + b"\0" + half for half in halves(signature))
    length = bytes([len(parts)]) if len(parts) < 128 else bytes([0x81, len(parts)])
    return b"\x30" + length + parts


ECDSA = {
    "zeros (CVE-2022-21449)": lambda _: lambda s: bytes(len(s)),
    "r = 0": lambda name: numbers(name, r=lambda _: 0),
    "s = 0": lambda name: numbers(name, s=lambda _: 0),
    "r = 1, s = 1": lambda name: numbers(name, r=lambda _: 1, s=lambda _: 1),
    "r = n": lambda name: numbers(name, r=lambda n: n),
    "s = n": lambda name: numbers(name, s=lambda n: n),
    "r = n, s = n": lambda name: numbers(name, r=lambda n: n, s=lambda n: n),
    "r = 1, s = 0": lambda name: numbers(name, r=lambda _: 1, s=lambda _: 0),
    "r = n - 1, s = n - 1": lambda name: numbers(name, r=lambda n: n - 1, s=lambda n: n - 1),
    "all bits": lambda _: lambda s: b"\xff" * len(s),
    "DER": lambda _: der,
    "s before r": lambda _: lambda s: b"".join(reversed(halves(s))),
    "one byte more": lambda _: lambda s: s + b"\0",
    "one byte before": lambda _: lambda s: b"\0" + s,
    "a zero byte before each number": lambda _: (
        lambda s: b"".join(b"\0" + half for half in halves(s))
    ),
    "one byte less": lambda _: lambda s: s[:-1],
    "r only": lambda _: lambda s: halves(s)[0],
    "one byte": lambda _: lambda _: b"\0",
    "twice": lambda _: lambda s: s + s,
    "a flipped bit in r": lambda _: lambda s: bytes([s[0] ^ 1]) + s[1:],
    "a flipped bit in s": lambda _: lambda s: s[:-1] + bytes([s[-1] ^ 1]),
}


@pytest.mark.parametrize("what", ECDSA)
@pytest.mark.parametrize("algorithm", ORDERS)
def test_a_changed_ecdsa_signature_is_wrong(algorithm, what):
    made = with_signature(algorithm, ECDSA[what](algorithm))

    with pytest.raises(AcmeProblem, match="its signature is wrong"):
        verify(made, algorithm)


def add_order(signature):
    """The same S modulo the order: other implementations accept it (RFC 8032 section 8.4)."""
    number = int.from_bytes(signature[32:], "little") + ED25519_ORDER
    return signature[:32] + number.to_bytes(32, "little")


ED25519 = {
    "S plus the order": add_order,
    "S = 0": lambda s: s[:32] + bytes(32),
    "R = 0 and S = 0": lambda _: bytes(64),
    "the identity and S = 0": lambda _: b"\1" + bytes(63),
    "the order as S": lambda s: s[:32] + ED25519_ORDER.to_bytes(32, "little"),
    "S before R": lambda s: s[32:] + s[:32],
    "one byte more": lambda s: s + b"\0",
    "one byte less": lambda s: s[:-1],
    "a flipped bit in R": lambda s: bytes([s[0] ^ 1]) + s[1:],
    "the sign of R": lambda s: s[:31] + bytes([s[31] ^ 0x80]) + s[32:],
    "a flipped bit in S": lambda s: s[:32] + bytes([s[32] ^ 1]) + s[33:],
}


@pytest.mark.parametrize("what", ED25519)
def test_a_changed_ed25519_signature_is_wrong(what):
    made = with_signature("EdDSA", ED25519[what])

    with pytest.raises(AcmeProblem, match="its signature is wrong"):
        verify(made, "EdDSA")


def modulus():
    return KEYS["RS256"].public_key.public_numbers().n


def encrypted(block):
    """A signature that the public operation turns into this block."""
    numbers = KEYS["RS256"].private_key.private_numbers()
    n, d = numbers.public_numbers.n, numbers.d
    return pow(int.from_bytes(block, "big"), d, n).to_bytes(256, "big")


def block(digest_info, *, kind=b"\1", fill=b"\xff", tail=b""):
    """A block of PKCS #1 version 1.5 (RFC 8017 section 9.2)."""
    size = 256 - 3 - len(digest_info) - len(tail)
    return b"\0" + kind + fill * size + b"\0" + digest_info + tail


def digest_of(members):
    return hashlib.sha256(f"{members['protected']}.{members['payload']}".encode()).digest()


# RFC 8017 section 9.2, note 1: the DigestInfo of SHA-256; and others that some libraries accept.
SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
WITHOUT_NULL = bytes.fromhex("302f300b0609608648016503040201" + "0420")
LONG_LENGTH = bytes.fromhex("308131300d060960864801650304020105000420")
SHA1 = bytes.fromhex("3021300906052b0e03021a05000414")

RSA = {
    "a signature of 0": lambda _: bytes(256),
    "a signature of 1": lambda _: bytes(255) + b"\1",
    "n - 1": lambda _: (modulus() - 1).to_bytes(256, "big"),
    "the signature plus n": lambda made: (
        int.from_bytes(jwt.unb64(made["signature"]), "big") + modulus()
    ).to_bytes(257, "big"),
    "a zero byte before": lambda made: b"\0" + jwt.unb64(made["signature"]),
    "a zero byte after": lambda made: jwt.unb64(made["signature"]) + b"\0",
    "one byte less": lambda made: jwt.unb64(made["signature"])[:-1],
    "no NULL": lambda made: encrypted(block(WITHOUT_NULL + digest_of(made))),
    "a length in BER": lambda made: encrypted(block(LONG_LENGTH + digest_of(made))),
    "SHA-1": lambda made: encrypted(block(SHA1 + digest_of(made)[:20])),
    "no DigestInfo": lambda made: encrypted(block(digest_of(made))),
    "block type 0": lambda made: encrypted(block(SHA256 + digest_of(made), kind=b"\0")),
    "block type 2": lambda made: encrypted(block(SHA256 + digest_of(made), kind=b"\2")),
    "other filling": lambda made: encrypted(block(SHA256 + digest_of(made), fill=b"\xfe")),
    # Bleichenbacher's forgery of 2006.
    "bytes after the digest": lambda made: encrypted(
        block(SHA256 + digest_of(made), tail=b"\0" * 150)
    ),
}


@pytest.mark.parametrize("what", RSA)
def test_a_changed_rsa_signature_is_wrong(what):
    made = make("RS256")
    changed = made | {"signature": jwt.b64(RSA[what](made))}

    with pytest.raises(AcmeProblem, match="its signature is wrong"):
        verify(changed, "RS256")


def test_the_block_that_the_vectors_change_is_a_good_one():
    made = make("RS256")
    again = made | {"signature": jwt.b64(encrypted(block(SHA256 + digest_of(made))))}

    assert again == made
    verify(again, "RS256")


def test_a_signature_with_another_hash_or_padding_is_wrong():
    key, made = KEYS["RS256"].private_key, make("RS256")
    message = f"{made['protected']}.{made['payload']}".encode()
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    for scheme, digest in (
        (padding.PKCS1v15(), hashes.SHA384()),
        (padding.PKCS1v15(), hashes.SHA512()),
        (pss, hashes.SHA256()),
    ):
        changed = made | {"signature": jwt.b64(key.sign(message, scheme, digest))}
        with pytest.raises(AcmeProblem, match="its signature is wrong"):
            verify(changed, "RS256")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("other", ALGORITHMS)
def test_a_key_is_used_with_its_own_algorithm_only(algorithm, other):
    made = make(other, key=KEYS[algorithm], signed_as=algorithm)

    if other == algorithm:
        verify(made, algorithm)
        return
    with pytest.raises(AcmeProblem, match="does not fit the key") as raised:
        verify(made, other, KEYS[algorithm])
    assert raised.value.more == {"algorithms": [algorithm]}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_keys_signature_is_wrong(algorithm):
    kind, curve = KEY_KINDS[algorithm]
    other = jwt.make_key(kind, curve or 2048, "another")

    with pytest.raises(AcmeProblem, match="its signature is wrong"):
        verify(make(algorithm), algorithm, other)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("part", ["protected", "payload"])
def test_a_signature_is_for_its_header_and_its_payload_only(algorithm, part):
    made = make(algorithm)
    changed = made | {part: jwt.b64(jwt.unb64(made[part]) + b" ")}

    with pytest.raises(AcmeProblem, match="its signature is wrong"):
        verify(changed, algorithm)


def test_the_border_between_the_header_and_the_payload_is_signed():
    made = make("ES256", payload=b"{}")
    text = made["protected"] + "." + made["payload"]

    moved = {"protected": text[:-1], "payload": text[-1:], "signature": made["signature"]}

    with pytest.raises(ValueError, match="base64url"):
        parse_flattened(moved)


def test_nothing_of_a_request_is_in_the_text_of_its_object():
    shown = repr(parse_flattened(make("ES256")))

    assert not any(each in shown for each in make("ES256").values())


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "ES384"},
        {"alg": None},
        {"alg": "ES256", "crit": ["b64"], "b64": False},
        {"alg": "ES256", "b64": True},
        {"alg": "ES256", "crit": []},
    ],
)
def test_a_header_that_changes_the_meaning_of_the_signature_is_refused(header):
    text = jwt.sign_raw(json.dumps(header).encode(), PAYLOAD, KEYS["ES256"], "ES256")
    public = parse_public_jwk(KEYS["ES256"].as_dict(private=False))

    with pytest.raises(ValueError, match="its header is not accepted"):
        verify_with_key(parse_flattened(members_of(text)), "ES256", public.key)
