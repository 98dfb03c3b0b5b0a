"""Public keys on elliptic curves whose private key is a small number.

The multiples of the base point are computed once per process and curve, for the first key on it,
which takes 10 to 20 milliseconds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519

MAX_SCALAR = 1024

SmallScalarKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
Point = tuple[int, int]
# The numerators of a sum's coordinates, and their common denominator.
Fraction = tuple[int, int, int]

# FIPS 186-4 appendix D.1.2: the fields of curves that all have a = -3.
_CURVES: dict[str, tuple[ec.EllipticCurve, int]] = {
    "secp256r1": (ec.SECP256R1(), 2**256 - 2**224 + 2**192 + 2**96 - 1),
    "secp384r1": (ec.SECP384R1(), 2**384 - 2**128 - 2**96 + 2**32 - 1),
    "secp521r1": (ec.SECP521R1(), 2**521 - 1),
}


def is_small_multiple(key: SmallScalarKey) -> bool:
    """True if the private scalar or its negative is at most :data:`MAX_SCALAR`.

    True also for an Edwards key from a trivial seed (RFC 8032 section 5.1.5).

    Args:
        key: on a curve of :data:`anchor.X509.weak_keys.CURVES`, or an Edwards key.
    """
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_numbers().x in _x_coordinates(key.curve.name)
    encoded = key.public_bytes_raw()
    if encoded in _keys_of_trivial_seeds(type(key)):
        return True
    # RFC 8032 5.1.2 and 5.2.2: the highest bit is the sign of x, the rest is y.
    y = int.from_bytes(encoded, "little") & ((1 << (8 * len(encoded) - 1)) - 1)
    return y in (_y_25519() if isinstance(key, ed25519.Ed25519PublicKey) else _y_448())


# RFC 8032: the private key is a seed of this many bytes, from which the scalar is derived.
_SEEDS: dict[type, tuple[type[ed25519.Ed25519PrivateKey] | type[ed448.Ed448PrivateKey], int]] = {
    ed25519.Ed25519PublicKey: (ed25519.Ed25519PrivateKey, 32),
    ed448.Ed448PublicKey: (ed448.Ed448PrivateKey, 57),
}

# Few, because a key from each seed takes 0.3 ms on Ed448.
_TRIVIAL_BYTES = (*range(17), 0xFF)


@functools.cache
def _keys_of_trivial_seeds(
    kind: type[ed25519.Ed25519PublicKey | ed448.Ed448PublicKey],
) -> AbstractSet[bytes]:
    """The public keys of seeds that are a small number or one repeated byte."""
    private, size = next(_SEEDS[public] for public in _SEEDS if issubclass(kind, public))
    return frozenset(
        private.from_private_bytes(seed).public_key().public_bytes_raw()
        for byte in _TRIVIAL_BYTES
        for seed in (
            byte.to_bytes(size, "little"),
            byte.to_bytes(size, "big"),
            bytes([byte]) * size,
        )
    )


@functools.cache
def _x_coordinates(name: str) -> frozenset[int]:
    curve, p = _CURVES[name]
    base = ec.derive_private_key(1, curve).public_key().public_numbers()

    def add(first: Point, second: Point) -> Fraction:
        """Add points (SEC 1 section 2.2.1); the denominator is the cube of the slope's."""
        (x, y), (u, v) = first, second
        rise, run = (3 * (x * x - 1), 2 * y) if first == second else (v - y, u - x)
        square = run * run % p
        numerator = rise * rise - (x + u) * square
        return (
            numerator * run % p,
            (rise * (x * square - numerator) - y * square * run) % p,
            square * run % p,
        )

    return frozenset(x for x, _ in _multiples((base.x, base.y), add, p))


@functools.cache
def _y_25519() -> frozenset[int]:
    p = 2**255 - 19
    base = (
        15112221349535400772501151409588531511454012693041857206046113283949847762202,
        46316835694926478169428394003475163141307993866256225615783033603165251855960,
    )
    return _y_coordinates(base, p, -1, -121665 * pow(121666, -1, p) % p)


@functools.cache
def _y_448() -> frozenset[int]:
    base = (
        0x4F1970C66BED0DED221D15A622BF36DA9E146570470F1767EA6DE324A3D3A46412AE1AF72AB66511433B80E18B00938E2626A82BC70CC05E,
        0x693F46716EB6BC248876203756C9C7624BEA73736CA3984087789C1E05A0C2D73AD3FF1CE67C39C4FDBD132C4ED7C8AD9808795BF230FA14,
    )
    return _y_coordinates(base, 2**448 - 2**224 - 1, 1, -39081)


def _y_coordinates(base: Point, p: int, a: int, d: int) -> frozenset[int]:
    def add(first: Point, second: Point) -> Fraction:
        """Add points (RFC 8032 5.1.4 and 5.2.4), with one denominator for x and y."""
        (x, y), (u, v) = first, second
        product = d * x * u % p * y * v % p
        return (
            (x * v + y * u) * (1 - product) % p,
            (y * v - a * x * u) * (1 + product) % p,
            (1 - product * product) % p,
        )

    return frozenset(y for _, y in _multiples(base, add, p))


def _multiples(base: Point, add: Callable[[Point, Point], Fraction], p: int) -> Sequence[Point]:
    """The base point times 1 to :data:`MAX_SCALAR`."""
    points = [base]
    while len(points) < MAX_SCALAR:
        fractions = [add(point, points[-1]) for point in points]
        inverses = _inverses([denominator for _, _, denominator in fractions], p)
        points += [
            (x * inverse % p, y * inverse % p)
            for (x, y, _), inverse in zip(fractions, inverses, strict=True)
        ]
    return points


def _inverses(numbers: Sequence[int], p: int) -> Sequence[int]:
    """The inverses of all numbers, with a single inversion (Montgomery's trick)."""
    products = [1]
    for number in numbers:
        products.append(products[-1] * number % p)
    rest = pow(products[-1], -1, p)
    inverses = []
    for number, before in zip(reversed(numbers), reversed(products[:-1]), strict=True):
        inverses.append(rest * before % p)
        rest = rest * number % p
    return inverses[::-1]
