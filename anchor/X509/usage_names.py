"""What key usages are called (RFC 5280 sections 4.2.1.3 and 4.2.1.12)."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

# By the name of the standard, what cryptography calls it.
KEY_USAGES = {
    "digitalSignature": "digital_signature",
    "contentCommitment": "content_commitment",
    "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement",
    "keyCertSign": "key_cert_sign",
    "cRLSign": "crl_sign",
    "encipherOnly": "encipher_only",
    "decipherOnly": "decipher_only",
}

EXTENDED_KEY_USAGES = {
    "serverAuth": ExtendedKeyUsageOID.SERVER_AUTH,
    "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "codeSigning": ExtendedKeyUsageOID.CODE_SIGNING,
    "emailProtection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timeStamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "OCSPSigning": ExtendedKeyUsageOID.OCSP_SIGNING,
    "anyExtendedKeyUsage": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
}

_NAMES = {oid: name for name, oid in EXTENDED_KEY_USAGES.items()}


def of_key_usage(usage: x509.KeyUsage) -> tuple[str, ...]:
    """The names of the usages that are set, in the standard's order."""
    # cryptography raises for these two unless keyAgreement, which they narrow down, is set.
    narrowing = () if usage.key_agreement else ("encipherOnly", "decipherOnly")
    return tuple(
        name
        for name, attribute in KEY_USAGES.items()
        if name not in narrowing and getattr(usage, attribute)
    )


def of_extended_key_usage(usage: x509.ExtendedKeyUsage) -> tuple[str, ...]:
    """The names of the usages, or their dotted OIDs where the standard has none."""
    return tuple(_NAMES.get(oid, oid.dotted_string) for oid in usage)
