"""Descriptions of an unsigned certificate, and of the changes that a fixup made."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from anchor.ca.dropped import dropped_attributes, dropped_extensions
from anchor.ca.template import CertificateTemplate
from anchor.X509.general_name_text import describe
from anchor.X509.oids import name_of_extended_usage, name_of_extension, usages_in
from anchor.X509.signing_request import Extension, PublicKey, X509Csr


@dataclass(frozen=True)
class CertificateDescription:
    """The contents of a certificate, for people.

    Attributes:
        subject: the subject, as in RFC 4514.
        names: the entries of subjectAltName, such as ``DNS:www.example.com``.
        key: the type and size of the key.
        key_usage: the names of the usages; empty without the extension.
        extended_key_usage: the names of the usages, or dotted OIDs; empty without the extension.
        ca: True for an intermediate CA.
        dropped_extensions: the requested extensions that it does not contain, as dotted OIDs.
        dropped_subject_attributes: the requested subject attributes that it does not contain.
    """

    subject: str
    names: tuple[str, ...]
    key: str
    key_usage: tuple[str, ...]
    extended_key_usage: tuple[str, ...]
    ca: bool
    issuer: str
    not_before: datetime.datetime
    not_after: datetime.datetime
    dropped_extensions: tuple[str, ...]
    dropped_subject_attributes: tuple[str, ...]

    @classmethod
    def of(cls, template: CertificateTemplate, submitted: X509Csr) -> CertificateDescription:
        """Describe an unsigned certificate.

        Args:
            template: the certificate.
            submitted: the request before the fixups.
        """
        key_usage: tuple[str, ...] = ()
        extended_key_usage: tuple[str, ...] = ()
        ca = False
        for extension in template.extensions:
            match extension.value:
                case x509.KeyUsage() as usage:
                    key_usage = usages_in(usage)
                case x509.ExtendedKeyUsage() as extended:
                    extended_key_usage = tuple(map(name_of_extended_usage, extended))
                case x509.BasicConstraints() as constraints:
                    ca = constraints.ca
        return cls(
            template.csr.subject.rfc4514_string(),
            tuple(map(describe, template.csr.alternative_names)),
            _describe_key(template.csr.public_key),
            key_usage,
            extended_key_usage,
            ca,
            template.issuer.subject.rfc4514_string(),
            template.not_before,
            template.not_after,
            dropped_extensions(template.csr),
            dropped_attributes(submitted, template.csr),
        )


def _describe_key(key: PublicKey) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA, {key.key_size} bits"
    if isinstance(key, dsa.DSAPublicKey):
        return f"DSA, {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC, {key.curve.name}"
    return type(key).__name__.removesuffix("PublicKey")


def changes(before: X509Csr, after: X509Csr) -> Iterator[str]:
    """The changes that a fixup made, as ends of a sentence such as ``adds DNS:a.example``."""
    if before.subject != after.subject:
        changed = f"makes the subject {after.subject.rfc4514_string()}"
        yield changed if list(after.subject) else "empties the subject"
    old, new = ([describe(name) for name in csr.alternative_names] for csr in (before, after))
    yield from (f"adds {name}" for name in new if name not in old)
    yield from (f"removes {name}" for name in old if name not in new)
    repeated = {name for name in old if old.count(name) > new.count(name) > 0}
    yield from (f"lists {name} once" for name in sorted(repeated))
    if old != new and sorted(old) == sorted(new):
        yield "rearranges subjectAltName"
    yield from _changed_extensions(_extensions(before), _extensions(after))


def _extensions(csr: X509Csr) -> dict[x509.ObjectIdentifier, Extension]:
    alternative_names = x509.SubjectAlternativeName.oid
    return {item.oid: item for item in csr.extensions if item.oid != alternative_names}


def _changed_extensions(
    old: dict[x509.ObjectIdentifier, Extension], new: dict[x509.ObjectIdentifier, Extension]
) -> Iterator[str]:
    for oid in (*new, *(oid for oid in old if oid not in new)):
        if oid not in old:
            yield f"adds {_describe_extension(new[oid])}"
        elif oid not in new:
            yield f"removes {_describe_extension(old[oid])}"
        elif old[oid] != new[oid]:
            yield f"makes {_describe_extension(old[oid])} {_describe_extension(new[oid])}"


def _describe_extension(extension: Extension) -> str:
    critical = ", critical" if extension.critical else ""
    match extension.value:
        case x509.KeyUsage() as usage:
            return f"keyUsage ({', '.join(usages_in(usage))}{critical})"
        case x509.ExtendedKeyUsage() as usage:
            shown = ", ".join(map(name_of_extended_usage, usage))
            return f"extendedKeyUsage ({shown}{critical})"
        case _:
            return f"the extension {name_of_extension(extension.oid)}{critical}"
