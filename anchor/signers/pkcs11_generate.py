"""Making a CA's key pair inside a token, where its private half then stays."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from anchor.signers.pkcs11 import Pkcs11ECKey, Pkcs11RSAKey, private_key_in
from anchor.signers.pkcs11_module import KeyPlace, Module, Step, TokenError
from anchor.signers.pkcs11_session import TokenKey

# The curves, with their names as CKA_EC_PARAMS has them: object identifiers in DER.
CURVES: dict[str, tuple[ec.EllipticCurve, bytes]] = {
    "ec-p256": (ec.SECP256R1(), bytes.fromhex("06082a8648ce3d030107")),
    "ec-p384": (ec.SECP384R1(), bytes.fromhex("06052b81040022")),
}


def make_key_pair(
    module: Module, place: KeyPlace, pin: str, kind: str
) -> Pkcs11RSAKey | Pkcs11ECKey:
    """A new key in a token, that nothing gets out of it.

    Args:
        module: the module that reaches the token.
        place: the token, and the id and the label that the key is to have.
        pin: the token's.
        kind: ``rsa-<bits>``, or one of the :data:`CURVES`.

    Raises:
        TokenError: a key has that label or that id already, or the token does not make any.
    """
    with module.locked():
        try:
            public_key = _generate(module, place, pin, kind)
        except module.pykcs11.PyKCS11Error as error:
            raise TokenError(Step.KEY, f"the {place.token} does not make a key: {error}") from error
    return private_key_in(TokenKey(module, place, pin), public_key)


def _generate(
    module: Module, place: KeyPlace, pin: str, kind: str
) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    p11 = module.pykcs11
    module.initialise()
    session = module.log_in(place, pin, p11.CKF_RW_SESSION)
    try:
        name = [(p11.CKA_ID, place.key_id), (p11.CKA_LABEL, place.key_label)]
        for attribute in name:
            if session.findObjects([(p11.CKA_CLASS, p11.CKO_PRIVATE_KEY), attribute]):
                raise TokenError(Step.KEY, f"the {place.token} has a key of that name already")
        if kind in CURVES:
            mechanism = p11.CKM_EC_KEY_PAIR_GEN
            parameters: list[tuple[int, Any]] = [(p11.CKA_EC_PARAMS, CURVES[kind][1])]
        else:
            mechanism = p11.CKM_RSA_PKCS_KEY_PAIR_GEN
            parameters = [
                (p11.CKA_MODULUS_BITS, int(kind.removeprefix("rsa-"))),
                (p11.CKA_PUBLIC_EXPONENT, (65537).to_bytes(3, "big")),
            ]
        public, _ = session.generateKeyPair(
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
        return _public_key(p11, session, public, kind)
    finally:
        session.closeSession()


def _public_key(
    p11: Any, session: Any, handle: Any, kind: str
) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    if kind not in CURVES:
        modulus, exponent = (
            int.from_bytes(bytes(octets), "big")
            for octets in session.getAttributeValue(
                handle, [p11.CKA_MODULUS, p11.CKA_PUBLIC_EXPONENT]
            )
        )
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    curve = CURVES[kind][0]
    [point] = session.getAttributeValue(handle, [p11.CKA_EC_POINT])
    # PKCS#11 2.40, 2.3.3: the point in an OCTET STRING, which some modules leave out.
    length = 1 + 2 * ((curve.key_size + 7) // 8)
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, bytes(point)[-length:])
