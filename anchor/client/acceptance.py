"""Checks of an answered certificate against the request, before anything is replaced by it.

A service that is broken, or another one in its place, must not be able to take a good pair away.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from anchor.X509.dns_names import in_ascii
from anchor.X509.name_patterns import address, canonical, unmapped
from anchor.X509.parse_errors import MALFORMED

# By how much two clocks may differ before one of them is called wrong.
MAX_SKEW = datetime.timedelta(minutes=5)

# Attributes of a subject that name somebody.  The service sets and drops others, such as O and OU.
_NAMING = {NameOID.COMMON_NAME, NameOID.EMAIL_ADDRESS, NameOID.USER_ID}


class Unacceptable(Exception):
    """The certificate is not one that was asked for; the text continues "it answered"."""


class OutsideValidity(Unacceptable):
    """The certificate has expired or is not yet valid, by this machine's clock."""


def check(
    certificate: x509.Certificate,
    chain: Sequence[x509.Certificate],
    csr: x509.CertificateSigningRequest,
    now: datetime.datetime,
) -> None:
    """Raise Unacceptable unless the certificate is a valid one of what was asked for.

    Args:
        certificate: the certificate that was answered.
        chain: its issuer first, each followed by its own issuer.
        csr: the request.
        now: the time of this machine.
    """
    if certificate.public_key() != csr.public_key():
        raise Unacceptable("a certificate for another key")
    if _is_ca(certificate) and not _asks_for_ca(csr):
        raise Unacceptable("the certificate of a CA")
    _check_names(certificate, csr)
    _check_chain(certificate, chain)
    for link in (certificate, *chain):
        _check_validity(link, now, "a certificate" if link is certificate else "a CA certificate")


def leads_to(chain: Sequence[x509.Certificate], trusted: Iterable[x509.Certificate]) -> bool:
    """True if a trusted CA is in the chain or has issued its last certificate."""
    return any(known in chain or _issued(known, chain[-1]) for known in trusted)


def is_of_the_same_ca(previous: x509.Certificate, chain: Sequence[x509.Certificate]) -> bool:
    """True if a CA of the chain has issued the previous certificate too."""
    return any(_issued(link, previous) for link in chain)


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *MALFORMED):
        return False
    return True


def _check_names(certificate: x509.Certificate, csr: x509.CertificateSigningRequest) -> None:
    asked_alternatives = set(_alternative_names(csr.extensions))
    # By default the service drops all other attributes.
    required = set(_naming_attributes(csr.subject, {NameOID.COMMON_NAME}))
    alternatives = set(_alternative_names(certificate.extensions))
    named = alternatives | set(_naming_attributes(certificate.subject, _NAMING))
    if missing := (asked_alternatives - alternatives) | (required - named):
        raise Unacceptable(f"a certificate without the name {_first(missing)}")
    asked = asked_alternatives | set(_naming_attributes(csr.subject, _NAMING))
    if others := named - asked:
        raise Unacceptable(f"a certificate with the name {_first(others)}, which was not asked for")


def _first(names: Iterable[object]) -> str:
    return ascii(min(map(str, names))[:200])


def _alternative_names(extensions: x509.Extensions) -> Iterator[object]:
    """The names in subjectAltName, in the form in which they compare."""
    for extension in extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            yield from map(_comparable, extension.value)


def _comparable(name: x509.GeneralName) -> object:
    match name:
        case x509.DNSName():
            return _host(name.value)
        case x509.IPAddress():
            # A network, which no certificate may have, is no address.
            if isinstance(name.value, IPv4Address | IPv6Address):
                return unmapped(name.value)
            return name
        case x509.RFC822Name():
            return name.value.lower()
        case _:
            return name


def _naming_attributes(
    subject: x509.Name, kinds: Collection[x509.ObjectIdentifier]
) -> Iterator[object]:
    """The values of some kinds of attributes, in the form in which names compare."""
    for attribute in subject:
        if attribute.oid in kinds:
            yield _host(str(attribute.value))


def _host(text: str) -> object:
    # The service copies a common name with other letters as punycode.
    return address(text) or canonical(in_ascii(text) or text)


def _is_ca(certificate: x509.Certificate) -> bool:
    """True if it is marked as a CA's, or may sign certificates or CRLs."""
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
    """Each link must be a CA that has issued the one before it, and was allowed to."""
    if not chain:
        raise Unacceptable("a certificate without its chain")
    issued = certificate
    for below, link in enumerate(chain):
        if not _issued(link, issued):
            raise Unacceptable("a chain that does not fit")
        if reason := _why_not_ca(link, below):
            raise Unacceptable(f"a chain in which {link.subject.rfc4514_string()[:200]!a} {reason}")
        issued = link


def _why_not_ca(certificate: x509.Certificate, below: int) -> str:
    """Why a certificate must not issue others; nothing if it may.

    Args:
        certificate: a certificate of a chain.
        below: how many CAs stand between it and the end of the chain.
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
    if length is not None and length < below:
        return f"has a pathLenConstraint of {length}, and {below} CAs below it"
    return ""


def _check_validity(certificate: x509.Certificate, now: datetime.datetime, what: str) -> None:
    if certificate.not_valid_after_utc <= now:
        end = certificate.not_valid_after_utc
        raise OutsideValidity(f"{what} that expired at {_moment(end)}; it is {_moment(now)} here")
    if certificate.not_valid_before_utc > now + MAX_SKEW:
        begin = certificate.not_valid_before_utc
        raise OutsideValidity(
            f"{what} that is not valid before {_moment(begin)}; it is {_moment(now)} here"
        )


def _moment(when: datetime.datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"
