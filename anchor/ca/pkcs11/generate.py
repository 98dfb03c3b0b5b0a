"""Generation of a CA's key pair in a token, which the private key cannot leave."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from anchor.ca.pkcs11.key import Pkcs11ECKey, Pkcs11RSAKey, load_private_key
from anchor.ca.pkcs11.key_location import KeyLocation, Step, TokenError
from anchor.ca.pkcs11.module import Module
from anchor.ca.pkcs11.session import TokenKey

LOG = logging.getLogger(__name__)

# The curves, and their CKA_EC_PARAMS: object identifiers in DER.
CURVES: dict[str, tuple[ec.EllipticCurve, bytes]] = {
    "ec-p256": (ec.SECP256R1(), bytes.fromhex("06082a8648ce3d030107")),
    "ec-p384": (ec.SECP384R1(), bytes.fromhex("06052b81040022")),
}


@contextmanager
def new_key_pair(
    module: Module, location: KeyLocation, pin: str, kind: str
) -> Iterator[Pkcs11RSAKey | Pkcs11ECKey]:
    """Generate a key in a token, and destroy it again if the block fails.

    Args:
        module: the library that reaches the token.
        location: the token, and the CKA_ID and CKA_LABEL of the new key.
        pin: the PIN of the token's user.
        kind: ``rsa-<bits>``, or one of the :data:`CURVES`.

    Raises:
        TokenError: a key has that id or label already, or the token cannot generate the key.
    """
    p11 = module.pykcs11
    with module.locked():
        try:
            module.initialise()
            session = module.log_in(location, pin, p11.CKF_RW_SESSION)
        except p11.PyKCS11Error as error:
            raise TokenError(Step.TOKEN, f"the {location.token} cannot be used: {error}") from error
        try:
            _require_free(p11, session, location)
            try:
                public_key = _generate(p11, session, location, kind)
            except p11.PyKCS11Error as error:
                raise TokenError(
                    Step.KEY, f"the {location.token} does not make a key: {error}"
                ) from error
        finally:
            session.closeSession()
    try:
        yield load_private_key(TokenKey(module, location, pin), public_key)
    except BaseException:
        with module.locked():
            _destroy(module, location, pin)
        raise


def _require_free(p11: Any, session: Any, location: KeyLocation) -> None:
    for attribute in ((p11.CKA_ID, location.key_id), (p11.CKA_LABEL, location.key_label)):
        if session.findObjects([(p11.CKA_CLASS, p11.CKO_PRIVATE_KEY), attribute]):
            raise TokenError(Step.KEY, f"the {location.token} has a key of that name already")


def _generate(
    p11: Any, session: Any, location: KeyLocation, kind: str
) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    """Generate a key pair in the token and return its public key."""
    name = [(p11.CKA_ID, location.key_id), (p11.CKA_LABEL, location.key_label)]
    if kind in CURVES:
        mechanism = p11.CKM_EC_KEY_PAIR_GEN
        parameters: list[tuple[int, Any]] = [(p11.CKA_EC_PARAMS, CURVES[kind][1])]
    else:
        mechanism = p11.CKM_RSA_PKCS_KEY_PAIR_GEN
        parameters = [
            (p11.CKA_MODULUS_BITS, int(kind.removeprefix("rsa-"))),
            (p11.CKA_PUBLIC_EXPONENT, (65537).to_bytes(3, "big")),
        ]
    public, private = session.generateKeyPair(
        [(p11.CKA_TOKEN, True), (p11.CKA_VERIFY, True), *parameters, *name],
        [
            (p11.CKA_TOKEN, True),
            (p11.CKA_PRIVATE, True),
            (p11.CKA_SENSITIVE, True),
            (p11.CKA_EXTRACTABLE, False),
            (p11.CKA_SIGN, True),
            *name,
        ],
        p11.Mechanism(mechanism),
    )
    try:
        return _public_key(p11, session, public, kind)
    except BaseException:
        session.destroyObject(private)
        session.destroyObject(public)
        raise


def _destroy(module: Module, location: KeyLocation, pin: str) -> None:
    """Destroy a new key pair, in a new session since the old one may be closed."""
    p11 = module.pykcs11
    try:
        module.initialise()
        session = module.log_in(location, pin, p11.CKF_RW_SESSION)
        try:
            for kind in (p11.CKO_PRIVATE_KEY, p11.CKO_PUBLIC_KEY):
                for handle in session.findObjects(
                    [
                        (p11.CKA_CLASS, kind),
                        (p11.CKA_ID, location.key_id),
                        (p11.CKA_LABEL, location.key_label),
                    ]
                ):
                    session.destroyObject(handle)
        finally:
            session.closeSession()
    except (TokenError, p11.PyKCS11Error) as error:
        LOG.error(
            "the new key with %s is left in the %s, remove it: %s",
            location.key,
            location.token,
            error,
        )


def _public_key(
    p11: Any, session: Any, handle: Any, kind: str
) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    if kind not in CURVES:
        modulus, exponent = (
            int.from_bytes(bytes(number), "big")
            for number in session.getAttributeValue(
                handle, [p11.CKA_MODULUS, p11.CKA_PUBLIC_EXPONENT]
            )
        )
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    curve = CURVES[kind][0]
    [point] = session.getAttributeValue(handle, [p11.CKA_EC_POINT])
    # PKCS#11 2.40, 2.3.3: an OCTET STRING with the point; some libraries return the point alone.
    length = 1 + 2 * ((curve.key_size + 7) // 8)
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, bytes(point)[-length:])
