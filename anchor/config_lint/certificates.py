"""Advice on CA certificates, issued certificates and trusted certificates."""

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
    """Find CAs that expire soon; the service logs the same warnings at its start."""
    yield from review.loaded.warnings


def long_validity(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find CAs that issue certificates for more than a week."""
    for path, ca in review.signing_cas().items():
        days = ca.profile.validity / datetime.timedelta(days=1)
        if ca.profile.validity > LONGEST_VALIDITY:
            yield ConfigProblem(
                f"{path}.valid_hours",
                f"certificates live for {days:.3g} days, and nothing revokes them: a stolen key "
                "can be used until then; let machines renew more often",
            )


def weak_ca_key(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find weak keys of CAs and of their chains, by the rules for requests."""
    for path, link in _links(review):
        try:
            require_strong(cast(PublicKey, link.public_key()), Allowed())
        except WeakKey as error:
            yield ConfigProblem(
                path,
                f"the key of {_name(link)} is weak ({error}), so others can sign in the CA's "
                "name: make a new CA",
            )


def _links(review: ConfigUnderReview) -> Iterator[tuple[str, x509.Certificate]]:
    """The certificates of all CAs and of their chains, each with its path."""
    for path, ca in review.signing_cas().items():
        for generation in ca.generations:
            section = path if generation is ca.generations[0] else f"{path}.next"
            yield f"{section}.cert_path", generation.ca.certificate
            for link in generation.ca.chain:
                yield f"{section}.chain_path", link


def broken_signature(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find CA and trusted certificates that are signed with a broken hash."""
    trusted = ((path, link) for path, certificates in _trusted(review) for link in certificates)
    for path, certificate in chain(_links(review), trusted):
        # Clients trust a root because they have it, and do not verify its signature.
        if certificate.issuer != certificate.subject and _has_broken_hash(certificate):
            yield ConfigProblem(
                path,
                f"the certificate {_name(certificate)} is signed with SHA-1 or MD5, which can be "
                "forged: many clients reject it, and the others can be deceived",
            )


def _has_broken_hash(certificate: x509.Certificate) -> bool:
    try:
        return isinstance(certificate.signature_hash_algorithm, hashes.SHA1 | hashes.MD5)
    except UnsupportedAlgorithm:
        return False


def expired_trust(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find files of trusted certificates in which every certificate has expired."""
    for path, trusted in _trusted(review):
        if trusted and all(trusted_ca.not_valid_after_utc < review.now for trusted_ca in trusted):
            yield ConfigProblem(
                path,
                "every certificate in the file has expired, so the backend's certificate cannot "
                "be verified and nobody can authenticate",
            )


def _trusted(review: ConfigUnderReview) -> Iterator[tuple[str, list[x509.Certificate]]]:
    """The certificates in each readable ``ca_file``, with the option's path."""
    for backend in ("keystone", "ldap", "oidc"):
        for path, section in review.sections("authentication", backend):
            if section.get("ca_file"):
                try:
                    pem = review.file(section["ca_file"]).read_bytes()
                    yield f"{path}.ca_file", x509.load_pem_x509_certificates(pem)
                except (OSError, *MALFORMED):
                    # The backend's libraries may read formats that cryptography rejects.
                    continue


def weak_signing_hash(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find CAs that sign with SHA-224."""
    for name, section in review.document.signing_ca.items():
        if section.get("signing_hash") == "sha224":
            yield ConfigProblem(
                f"signing_ca.{name}.signing_hash",
                "SHA-224 has less than the 128 bits of security that keys have, and some clients "
                "do not support it: use 'sha256'",
            )


def online_root(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find CAs that sign with the key of a root."""
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
