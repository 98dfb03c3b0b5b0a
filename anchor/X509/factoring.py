"""Fast factoring methods for RSA moduli that are not products of two random primes of one size.

Each function takes at most a few milliseconds, except ``is_prime``: 4 ms for 2048 bits, 20 ms for
4096.  doc/adr/0013 says what is not tested.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterator

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

TRIAL_DIVISION_BELOW = 1 << 17
MAX_PRIMALITY_BITS = 4096
MAX_RATIO = 16


def primes_below(limit: int) -> Iterator[int]:
    """The primes below a limit, in ascending order."""
    composite = bytearray(limit)
    for number in range(2, limit):
        if not composite[number]:
            yield number
            composite[number * number :: number] = b"\1" * len(
                range(number * number, limit, number)
            )


def has_small_factor(modulus: int) -> bool:
    """True if a prime below :data:`TRIAL_DIVISION_BELOW` divides the modulus."""
    return math.gcd(modulus, _product_of_small_primes() % modulus) != 1


@functools.cache
def _product_of_small_primes() -> int:
    factors = list(primes_below(TRIAL_DIVISION_BELOW))
    # Multiply in a balanced tree: one prime after the other would take quadratic time.
    while len(factors) > 1:
        factors = [math.prod(factors[i : i + 8]) for i in range(0, len(factors), 8)]
    return factors[0]


def has_primes_in_a_simple_ratio(modulus: int) -> bool:
    """True if the ratio of the factors is close to a simple one, such as 4/3 (Lehman).

    With p/q close to a/b, bp + aq is close to the square root of 4abpq, and its square minus
    4abpq is the square of bp - aq.
    """
    return any(has_close_factors(4 * multiplier * modulus) for multiplier in _multipliers())


@functools.cache
def _multipliers() -> tuple[int, ...]:
    sides = range(1, MAX_RATIO + 1)
    return tuple(sorted({a * b for a in sides for b in sides if math.gcd(a, b) == 1}))


def is_perfect_power(modulus: int) -> bool:
    """True if the modulus is r**k for some k of 2 or more, and has no small factor."""
    # The root is at least as long as the smallest factor.
    longest = modulus.bit_length() // (TRIAL_DIVISION_BELOW.bit_length() - 1)
    return any(
        all(pow(modulus % field, (field - 1) // k, field) in (0, 1) for field in fields)
        and _root(modulus, k) ** k == modulus
        for k, fields in _power_residue_fields()
        if k <= longest
    )


@functools.cache
def _power_residue_fields() -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Prime exponents k, with primes f = 1 mod k: one in k residues mod f is a k-th power."""
    primes = tuple(primes_below(1 << 14))
    return tuple(
        (k, tuple([field for field in primes if field % k == 1][:3])) for k in primes if k < 512
    )


def _root(number: int, k: int) -> int:
    """The integer part of the k-th root (Newton's method from above)."""
    guess = 1 << -(-number.bit_length() // k)
    while True:
        better = ((k - 1) * guess + number // guess ** (k - 1)) // k
        if better >= guess:
            return guess
        guess = better


def is_prime(modulus: int) -> bool:
    """True if the modulus is a prime; False if not, or above :data:`MAX_PRIMALITY_BITS`.

    OpenSSL computes the exponentiation six times as fast as pow(), but only as part of a signature.
    So sign with a key that uses the modulus as one of its primes: the signature is correct only if
    the modulus is prime (Fermat's little theorem).

    Args:
        modulus: odd and without small factors.
    """
    if modulus.bit_length() > MAX_PRIMALITY_BITS:
        return False
    e = next(prime for prime in _EXPONENTS if (modulus - 1) % prime)
    key = rsa.RSAPrivateNumbers(
        p=modulus,
        q=3,
        dmp1=pow(e, -1, modulus - 1),
        dmq1=1,
        iqmp=pow(3, -1, modulus),
        # After a wrong result, OpenSSL computes again with d; 1 takes no time.
        d=1,
        public_numbers=rsa.RSAPublicNumbers(e, 3 * modulus),
    ).private_key(unsafe_skip_rsa_key_validation=True)
    signature = key.sign(b"", padding.PKCS1v15(), hashes.SHA256())
    return pow(int.from_bytes(signature, "big"), e, modulus) == _padded(len(signature)) % modulus


# Primes; at least one does not divide (modulus - 1).
_EXPONENTS = (65537, 65539, 65543, 65551, 65557, 65563, 65579, 65581, 65587, 65599)


def _padded(length: int) -> int:
    """The signed block of an empty message (RFC 8017 section 9.2)."""
    tail = b"\0" + _DIGEST_INFO + hashlib.sha256(b"").digest()
    return int.from_bytes(b"\0\1" + b"\xff" * (length - 2 - len(tail)) + tail, "big")


_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")

_FERMAT_ROUNDS = 100


def _squares_modulo(modulus: int) -> tuple[int, ...]:
    """For each residue r, a bit mask of the s for which s**2 - r may be a square.

    The mask has enough bits for any starting residue plus all rounds of Fermat's method.
    """
    squares = {number * number % modulus for number in range(modulus)}
    span = modulus + _FERMAT_ROUNDS + 1
    every_period = sum(1 << start for start in range(0, span, modulus))
    return tuple(
        sum(1 << s for s in range(modulus) if (s * s - residue) % modulus in squares) * every_period
        for residue in range(modulus)
    )


# Sieves that few non-squares pass: about one in 800 passes all of them.
_SIEVES = tuple((modulus, _squares_modulo(modulus)) for modulus in (64, 63, 65, 11, 17, 19, 23))
_SIEVED = math.prod(modulus for modulus, _ in _SIEVES)
_ALL_ROUNDS = (1 << (_FERMAT_ROUNDS + 1)) - 1


def has_close_factors(modulus: int) -> bool:
    """True if Fermat's factorisation succeeds in 100 rounds: the factors are close."""
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
