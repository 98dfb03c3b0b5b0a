"""Checks of a new certificate against the request, before it replaces the current one.

A broken or impersonated service must not be able to replace a working certificate with a bad one.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from anchor.X509.dns_names import to_a_labels
from anchor.X509.name_patterns import canonical, parse_address, without_ipv4_mapping
from anchor.X509.parse_errors import MALFORMED

# The largest difference between two clocks before one of them counts as wrong.
MAX_SKEW = datetime.timedelta(minutes=5)

# Attributes of a subject that identify its owner. The service may set or drop others, such as O.
_IDENTIFYING = {NameOID.COMMON_NAME, NameOID.EMAIL_ADDRESS, NameOID.USER_ID}


class Unacceptable(Exception):
    """The certificate is not the requested one; the text continues "it answered"."""


class OutsideValidity(Unacceptable):
    """The certificate has expired or is not yet valid, by this machine's clock."""


def check(
    certificate: x509.Certificate,
    chain: Sequence[x509.Certificate],
    csr: x509.CertificateSigningRequest,
    now: datetime.datetime,
) -> None:
    """Raise Unacceptable unless the certificate is valid and matches the request.

    Args:
        certificate: the new certificate.
        chain: its issuer, then the issuer of each certificate before.
        csr: the request.
        now: the time by this machine's clock.
    """
    if certificate.public_key() != csr.public_key():
        raise Unacceptable("a certificate for another key")
    if _is_ca(certificate) and not _asks_for_ca(csr):
        raise Unacceptable("the certificate of a CA")
    check_names(certificate, csr)
    _check_chain(certificate, chain)
    for link in (certificate, *chain):
        _check_validity(link, now, "a certificate" if link is certificate else "a CA certificate")


def leads_to(chain: Sequence[x509.Certificate], trusted: Iterable[x509.Certificate]) -> bool:
    """True if a trusted CA is in the chain or has issued its last certificate."""
    return any(ca in chain or _issued(ca, chain[-1]) for ca in trusted)


def has_same_ca(previous: x509.Certificate, chain: Sequence[x509.Certificate]) -> bool:
    """True if a CA of the chain issued the previous certificate too."""
    return any(_issued(link, previous) for link in chain)


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *MALFORMED):
        return False
    return True


def check_names(certificate: x509.Certificate, csr: x509.CertificateSigningRequest) -> None:
    """Raise Unacceptable unless the certificate has the names of the request and no others."""
    requested_alternatives = set(_alternative_names(csr.extensions))
    # By default the service drops all other attributes.
    required = set(_subject_names(csr.subject, {NameOID.COMMON_NAME}))
    alternatives = set(_alternative_names(certificate.extensions))
    names = alternatives | set(_subject_names(certificate.subject, _IDENTIFYING))
    if missing := (requested_alternatives - alternatives) | (required - names):
        raise Unacceptable(f"a certificate without the name {_first(missing)}")
    requested = requested_alternatives | set(_subject_names(csr.subject, _IDENTIFYING))
    if others := names - requested:
        raise Unacceptable(f"a certificate with the name {_first(others)}, which was not asked for")


def _first(names: Iterable[object]) -> str:
    return ascii(min(map(str, names))[:200])


def _alternative_names(extensions: x509.Extensions) -> Iterator[object]:
    """The names in subjectAltName, normalized for comparison."""
    for extension in extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            yield from map(_normalized, extension.value)


def _normalized(name: x509.GeneralName) -> object:
    match name:
        case x509.DNSName():
            return _normalized_host(name.value)
        case x509.IPAddress():
            # The library also parses networks, which are not valid in a certificate.
            if isinstance(name.value, IPv4Address | IPv6Address):
                return without_ipv4_mapping(name.value)
            return name
        case x509.RFC822Name():
            return name.value.lower()
        case _:
            return name


def _subject_names(subject: x509.Name, oids: Collection[x509.ObjectIdentifier]) -> Iterator[object]:
    """The values of the attributes with these OIDs, normalized for comparison."""
    for attribute in subject:
        if attribute.oid in oids:
            yield _normalized_host(str(attribute.value))


def _normalized_host(text: str) -> object:
    # The service converts a common name that is not ASCII to punycode.
    return parse_address(text) or canonical(to_a_labels(text) or text)


def _is_ca(certificate: x509.Certificate) -> bool:
    """True if it is a CA certificate, or may sign certificates or CRLs."""
    for extension in certificate.extensions:
        match extension.value:
            case x509.BasicConstraints(ca=True):
                return True
            case x509.KeyUsage() as usage if usage.key_cert_sign or usage.crl_sign:
                return True
    return False


def _asks_for_ca(csr: x509.CertificateSigningRequest) -> bool:
    return any(
        isinstance(extension.value, x509.BasicConstraints) and extension.value.ca
        for extension in csr.extensions
    )


def _check_chain(certificate: x509.Certificate, chain: Sequence[x509.Certificate]) -> None:
    """Raise Unacceptable unless each CA issued the certificate before it and may do so."""
    if not chain:
        raise Unacceptable("a certificate without its chain")
    issued = certificate
    for cas_below, link in enumerate(chain):
        if not _issued(link, issued):
            raise Unacceptable("a chain that does not fit")
        if reason := _ca_problem(link, cas_below):
            raise Unacceptable(f"a chain in which {link.subject.rfc4514_string()[:200]!a} {reason}")
        issued = link


def _ca_problem(certificate: x509.Certificate, cas_below: int) -> str:
    """The reason why a certificate must not issue others; empty if it may.

    Args:
        certificate: a certificate of a chain.
        cas_below: the number of CAs between it and the leaf.
    """
    constraints = [
        extension.value
        for extension in certificate.extensions
        if isinstance(extension.value, x509.BasicConstraints)
    ]
    if [each.ca for each in constraints] != [True]:
        return "is no CA"
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.KeyUsage) and not extension.value.key_cert_sign:
            return "may not sign certificates (keyUsage has no keyCertSign)"
    length = constraints[0].path_length
    if length is not None and length < cas_below:
        return f"has a pathLenConstraint of {length}, and {cas_below} CAs below it"
    return ""


def _check_validity(certificate: x509.Certificate, now: datetime.datetime, what: str) -> None:
    if certificate.not_valid_after_utc <= now:
        end = certificate.not_valid_after_utc
        raise OutsideValidity(f"{what} that expired at {_format(end)}; it is {_format(now)} here")
    if certificate.not_valid_before_utc > now + MAX_SKEW:
        begin = certificate.not_valid_before_utc
        raise OutsideValidity(
            f"{what} that is not valid before {_format(begin)}; it is {_format(now)} here"
        )


def _format(time: datetime.datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"
