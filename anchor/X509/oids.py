"""The names of extensions and usages, as RFC 5280 and OpenSSL spell them.

Case, blanks and hyphens are ignored: ``timeStamping`` is also OpenSSL's ``Time Stamping``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from cryptography.x509.oid import ExtensionOID as Oid

_DOTTED = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+", re.ASCII)

EXTENSIONS = {
    "policyConstraints": Oid.POLICY_CONSTRAINTS,
    "basicConstraints": Oid.BASIC_CONSTRAINTS,
    "subjectDirectoryAttributes": Oid.SUBJECT_DIRECTORY_ATTRIBUTES,
    "deltaCRLIndicator": Oid.DELTA_CRL_INDICATOR,
    "cRLDistributionPoints": Oid.CRL_DISTRIBUTION_POINTS,
    "issuingDistributionPoint": Oid.ISSUING_DISTRIBUTION_POINT,
    "nameConstraints": Oid.NAME_CONSTRAINTS,
    "certificatePolicies": Oid.CERTIFICATE_POLICIES,
    "policyMappings": Oid.POLICY_MAPPINGS,
    "privateKeyUsagePeriod": Oid.PRIVATE_KEY_USAGE_PERIOD,
    "authorityKeyIdentifier": Oid.AUTHORITY_KEY_IDENTIFIER,
    "subjectKeyIdentifier": Oid.SUBJECT_KEY_IDENTIFIER,
    "subjectAltName": Oid.SUBJECT_ALTERNATIVE_NAME,
    "subjectAlternativeName": Oid.SUBJECT_ALTERNATIVE_NAME,
    "issuerAltName": Oid.ISSUER_ALTERNATIVE_NAME,
    "keyUsage": Oid.KEY_USAGE,
    "extKeyUsage": Oid.EXTENDED_KEY_USAGE,
    "extendedKeyUsage": Oid.EXTENDED_KEY_USAGE,
    "inhibitAnyPolicy": Oid.INHIBIT_ANY_POLICY,
    "freshestCRL": Oid.FRESHEST_CRL,
    "authorityInfoAccess": Oid.AUTHORITY_INFORMATION_ACCESS,
    "subjectInfoAccess": Oid.SUBJECT_INFORMATION_ACCESS,
    "tlsfeature": Oid.TLS_FEATURE,
    "cRLNumber": Oid.CRL_NUMBER,
    "cRLReason": x509.ObjectIdentifier("2.5.29.21"),
    "invalidityDate": x509.ObjectIdentifier("2.5.29.24"),
    "certificateIssuer": x509.ObjectIdentifier("2.5.29.29"),
}

EXTENDED_USAGES = {
    "serverAuth": Usage.SERVER_AUTH,
    "TLS Web Server Authentication": Usage.SERVER_AUTH,
    "clientAuth": Usage.CLIENT_AUTH,
    "TLS Web Client Authentication": Usage.CLIENT_AUTH,
    "codeSigning": Usage.CODE_SIGNING,
    "emailProtection": Usage.EMAIL_PROTECTION,
    "ipsecEndSystem": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsecTunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsecUser": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timeStamping": Usage.TIME_STAMPING,
    "OCSPSigning": Usage.OCSP_SIGNING,
    "ipsecIKE": Usage.IPSEC_IKE,
    "ipsec Internet Key Exchange": Usage.IPSEC_IKE,
    "DVCS": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.10"),
    "anyExtendedKeyUsage": Usage.ANY_EXTENDED_KEY_USAGE,
    "msSmartcardLogin": Usage.SMARTCARD_LOGON,
    "Microsoft Smartcard Login": Usage.SMARTCARD_LOGON,
    "pkInitKDC": Usage.KERBEROS_PKINIT_KDC,
    "Signing KDC Response": Usage.KERBEROS_PKINIT_KDC,
    "pkInitClientAuth": x509.ObjectIdentifier("1.3.6.1.5.2.3.4"),
    "PKINIT Client Auth": x509.ObjectIdentifier("1.3.6.1.5.2.3.4"),
}

# The bits of RFC 5280 4.2.1.3 in order, with their names in cryptography.x509.KeyUsage.
USAGES = {
    "digitalSignature": "digital_signature",
    "nonRepudiation": "content_commitment",
    "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement",
    "keyCertSign": "key_cert_sign",
    "cRLSign": "crl_sign",
    "encipherOnly": "encipher_only",
    "decipherOnly": "decipher_only",
}
_USAGES = {
    **{name: name for name in USAGES},
    "contentCommitment": "nonRepudiation",
    "Certificate Sign": "keyCertSign",
}


def _fold(name: str) -> str:
    if not name.isascii():
        return name
    return name.lower().replace(" ", "").replace("-", "").removeprefix("x509v3")


_FOLDED_EXTENSIONS = {_fold(name): oid for name, oid in EXTENSIONS.items()}
_FOLDED_EXTENDED_USAGES = {_fold(name): oid for name, oid in EXTENDED_USAGES.items()}
_NAMES_OF_EXTENSIONS = {oid: name for name, oid in reversed(EXTENSIONS.items())}
_NAMES_OF_EXTENDED_USAGES = {oid: name for name, oid in reversed(EXTENDED_USAGES.items())}
_FOLDED_USAGES = {_fold(name): usage for name, usage in _USAGES.items()}


def extension_oid(text: str) -> x509.ObjectIdentifier:
    """The OID of an extension, by name or dotted OID; ValueError if there is none."""
    return _oid(_FOLDED_EXTENSIONS, text, "an extension")


def extended_usage_oid(text: str) -> x509.ObjectIdentifier:
    """The OID of an extended key usage, by name or dotted OID; ValueError if there is none."""
    return _oid(_FOLDED_EXTENDED_USAGES, text, "an extended key usage")


def usage_name(text: str) -> str:
    """The name of a key usage in RFC 5280; ValueError if there is none."""
    name = _FOLDED_USAGES.get(_fold(text))
    if name is None:
        raise ValueError(f"{text[:80]!a} is not a key usage: {', '.join(USAGES)}")
    return name


def name_of_extension(oid: x509.ObjectIdentifier) -> str:
    """The name of an extension, or its dotted OID."""
    return _NAMES_OF_EXTENSIONS.get(oid, oid.dotted_string)


def name_of_extended_usage(oid: x509.ObjectIdentifier) -> str:
    """The short name of an extended key usage, or its dotted OID."""
    return _NAMES_OF_EXTENDED_USAGES.get(oid, oid.dotted_string)


def usages_in(usage: x509.KeyUsage) -> tuple[str, ...]:
    """The names in RFC 5280 of the bits that are set."""
    # Without keyAgreement, encipherOnly and decipherOnly are undefined; reading them raises.
    readable = list(USAGES.items())[: None if usage.key_agreement else -2]
    return tuple(name for name, attribute in readable if getattr(usage, attribute))


def _oid(oids: Mapping[str, x509.ObjectIdentifier], text: str, what: str) -> x509.ObjectIdentifier:
    if not _DOTTED.fullmatch(text):
        oid = oids.get(_fold(text))
        if oid is None:
            raise ValueError(f"{text[:80]!a} is neither the name of {what} nor a dotted OID")
        return oid
    try:
        return x509.ObjectIdentifier(text)
    except ValueError:
        raise ValueError(f"{text[:80]!a} is not an OID") from None
