"""Weak keys, generated for these tests, are rejected with the reason."""

from __future__ import annotations

import functools
import hashlib
import math
import random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
)
from hypothesis import given
from hypothesis import strategies as st

from anchor.X509 import factoring, weak_keys
from anchor.X509.factoring import primes_below
from anchor.X509.signing_request import X509Csr
from anchor.X509.weak_keys import WeakKey, require_strong
from tests.support.pki import KEY_KINDS, make_ca, make_csr, make_key, shared_key
from tests.support.policies import config_errors, make_policy, refusals

SEED = 20260101
SMALL_PRIMES = math.prod(primes_below(2048))


def is_prime(number, rounds=6):
    """The Miller-Rabin test."""
    if math.gcd(number, SMALL_PRIMES) != 1:
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    source = random.Random(number)
    for _ in range(rounds):
        power = pow(source.randrange(2, number - 1), odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


@functools.cache
def next_prime(number):
    number |= 1
    while not is_prime(number):
        number += 2
    return number


def random_prime(bits, source):
    return next_prime(source.getrandbits(bits) | (3 << (bits - 2)))


def private_key(p, q, e=65537):
    """A key that can sign although its primes are weak."""
    d = pow(e, -1, math.lcm(p - 1, q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def roca_prime(bits, source):
    """A prime k * M + (65537**a mod M) of the Infineon library (Nemec et al., CCS 2017)."""
    primorial = math.prod(list(primes_below(1000))[:126])
    while True:
        k = source.getrandbits(bits - primorial.bit_length()) | 1 << (
            bits - primorial.bit_length() - 1
        )
        candidate = k * primorial + pow(65537, source.getrandbits(200), primorial)
        if candidate.bit_length() == bits and is_prime(candidate):
            return candidate


def reason(key):
    """The reason to reject a request with this key and a valid signature."""
    found = refusals(make_policy(), make_csr("a.example.com", key=key))
    assert found.keys() <= {"strong_key"}
    return found.get("strong_key", "")


def test_small_rsa_keys_are_rejected():
    assert "too small" in reason(rsa.generate_private_key(65537, 1024))
    assert "too small" in reason(rsa.generate_private_key(65537, 2047))
    assert reason(shared_key("rsa-2048")) == ""


EXPONENTS = [3, 17, 257, 65539]


@functools.cache
def primes_for_exponents():
    """Two primes that are valid with each of the exponents."""
    while True:
        numbers = rsa.generate_private_key(3, 2048).private_numbers()
        if math.gcd(math.prod(EXPONENTS), (numbers.p - 1) * (numbers.q - 1)) == 1:
            return numbers.p, numbers.q


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_other_exponents_are_rejected_unless_allowed(exponent):
    p, q = primes_for_exponents()
    csr = make_csr("a.example.com", key=private_key(p, q, exponent))

    assert "exponent" in refusals(make_policy(), csr)["strong_key"]
    assert refusals(make_policy(exponents=[65537, exponent]), csr) == {}


@pytest.mark.parametrize("distance", [2, 1 << 16, 1 << 500, 1 << 514])
def test_close_primes_are_rejected(distance):
    p = random_prime(1024, random.Random(SEED))
    q = next_prime(p + distance)

    assert "Fermat" in reason(private_key(p, q))


def test_a_square_is_rejected():
    p = random_prime(1024, random.Random(SEED))

    with pytest.raises(WeakKey, match="Fermat"):
        weak_keys._refuse_weak_rsa(rsa.RSAPublicNumbers(65537, p * p), weak_keys.Allowed())


def fermat(modulus):
    """Fermat's factorisation without optimisations."""
    middle = math.isqrt(modulus)
    differences = ((middle + step) ** 2 - modulus for step in range(101))
    return any(d >= 0 and math.isqrt(d) ** 2 == d for d in differences)


def close(base, distance):
    """A product that Fermat's method factors quickly if the distance is small."""
    return (base | 1) * ((base | 1) + 2 * distance)


@given(
    st.one_of(
        st.integers(2**20, 2**96).map(lambda number: number | 1),
        st.builds(close, st.integers(2**16, 2**48), st.integers(0, 2**18)),
    )
)
def test_the_fast_factorisation_matches_the_plain_one(modulus):
    assert fermat(modulus) == factoring.has_close_factors(modulus)


def test_a_weak_key_is_rejected_every_time_by_every_rule():
    source = random.Random(SEED)
    key = private_key(random_prime(1024, source), random_prime(1024, source), (1 << 16) + 3)
    public_key = X509Csr.from_pem(make_csr("a.example.com", key=key)).public_key
    allowed = weak_keys.Allowed(exponents=frozenset({(1 << 16) + 3}))

    for _ in range(2):
        with pytest.raises(WeakKey, match="exponent"):
            require_strong(public_key, weak_keys.Allowed())
        require_strong(public_key, allowed)


@pytest.mark.slow
def test_keys_of_the_roca_generator_are_rejected():
    source = random.Random(SEED)

    assert "ROCA" in reason(private_key(roca_prime(1024, source), roca_prime(1024, source)))


@pytest.mark.slow
def test_a_modulus_with_one_ordinary_prime_is_not_a_roca_key():
    source = random.Random(SEED)

    assert reason(private_key(roca_prime(1024, source), random_prime(1024, source))) == ""


@pytest.mark.slow
@pytest.mark.parametrize("factor", [3, 2039, 8191, 65537, 131071])
def test_small_factors_are_rejected(factor):
    source = random.Random(SEED)
    other = random_prime(1024, source) * random_prime(1024, source)

    # cryptography cannot make a key with three primes, so only its numbers are checked.
    with pytest.raises(WeakKey, match="small factor"):
        weak_keys._refuse_weak_rsa(rsa.RSAPublicNumbers(65537, factor * other), weak_keys.Allowed())


def test_even_and_oversized_moduli_are_rejected():
    for modulus, words in (((1 << 2047) + 2, "even"), (1 << 8200, "large")):
        with pytest.raises(WeakKey, match=words):
            weak_keys._refuse_weak_rsa(rsa.RSAPublicNumbers(65537, modulus), weak_keys.Allowed())


def test_strong_keys_of_every_size_pass():
    for kind in ("rsa-2048", "rsa-3072"):
        assert reason(shared_key(kind)) == ""


@pytest.mark.parametrize("curve", [ec.SECP192R1, ec.SECP224R1, ec.SECP256K1, ec.BrainpoolP256R1])
def test_other_curves_are_rejected(curve):
    assert "curve" in reason(ec.generate_private_key(curve()))


@pytest.mark.slow
def test_dsa_is_rejected_unless_it_is_listed_and_large_enough():
    small, sound = dsa.generate_private_key(1024), dsa.generate_private_key(2048)
    listed = make_policy({"public_key": {"allowed_keys": {"DSA": 0}}})

    assert "DSA" in reason(sound)
    assert {} == refusals(listed, make_csr("a", key=sound))
    assert "strong_key" in refusals(listed, make_csr("a", key=small))


@pytest.mark.slow
def test_a_dsa_key_outside_its_subgroup_is_rejected():
    numbers = dsa.generate_private_key(2048).public_key().public_numbers()
    parameters = numbers.parameter_numbers

    for key in (
        dsa.DSAPublicNumbers(1, parameters),
        dsa.DSAPublicNumbers(parameters.p - 1, parameters),
        dsa.DSAPublicNumbers(
            numbers.y, dsa.DSAParameterNumbers(parameters.p, parameters.q, parameters.p - 1)
        ),
        dsa.DSAPublicNumbers(
            numbers.y, dsa.DSAParameterNumbers(parameters.p, parameters.q + 2, parameters.g)
        ),
    ):
        with pytest.raises(WeakKey, match="malformed"):
            weak_keys._refuse_weak_dsa(key)


@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p256", "ed25519"])
def test_keys_of_the_ca_and_its_chain_are_rejected(serve, document, tmp_path, kind):
    root = make_ca(tmp_path, kind, name="root")
    ca = make_ca(tmp_path, kind, name="intermediate", issuer=root)
    document["signing_ca"]["local"] |= {
        "cert_path": str(ca.cert_path),
        "key_path": str(ca.key_path),
        "chain_path": str(root.cert_path),
    }
    service = serve(document)

    for key in (ca.key, root.key):
        answer = service.sign(make_csr("www.example.com", key=key), status=400)
        assert "strong_key: the key is the CA's own" in answer.text
    service.issue(make_csr("www.example.com", key=make_key(kind)))


def blocklist(path, *numbers):
    """A blocklist file in the format of badkeys."""
    digests = {
        hashlib.sha256(number.to_bytes((number.bit_length() + 7) // 8, "big")).digest()[:15]
        for number in (*numbers, *range(1, 1000))
    }
    path.write_bytes(b"".join(digest + b"\1" for digest in sorted(digests)))
    return {"compromised_keys": {"blocklist": str(path)}}


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_a_key_on_the_list_of_compromised_keys_is_rejected(tmp_path, kind):
    compromised, other = shared_key(kind), make_key(kind)
    public = compromised.public_key()
    match kind.split("-")[0]:
        case "rsa":
            number = public.public_numbers().n
        case "ec":
            number = public.public_numbers().x
        case _:
            number = int.from_bytes(public.public_bytes_raw(), "big")
    a_policy = make_policy(blocklist(tmp_path / "blocklist.dat", number))

    assert "compromised_keys" in refusals(a_policy, make_csr("a", key=compromised))
    assert {} == refusals(a_policy, make_csr("a", key=other))


@pytest.mark.parametrize("contents", [None, b"", b"x" * 17, b"\2" * 16 + b"\1" * 16])
def test_an_invalid_blocklist_prevents_the_start(tmp_path, contents):
    path = tmp_path / "blocklist.dat"
    if contents is not None:
        path.write_bytes(contents)

    found = config_errors({"compromised_keys": {"blocklist": str(path)}})

    assert found.startswith("validators.compromised_keys.blocklist: ")


P_25519, P_448 = 2**255 - 19, 2**448 - 2**224 - 1
SMALL_ORDER_25519 = [
    *(number.to_bytes(32, "little") for number in (0, 1, P_25519 - 1, P_25519, P_25519 + 1)),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
]
SMALL_ORDER_448 = [number.to_bytes(57, "little") for number in (0, 1, P_448 - 1)]


@pytest.mark.parametrize("encoded", SMALL_ORDER_25519 + SMALL_ORDER_448, ids=bytes.hex)
@pytest.mark.parametrize("sign", [0, 0x80])
def test_points_of_small_order_are_rejected(encoded, sign):
    encoded = encoded[:-1] + bytes([encoded[-1] | sign])
    kind = ed25519.Ed25519PublicKey if len(encoded) == 32 else ed448.Ed448PublicKey

    with pytest.raises(WeakKey, match="small order"):
        require_strong(kind.from_public_bytes(encoded), weak_keys.Allowed())


def test_a_key_of_small_order_is_rejected_in_a_request():
    """With the neutral element as the key, a signature is valid without a private key."""
    neutral = b"\1" + bytes(31)
    key = shared_key("ed25519")
    request = x509.load_pem_x509_csr(make_csr("a.example.com", key=key))
    der = request.public_bytes(Encoding.DER)
    der = der.replace(key.public_key().public_bytes_raw(), neutral)
    der = der.replace(request.signature, neutral + bytes(32))
    pem = x509.load_der_x509_csr(der).public_bytes(Encoding.PEM)

    assert "small order" in refusals(make_policy(), pem)["strong_key"]
