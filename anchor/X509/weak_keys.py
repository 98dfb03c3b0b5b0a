"""Rejection of weak keys, whose private key others can compute.

The tests find keys that are too small, degenerate, or made by a generator that is known to be
broken.  They run for every request; doc/source/explanation/measurements.rst has their cost.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from anchor.errors import Rejected
from anchor.X509 import factoring
from anchor.X509.factoring import primes_below
from anchor.X509.signing_request import PublicKey
from anchor.X509.small_scalars import SmallScalarKey, is_small_multiple

RSA_BITS = range(2048, 8192 + 1)
# FIPS 186-4 4.2.
DSA_BITS = range(2048, 3072 + 1)
DSA_SUBGROUP_BITS = (224, 256)
MAX_DSA_EXPONENT = 256
CURVES = ("secp256r1", "secp384r1", "secp521r1")


class WeakKey(Rejected):
    """Others can compute the private key, or the kind of key is not accepted."""


@dataclass(frozen=True)
class Allowed:
    """The kinds of keys that the configuration allows beyond the defaults.

    Attributes:
        exponents: the accepted public exponents of RSA keys.
        dsa: True if DSA keys are accepted.
    """

    exponents: frozenset[int] = frozenset({65537})
    dsa: bool = False


def require_strong(key: PublicKey, allowed: Allowed) -> None:
    """Raise WeakKey if the key is known to be weak."""
    if isinstance(key, rsa.RSAPublicKey):
        _refuse_weak_rsa(key.public_numbers(), allowed)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        # OpenSSL does not load points that are not on their curve.
        if key.curve.name not in CURVES:
            raise WeakKey("the key is on a curve that is not accepted", curve=key.curve.name)
        _refuse_small_multiple(key)
    elif isinstance(key, dsa.DSAPublicKey):
        if not allowed.dsa:
            raise WeakKey("DSA keys are not accepted")
        _refuse_weak_dsa(key.public_numbers())
    elif _is_of_small_order(key):
        raise WeakKey("the key is a point of small order: everybody can sign with it")
    else:
        _refuse_small_multiple(key)


def _refuse_small_multiple(key: SmallScalarKey) -> None:
    if is_small_multiple(key):
        raise WeakKey("the private key is a small number: everybody can compute it")


# RFC 8032 5.1 and 5.2: the primes, and Ed25519's d.
_P_25519 = 2**255 - 19
_D_25519 = -121665 * pow(121666, -1, _P_25519) % _P_25519
_P_448 = 2**448 - 2**224 - 1


def _is_of_small_order(key: ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) -> bool:
    """True if the cofactor times the point is zero: anyone can sign with such a key."""
    # The last bit is the sign of x, which does not change the order.
    encoded = key.public_bytes_raw()
    y = int.from_bytes(encoded, "little") & ((1 << (8 * len(encoded) - 1)) - 1)
    if isinstance(key, ed448.Ed448PublicKey):
        return y % _P_448 in (0, 1, _P_448 - 1)
    y %= _P_25519
    # Orders 4, 1 and 2; and 8: the double of (x, y) has the order 4, so x^2 = -y^2.
    return y in (0, 1, _P_25519 - 1) or (_D_25519 * y**4 + 2 * y**2 - 1) % _P_25519 == 0


def _refuse_weak_dsa(key: dsa.DSAPublicNumbers) -> None:
    p, q, g = key.parameter_numbers.p, key.parameter_numbers.q, key.parameter_numbers.g
    if p.bit_length() not in DSA_BITS or q.bit_length() not in DSA_SUBGROUP_BITS:
        raise WeakKey("the DSA key has a wrong size", bits=p.bit_length())
    # FIPS 186-4 4.1 and SP 800-89 5.3.1: generator and key are in the subgroup of order q.
    if (p - 1) % q or not all(1 < part < p and pow(part, q, p) == 1 for part in (g, key.y)):
        raise WeakKey("the DSA key is malformed")
    power = 1
    for _ in range(MAX_DSA_EXPONENT):
        power = power * g % p
        if key.y == power or key.y * power % p == 1:
            raise WeakKey("the private key is a small number: everybody can compute it")


def _refuse_weak_rsa(key: rsa.RSAPublicNumbers, allowed: Allowed) -> None:
    bits = key.n.bit_length()
    if bits < RSA_BITS.start:
        raise WeakKey("the RSA key is too small", bits=bits)
    if bits >= RSA_BITS.stop:
        raise WeakKey("the RSA key is too large", bits=bits)
    if key.e not in allowed.exponents:
        raise WeakKey("the RSA key's exponent is not accepted", exponent=_short(key.e))
    if key.n % 2 == 0:
        raise WeakKey("the RSA key's modulus is even")
    if factoring.has_small_factor(key.n):
        raise WeakKey("the RSA key's modulus has a small factor")
    if _has_roca_modulus(key.n):
        raise WeakKey("the RSA key was made by a broken generator (ROCA, CVE-2017-15361)")
    if factoring.has_close_factors(key.n):
        raise WeakKey("the RSA key's primes are too close (Fermat, CVE-2022-26320)")
    if factoring.has_primes_in_a_simple_ratio(key.n):
        raise WeakKey("the RSA key's primes are close to a simple ratio (Lehman)")
    if factoring.is_perfect_power(key.n):
        raise WeakKey("the RSA key's modulus is a power of one number")
    if factoring.is_prime(key.n):
        raise WeakKey("the RSA key's modulus is a prime, so everybody has the private key")


def _powers_of_65537(prime: int) -> frozenset[int]:
    return frozenset(pow(65537, exponent, prime) for exponent in range(prime - 1))


# The ROCA generator makes primes k*M + 65537**a mod M, with M the product of the first primes, so
# its moduli are powers of 65537 modulo each of these (Nemec et al., CCS 2017).  About one in 2**28
# random moduli is, too.
_ROCA_MARKS = tuple(
    (prime, residues)
    for prime in primes_below(168)
    if len(residues := _powers_of_65537(prime)) < prime - 1
)


def _has_roca_modulus(modulus: int) -> bool:
    return all(modulus % prime in residues for prime, residues in _ROCA_MARKS)


def _short(number: int) -> str:
    return str(number) if number.bit_length() <= 64 else f"of {number.bit_length()} bits"
