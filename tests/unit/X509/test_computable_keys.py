"""Keys whose private key can be computed are rejected; strong keys are accepted."""

from __future__ import annotations

import functools
import hashlib
import random

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from anchor.X509 import factoring, small_scalars, weak_keys
from anchor.X509.related_keys import RelatedKeys
from anchor.X509.weak_keys import WeakKey, require_strong
from tests.support.pace import assert_cpu_below
from tests.support.pki import make_ca, make_csr, make_key, shared_key
from tests.support.policies import make_policy, refusals
from tests.unit.X509.test_weak_keys import SEED, is_prime, next_prime, private_key, random_prime

CURVES = [ec.SECP256R1, ec.SECP384R1, ec.SECP521R1]


def check_modulus(modulus):
    weak_keys._refuse_weak_rsa(rsa.RSAPublicNumbers(65537, modulus), weak_keys.Allowed())


def check_key(key):
    require_strong(key, weak_keys.Allowed(dsa=True))


# ---- RSA


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [65537, 65539])
def test_a_prime_is_recognised_for_any_factor_of_its_predecessor(exponent):
    number = 1 + (random.Random(SEED).getrandbits(1024) | 1 << 1023) * 2 * exponent
    while not is_prime(number):
        number += 2 * exponent

    assert factoring.is_prime(number)


@pytest.mark.slow
@pytest.mark.parametrize("power", [2, 3, 4, 5, 7, 8, 11, 13, 64, 113])
def test_a_perfect_power_is_rejected(power):
    root = random_prime(2048 // power + 2, random.Random(SEED))

    with pytest.raises(WeakKey, match=r"power of one number|Fermat"):
        check_modulus(root**power)


@pytest.mark.parametrize("bits", [2048, 4096, 8192])
def test_a_power_of_a_composite_is_rejected_too(bits):
    source = random.Random(SEED)
    part = bits // 6
    root = (source.getrandbits(part) | 1 << part | 1) * (source.getrandbits(part) | 1 << part | 1)

    assert factoring.is_perfect_power(root**3)
    assert not factoring.is_perfect_power(root**3 + 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("a", "b"), [(2, 1), (3, 1), (3, 2), (4, 3), (5, 3), (5, 4), (7, 5), (9, 7), (15, 8), (16, 15)]
)
def test_primes_in_a_simple_ratio_are_rejected(a, b):
    p = random_prime(1024, random.Random(SEED))
    # Half of the bits are common to both.
    q = next_prime(a * p // b + (1 << 500))

    with pytest.raises(WeakKey, match="close to a simple ratio"):
        check_modulus(p * q)


def test_a_request_with_primes_in_a_simple_ratio_is_rejected():
    p = random_prime(1024, random.Random(SEED))
    csr = make_csr("a.example.com", key=private_key(p, next_prime(3 * p // 2)))

    assert "simple ratio" in refusals(make_policy(), csr)["strong_key"]


@pytest.mark.slow
@pytest.mark.parametrize("factor_bits", range(2, 18))
def test_every_factor_below_the_bound_is_rejected(factor_bits):
    factor = max(p for p in factoring.primes_below(1 << factor_bits))
    rest = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n

    with pytest.raises(WeakKey, match=r"even|small factor"):
        check_modulus(factor * rest)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [2048, 2056, 3072, 4096])
def test_strong_rsa_keys_pass(bits):
    for _ in range(1 if bits == 4096 else 4):
        check_key(rsa.generate_private_key(65537, bits).public_key())


@pytest.mark.slow
@pytest.mark.parametrize("bits", [2048, 3072, 4096, 8192])
def test_a_strong_rsa_key_is_checked_in_30_milliseconds(bits):
    source = random.Random(SEED)
    # Numbers that pass all tests; with small factors they would be rejected at once.
    modulus = next(
        n
        for n in iter(lambda: source.getrandbits(bits) | 1 | 1 << bits - 1, None)
        if not factoring.has_small_factor(n)
    )
    check_modulus(modulus)

    assert_cpu_below(0.03, lambda: check_modulus(modulus))


# ---- curves


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("scalar", [*range(1, 17), 100, 255, 256, 1000, 1023, 1024])
def test_small_scalars_and_their_negatives_are_rejected(curve, scalar):
    order = curve().group_order
    for private in (scalar, order - scalar):
        with pytest.raises(WeakKey, match="small number"):
            check_key(ec.derive_private_key(private, curve()).public_key())


@pytest.mark.parametrize("curve", CURVES)
def test_the_smallest_accepted_scalar_passes(curve):
    check_key(ec.derive_private_key(small_scalars.MAX_SCALAR + 1, curve()).public_key())


def test_a_request_with_a_small_scalar_is_rejected():
    csr = make_csr("a.example.com", key=ec.derive_private_key(7, ec.SECP256R1()))

    assert "small number" in refusals(make_policy(), csr)["strong_key"]


class Edwards:
    """The arithmetic of RFC 8032 in affine coordinates, independent of the tested code."""

    def __init__(self, p, a, d, base, length, kind):
        self.p, self.a, self.d, self.base = p, a, d, base
        self.length, self.kind = length, kind

    def add(self, first, second):
        (x, y), (u, v) = first, second
        t = self.d * x * u * y * v
        return (
            (x * v + y * u) * pow(1 + t, -1, self.p) % self.p,
            (y * v - self.a * x * u) * pow(1 - t, -1, self.p) % self.p,
        )

    def multiple(self, scalar):
        result, addend = (0, 1), self.base
        while scalar:
            if scalar & 1:
                result = self.add(result, addend)
            addend, scalar = self.add(addend, addend), scalar >> 1
        return result

    def key(self, point):
        x, y = point
        encoded = y | (x & 1) << (8 * self.length - 1)
        return self.kind.from_public_bytes(encoded.to_bytes(self.length, "little"))


P_25519, P_448 = 2**255 - 19, 2**448 - 2**224 - 1
D_25519 = -121665 * pow(121666, -1, P_25519)
# RFC 8032 5.1 and 5.2.
EDWARDS = {
    "ed25519": Edwards(
        P_25519, -1, D_25519,
        (15112221349535400772501151409588531511454012693041857206046113283949847762202,
         46316835694926478169428394003475163141307993866256225615783033603165251855960),
        32, ed25519.Ed25519PublicKey,
    ),
    "ed448": Edwards(
        P_448, 1, -39081,
        (224580040295924300187604334099896036246789641632564134246125461686950415467406032909029192869357953282578032075146446173674602635247710,
         298819210078481492676017930443930673437544040154080242095928241372331506189835876003536878655418784733982303233503462500531545062832660),
        57, ed448.Ed448PublicKey,
    ),
}  # fmt: skip


def test_edwards_arithmetic_matches_the_library():
    seed = bytes(range(32))
    digest = bytearray(hashlib.sha512(seed).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 127 | 64
    curve = EDWARDS["ed25519"]
    expected = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key()
    assert expected == curve.key(curve.multiple(int.from_bytes(digest, "little")))

    seed = bytes(range(57))
    digest = bytearray(hashlib.shake_256(seed).digest(114)[:57])
    digest[0] &= 252
    digest[55] |= 128
    digest[56] = 0
    curve = EDWARDS["ed448"]
    expected = ed448.Ed448PrivateKey.from_private_bytes(seed).public_key()
    assert expected == curve.key(curve.multiple(int.from_bytes(digest, "little")))


@pytest.mark.parametrize("kind", EDWARDS)
@pytest.mark.parametrize("scalar", [*range(1, 17), 100, 255, 256, 1000, 1023, 1024])
def test_small_multiples_of_an_edwards_base_point_are_rejected(kind, scalar):
    curve = EDWARDS[kind]
    x, y = curve.multiple(scalar)

    for point in ((x, y), (-x % curve.p, y)):
        with pytest.raises(WeakKey, match="small number"):
            check_key(curve.key(point))


@pytest.mark.parametrize("kind", EDWARDS)
def test_the_smallest_accepted_multiple_passes(kind):
    check_key(EDWARDS[kind].key(EDWARDS[kind].multiple(small_scalars.MAX_SCALAR + 1)))


@pytest.mark.parametrize("kind", ["ec-p256", "ec-p384", "ec-p521", "ed25519", "ed448"])
def test_random_ec_keys_pass(kind):
    for _ in range(100):
        check_key(make_key(kind).public_key())


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [1, 2, 16, 256])
def test_dsa_keys_with_small_exponents_are_rejected(exponent):
    key = dsa.generate_private_key(2048).public_key()
    parameters = key.public_numbers().parameter_numbers
    for power in (exponent, parameters.q - exponent):
        y = pow(parameters.g, power, parameters.p)
        with pytest.raises(WeakKey, match="small number"):
            weak_keys._refuse_weak_dsa(dsa.DSAPublicNumbers(y, parameters))
    check_key(key)


# ---- keys related to the CA's key


def rsa_disguise(exponent, multiply):
    """A CA key, and an RSA key that ``multiply`` computes from its numbers."""
    numbers = shared_key("rsa-2048").private_numbers()
    return (
        shared_key("rsa-2048").public_key(),
        rsa.RSAPublicNumbers(exponent, multiply(numbers)).public_key(),
    )


def curve_disguise(curve):
    """A key of a CA, and its negative."""
    key = ec.generate_private_key(curve())
    negative = curve().group_order - key.private_numbers().private_value
    return key.public_key(), ec.derive_private_key(negative, curve()).public_key()


def edwards_disguise(kind):
    """A key of a CA, and its negative."""
    key = make_key(kind).public_key()
    raw = key.public_bytes_raw()
    return key, EDWARDS[kind].kind.from_public_bytes(raw[:-1] + bytes([raw[-1] ^ 0x80]))


NEGATIVE = "negative of the CA's key"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(
            lambda: rsa_disguise(3, lambda numbers: numbers.public_numbers.n),
            "has the modulus of the CA's key",
            id="modulus",
        ),
        pytest.param(
            lambda: rsa_disguise(
                65537, lambda numbers: numbers.p * next_prime(numbers.q + (1 << 1000))
            ),
            "has a factor in common",
            id="factor",
        ),
        *(
            pytest.param(functools.partial(curve_disguise, curve), NEGATIVE, id=curve.name)
            for curve in CURVES
        ),
        *(
            pytest.param(functools.partial(edwards_disguise, kind), NEGATIVE, id=kind)
            for kind in ("ed25519", "ed448")
        ),
    ],
)
def test_a_key_related_to_the_ca_key_is_rejected(make, words):
    ca_key, key = make()

    with pytest.raises(WeakKey, match=words):
        refuse_related(key, ca_key)


def refuse_related(key, ca_key):
    RelatedKeys([public_key_info(ca_key)]).refuse(key, public_key_info(key))


def public_key_info(key):
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p256", "ec-p384", "ed25519", "ed448"])
def test_unrelated_keys_pass(kind):
    for ca_kind in ("rsa-2048", "ec-p256", "ec-p384", "ed25519", "ed448"):
        refuse_related(make_key(kind).public_key(), shared_key(ca_kind).public_key())


def test_the_negative_of_the_ca_key_is_rejected(serve, document, tmp_path):
    ca = make_ca(tmp_path, "ec-p256", name="other")
    document["signing_ca"]["local"] |= {
        "cert_path": str(ca.cert_path),
        "key_path": str(ca.key_path),
    }
    curve = ec.SECP256R1()
    negative = curve.group_order - ca.key.private_numbers().private_value
    service = serve(document)

    answer = service.sign(
        make_csr("www.example.com", key=ec.derive_private_key(negative, curve)), status=400
    )

    assert "strong_key: the key is the negative of the CA's key" in answer.text
    service.issue(make_csr("www.example.com", key=make_key("ec-p256")))


@pytest.mark.parametrize(
    ("private", "size"), [(ed25519.Ed25519PrivateKey, 32), (ed448.Ed448PrivateKey, 57)]
)
@pytest.mark.parametrize("byte", [0, 1, 7, 16, 255])
def test_edwards_keys_of_trivial_seeds_are_rejected(private, size, byte):
    for seed in (byte.to_bytes(size, "little"), byte.to_bytes(size, "big"), bytes([byte]) * size):
        with pytest.raises(WeakKey, match="everybody can compute it"):
            check_key(private.from_private_bytes(seed).public_key())


@pytest.mark.parametrize("private", [ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey])
def test_random_edwards_keys_pass(private):
    for _ in range(20):
        check_key(private.generate().public_key())
