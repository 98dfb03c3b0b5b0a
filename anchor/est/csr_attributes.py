"""CSR attributes: what a request should have (RFC 7030 section 4.5.2, RFC 9908)."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurveOID
from cryptography.x509.oid import PublicKeyAlgorithmOID

from anchor.policy.policy import Policy
from anchor.X509.weak_keys import RSA_BITS

_KEY_TYPES = {
    "RSA": PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5,
    "EC": PublicKeyAlgorithmOID.EC_PUBLIC_KEY,
    "ED25519": PublicKeyAlgorithmOID.ED25519,
    "ED448": PublicKeyAlgorithmOID.ED448,
}
_CURVES = {
    256: EllipticCurveOID.SECP256R1,
    384: EllipticCurveOID.SECP384R1,
    521: EllipticCurveOID.SECP521R1,
}


@asn1.sequence
class _Attribute:
    type: x509.ObjectIdentifier
    values: asn1.SetOf[int | x509.ObjectIdentifier]


@asn1.sequence
class _CsrAttributes:
    """A CsrAttrs with one element, which is an attribute."""

    attribute: _Attribute


def csr_attributes(policy: Policy) -> bytes | None:
    """The type and the size of the key that a policy requires, as CsrAttrs in DER.

    Returns:
        None if the policy leaves the choice of the type to the requester.
    """
    if policy.allowed_keys is None or len(policy.allowed_keys) != 1:
        return None
    [(kind, bits)] = policy.allowed_keys.items()
    if kind not in _KEY_TYPES:
        return None
    # RFC 9908 section 3.2: one attribute for the key; without values its size does not matter.
    values = asn1.SetOf(_parameters(kind, bits))
    attribute = _Attribute(type=_KEY_TYPES[kind], values=values)
    return asn1.encode_der(_CsrAttributes(attribute=attribute))


def _parameters(kind: str, bits: int) -> list[int | x509.ObjectIdentifier]:
    """The smallest allowed size or curve; empty if every one is allowed."""
    if kind == "RSA" and bits > RSA_BITS.start:
        return [bits]
    if kind == "EC" and bits > min(_CURVES):
        return [_CURVES[min(size for size in _CURVES if size >= bits)]]
    return []
