"""Keys that must not be certified, however well they prove their possession.

The tests look for keys whose private half others can compute: too small, degenerate, or made by a
generator that is known to be broken.  They cost tens of microseconds, so every request gets them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from anchor.validators import ValidationError
from anchor.X509.signing_request import PublicKey

RSA_BITS = range(2048, 8192 + 1)
# FIPS 186-4 4.2.
DSA_BITS = range(2048, 3072 + 1)
DSA_SUBGROUP_BITS = (224, 256)
CURVES = ("secp256r1", "secp384r1", "secp521r1")


@dataclass(frozen=True)
class Allowed:
    """Exceptions that an operator has written down.

    Attributes:
        exponents: public exponents of RSA that are accepted.
        dsa: whether DSA keys are accepted.
    """

    exponents: frozenset[int] = frozenset({65537})
    dsa: bool = False


@functools.lru_cache(maxsize=1024)
def prove_strong(public_key_info: bytes, allowed: Allowed) -> None:
    """The same as :func:`refuse_weak`, for a key that may have been looked at before.

    Machines renew with the key that they have, and what is remembered is that nothing spoke against
    it.

    Args:
        public_key_info: the key as SubjectPublicKeyInfo.
        allowed: the exceptions.

    Raises:
        ValidationError: with what speaks against the key.
    """
    refuse_weak(cast(PublicKey, load_der_public_key(public_key_info)), allowed)


def refuse_weak(key: PublicKey, allowed: Allowed) -> None:
    """Return if nothing speaks against the key.

    Raises:
        ValidationError: with what speaks against it.
    """
    if isinstance(key, rsa.RSAPublicKey):
        _refuse_weak_rsa(key.public_numbers(), allowed)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        # A point that is not on its curve does not get this far: OpenSSL does not load it.
        if key.curve.name not in CURVES:
            raise ValidationError(
                "the key is on a curve that is not accepted", curve=key.curve.name
            )
    elif isinstance(key, dsa.DSAPublicKey):
        if not allowed.dsa:
            raise ValidationError("DSA keys are not accepted")
        _refuse_weak_dsa(key.public_numbers())
    elif _is_of_small_order(key):
        raise ValidationError("the key is a point of small order: everybody can sign with it")


# RFC 8032 5.1 and 5.2: the primes, and Ed25519's d.
_P_25519 = 2**255 - 19
_D_25519 = -121665 * pow(121666, -1, _P_25519) % _P_25519
_P_448 = 2**448 - 2**224 - 1


def _is_of_small_order(key: ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) -> bool:
    """Whether the cofactor annihilates the point, so that a signature of it says nothing."""
    # The last bit is the sign of x; it makes no difference to the order.
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
        raise ValidationError("the DSA key has a wrong size", bits=p.bit_length())
    # FIPS 186-4 4.1 and SP 800-89 5.3.1: generator and key are in the subgroup of order q.
    if (p - 1) % q or not all(1 < part < p and pow(part, q, p) == 1 for part in (g, key.y)):
        raise ValidationError("the DSA key is malformed")


def _refuse_weak_rsa(key: rsa.RSAPublicNumbers, allowed: Allowed) -> None:
    bits = key.n.bit_length()
    if bits < RSA_BITS.start:
        raise ValidationError("the RSA key is too small", bits=bits)
    if bits >= RSA_BITS.stop:
        raise ValidationError("the RSA key is too large", bits=bits)
    if key.e not in allowed.exponents:
        raise ValidationError("the RSA key's exponent is not accepted", exponent=_short(key.e))
    if key.n % 2 == 0:
        raise ValidationError("the RSA key's modulus is even")
    if math.gcd(key.n, _SMALL_PRIMES_PRODUCT) != 1:
        raise ValidationError("the RSA key's modulus has a small factor")
    if _made_by_a_roca_generator(key.n):
        raise ValidationError("the RSA key was made by a broken generator (ROCA, CVE-2017-15361)")
    if _has_close_primes(key.n):
        raise ValidationError("the RSA key's primes are too close (Fermat, CVE-2022-26320)")


def _primes_below(limit: int) -> Iterator[int]:
    composite = bytearray(limit)
    for number in range(2, limit):
        if not composite[number]:
            yield number
            composite[number * number :: number] = b"\1" * len(
                range(number * number, limit, number)
            )


# Public CAs stop at 752 (CA/Browser Forum baseline requirements, 6.1.6).
_SMALL_PRIMES = tuple(_primes_below(2048))
_SMALL_PRIMES_PRODUCT = math.prod(_SMALL_PRIMES)


def _powers_of_65537(prime: int) -> frozenset[int]:
    return frozenset(pow(65537, exponent, prime) for exponent in range(prime - 1))


# The flawed generator makes primes k*M + 65537**a mod M, with M the product of the first primes,
# so its moduli too are powers of 65537 modulo each of those (Nemec et al., CCS 2017).  A random
# modulus passes all of these by chance once in about 2**28.
_ROCA_MARKS = tuple(
    (prime, residues)
    for prime in _SMALL_PRIMES[:39]
    if len(residues := _powers_of_65537(prime)) < prime - 1
)


def _made_by_a_roca_generator(modulus: int) -> bool:
    return all(modulus % prime in residues for prime, residues in _ROCA_MARKS)


_FERMAT_ROUNDS = 100


def _squares_modulo(modulus: int) -> tuple[int, ...]:
    """For each residue of a number: the bits s for which s**2 minus the number may be a square.

    The bits run from 0 to beyond what any residue and all rounds of Fermat's method add up to.
    """
    squares = {number * number % modulus for number in range(modulus)}
    span = modulus + _FERMAT_ROUNDS + 1
    every_period = sum(1 << start for start in range(0, span, modulus))
    return tuple(
        sum(1 << s for s in range(modulus) if (s * s - residue) % modulus in squares) * every_period
        for residue in range(modulus)
    )


# Moduli that pass few numbers which are no squares: about one in eight hundred gets past them all.
_SIEVES = tuple((modulus, _squares_modulo(modulus)) for modulus in (64, 63, 65, 11, 17, 19, 23))
_SIEVED = math.prod(modulus for modulus, _ in _SIEVES)
_ALL_ROUNDS = (1 << (_FERMAT_ROUNDS + 1)) - 1


def _has_close_primes(modulus: int) -> bool:
    """Fermat's factorisation, for as many rounds as it takes with primes that are not far apart."""
    middle = math.isqrt(modulus)
    small_modulus, small_middle = modulus % _SIEVED, middle % _SIEVED
    rounds = _ALL_ROUNDS
    for sieve, bits in _SIEVES:
        rounds &= bits[small_modulus % sieve] >> small_middle % sieve
    while rounds:
        lowest = rounds & -rounds
        if _is_square((middle + lowest.bit_length() - 1) ** 2 - modulus):
            return True
        rounds ^= lowest
    return False


def _is_square(number: int) -> bool:
    return number >= 0 and math.isqrt(number) ** 2 == number


def _short(number: int) -> str:
    return str(number) if number.bit_length() <= 64 else f"of {number.bit_length()} bits"
