"""Advice on the CAs: their own certificates, those that they issue, and those that are trusted."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from itertools import chain
from typing import cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from anchor.config_lint.review import ConfigUnderReview
from anchor.errors import ConfigProblem
from anchor.X509.parse_errors import MALFORMED
from anchor.X509.signing_request import PublicKey
from anchor.X509.weak_keys import Allowed, WeakKey, require_strong

LONGEST_VALIDITY = datetime.timedelta(days=7)


def ca_ends_soon(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """What is warned of at the start too."""
    yield from review.loaded.warnings


def long_validity(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Certificates outlive the news that they should not be trusted."""
    for path, ca in review.signing_cas().items():
        days = ca.profile.validity / datetime.timedelta(days=1)
        if ca.profile.validity > LONGEST_VALIDITY:
            yield ConfigProblem(
                f"{path}.valid_hours",
                f"certificates live for {days:.3g} days, and nothing revokes them: whoever steals "
                "a key uses it for as long; let machines renew more often",
            )


def weak_ca_key(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """A key on the way to a root of which a requester would be told that it is too weak."""
    for path, link in _links(review):
        try:
            require_strong(cast(PublicKey, link.public_key()), Allowed())
        except WeakKey as error:
            yield ConfigProblem(
                path,
                f"of {_name(link)} {error}, so others can sign in the CA's name: make a new one",
            )


def _links(review: ConfigUnderReview) -> Iterator[tuple[str, x509.Certificate]]:
    """The certificates of all CAs and of those above them, each with its path."""
    for path, ca in review.signing_cas().items():
        for generation in ca.generations:
            place = path if generation is ca.generations[0] else f"{path}.next"
            yield f"{place}.cert_path", generation.ca.certificate
            for link in generation.ca.chain:
                yield f"{place}.chain_path", link


def broken_signature(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """A certificate on the way to a root is signed with a broken hash."""
    trusted = ((path, each) for path, found in _trusted(review) for each in found)
    for path, certificate in chain(_links(review), trusted):
        # What a root says of itself nobody has to believe: it is trusted because it is there.
        if certificate.issuer != certificate.subject and _has_broken_hash(certificate):
            yield ConfigProblem(
                path,
                f"the certificate {_name(certificate)} is signed with SHA-1 or MD5, for which "
                "forgeries are made: many clients refuse it, and those that do not can be deceived",
            )


def _has_broken_hash(certificate: x509.Certificate) -> bool:
    try:
        return isinstance(certificate.signature_hash_algorithm, hashes.SHA1 | hashes.MD5)
    except UnsupportedAlgorithm:
        return False


def expired_trust(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """A backend's certificate can no longer be verified."""
    for path, trusted in _trusted(review):
        if trusted and all(each.not_valid_after_utc < review.now for each in trusted):
            yield ConfigProblem(
                path,
                "every certificate in the file has expired, so the backend cannot prove who it is "
                "and nobody can authenticate",
            )


def _trusted(review: ConfigUnderReview) -> Iterator[tuple[str, list[x509.Certificate]]]:
    """The certificates in each ``ca_file``, as far as they can be read."""
    for backend in ("keystone", "ldap"):
        for path, section in review.sections("authentication", backend):
            if section.get("ca_file"):
                try:
                    pem = review.file(section["ca_file"]).read_bytes()
                    yield f"{path}.ca_file", x509.load_pem_x509_certificates(pem)
                except (OSError, *MALFORMED):
                    # The backend's own libraries decide whether they can do with it.
                    continue


def weak_signing_hash(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """A hash below today's level."""
    for name, section in review.document.signing_ca.items():
        if section.get("signing_hash") == "sha224":
            yield ConfigProblem(
                f"signing_ca.{name}.signing_hash",
                "SHA-224 stays below the 128 bits that keys have, and some clients do not know it: "
                "use 'sha256'",
            )


def online_root(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """The key that everything is trusted for is on this machine."""
    for path, ca in review.signing_cas().items():
        certificate = ca.at(review.now).certificate
        if certificate.issuer == certificate.subject:
            yield ConfigProblem(
                f"{path}.cert_path",
                "the CA is a root, so if its key is lost every machine has to learn to trust "
                "another: sign with an intermediate, and keep the root offline",
            )


def _name(certificate: x509.Certificate) -> str:
    return ascii(certificate.subject.rfc4514_string())
