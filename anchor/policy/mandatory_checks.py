"""The checks that every authority makes and no configuration can disable.

The key checks run once, since no fixup can change the key.  The content checks run before and after
the fixups, the result checks only after them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from anchor.policy.checks import Check
from anchor.policy.renewed_names import require_same_names
from anchor.store.bans import NOT_BANNED, Banned
from anchor.validators.errors import ValidationError, judges_names, refuse_any
from anchor.validators.requester_names import require_names_of_credential
from anchor.validators.subject import unlisted_attributes
from anchor.X509 import name_listing, weak_keys
from anchor.X509.attribute_names import describe_attribute
from anchor.X509.attribute_patterns import AttributePatterns
from anchor.X509.ca_certificate import CACertificate
from anchor.X509.name_constraints import names_in, violations
from anchor.X509.related_keys import RelatedKeys
from anchor.X509.signing_request import X509Csr
from anchor.X509.weak_keys import WeakKey

# The extensions that a certificate copies from a request, and those that the CA sets.
TAKEN_OVER = frozenset(
    {
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
    }
)
REPLACED = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    }
)

EXPECTED = TAKEN_OVER | REPLACED


def proof_of_possession(csr: X509Csr) -> None:
    """Require that the submitted request is signed with the key that it contains."""
    if not csr.submitted.signature_is_valid:
        used = csr.submitted.broken_hash
        if used is not None:
            raise ValidationError("the request's signature uses a broken hash", hash=used)
        raise ValidationError("the request is not signed with its own key")


def critical_extensions(csr: X509Csr) -> None:
    """Refuse critical extensions that the certificate would not contain."""
    for extension in csr.extensions:
        if extension.critical and extension.oid not in EXPECTED:
            raise ValidationError(
                "a critical extension is not supported", extension=extension.oid.dotted_string
            )


def never_a_ca(csr: X509Csr) -> None:
    """Refuse requests for a CA, or for a key that signs certificates or CRLs."""
    constraints = csr.extension(x509.BasicConstraints)
    if constraints and constraints.value.ca:
        raise ValidationError("the request is for a CA")
    usage = csr.extension(x509.KeyUsage)
    if usage and (usage.value.key_cert_sign or usage.value.crl_sign):
        raise ValidationError("the request is for a key that signs certificates or CRLs")


def an_intermediate(csr: X509Csr) -> None:
    """Require a request for an intermediate CA that can issue leaf certificates only."""
    constraints = csr.extension(x509.BasicConstraints)
    if not (constraints and constraints.value.ca):
        raise ValidationError("the request is not for a CA")
    if constraints.value.path_length not in (None, 0):
        raise ValidationError(
            "an intermediate may issue leaf certificates only",
            pathLenConstraint=constraints.value.path_length,
        )
    usage = csr.extension(x509.KeyUsage)
    if usage and not usage.value.key_cert_sign:
        raise ValidationError("the request is for a CA, but not for a key that signs certificates")
    if not csr.subject_attributes:
        # RFC 5280 4.1.2.6: it is the issuer of the certificates that the intermediate signs.
        raise ValidationError("the request is for a CA, and its subject is empty")


@judges_names
def printable_names(csr: X509Csr) -> None:
    """Refuse empty names and names with a control character, such as NUL."""
    for name in name_listing.texts(csr):
        if not name:
            raise ValidationError("a name is empty")
        if not name.isprintable():
            raise ValidationError("a name has a control character in it", name=name)
    try:
        for text in name_listing.nested_texts(csr):
            if not text.isprintable():
                raise ValidationError("a name has a control character in it", name=text)
    except ValueError as error:
        raise ValidationError(f"an otherName cannot be read: {error}") from None


# These describe an organisation or a place, and so identify no requester.
_NOT_IDENTIFYING = frozenset(
    {
        NameOID.COUNTRY_NAME,
        NameOID.STATE_OR_PROVINCE_NAME,
        NameOID.LOCALITY_NAME,
        NameOID.STREET_ADDRESS,
        NameOID.POSTAL_CODE,
        NameOID.ORGANIZATION_NAME,
        NameOID.ORGANIZATIONAL_UNIT_NAME,
    }
)


def a_name(csr: X509Csr) -> None:
    """Require a name, in the subject or in subjectAltName."""
    if csr.alternative_names:
        return
    if all(attribute.oid in _NOT_IDENTIFYING for attribute in csr.subject_attributes):
        raise ValidationError("the request contains no name")


def _name_of_an_intermediate(csr: X509Csr) -> None:
    """Require a name; for an intermediate CA, its organisation is enough."""
    if not csr.subject_attributes and not csr.alternative_names:
        raise ValidationError("the request contains no name")


def key_checks(ca_keys: frozenset[bytes], weak: weak_keys.Allowed) -> tuple[Check, ...]:
    """The mandatory checks on the key of a request.

    Args:
        ca_keys: the keys of the authority's CA and its chain, as SubjectPublicKeyInfo.
        weak: the kinds of weak keys that the configuration allows.
    """
    related = RelatedKeys(ca_keys)

    def strong_key(csr: X509Csr) -> None:
        """Refuse weak keys, and keys equal or related to a key of the CA."""
        if csr.public_key_info in ca_keys:
            raise ValidationError("the key is the CA's own")
        try:
            related.refuse(csr.public_key, csr.public_key_info)
            weak_keys.require_strong(csr.public_key, weak)
        except WeakKey as error:
            raise ValidationError(error.message, **error.data) from None

    return _checks(("proof_of_possession", proof_of_possession), ("strong_key", strong_key))


def content_checks(*, intermediate: bool) -> tuple[Check, ...]:
    """The mandatory checks on the content of a request and on its requester.

    Args:
        intermediate: True if the authority signs requests for intermediate CAs only.
    """
    return (
        Check(NOT_BANNED, _not_banned, judges_names=True),
        Check("allowed_names", _allowed_names, judges_names=True),
        *_checks(
            ("critical_extensions", critical_extensions),
            ("an_intermediate", an_intermediate) if intermediate else ("never_a_ca", never_a_ca),
            ("printable_names", printable_names),
            ("a_name", _name_of_an_intermediate if intermediate else a_name),
        ),
    )


def result_checks(
    listed: tuple[AttributePatterns, ...] = (), issuer: Callable[[], CACertificate] | None = None
) -> tuple[Check, ...]:
    """The mandatory checks on a request after the fixups.

    Args:
        listed: the subject attributes, with their values, that the policy lists.
        issuer: return the CA's current certificate.
    """

    def named_attributes(csr: X509Csr) -> None:
        """Refuse subject attributes besides common names and those that the policy lists."""
        refuse_any(
            "the policy does not list these attributes of the subject",
            attributes=map(describe_attribute, unlisted_attributes(csr, listed)),
        )

    @judges_names
    def name_constraints(csr: X509Csr) -> None:
        """Refuse names that the CA's name constraints exclude (RFC 5280 4.2.1.10)."""
        constraints = issuer().name_constraints if issuer else ()
        if constraints:
            refuse_any(
                "relying parties would reject names because of the CA's name constraints",
                names=violations(names_in(csr), constraints),
            )

    def own_name(csr: X509Csr) -> None:
        """Refuse an intermediate CA with the subject of its issuers (RFC 5280 4.1.2.6).

        Its certificates could not be told from theirs, and it would not count for
        ``pathLenConstraint`` (section 4.2.1.9).
        """
        constraints = csr.extension(x509.BasicConstraints)
        if issuer and constraints and constraints.value.ca:
            subject = _comparable(csr.subject)
            links = (issuer().certificate, *issuer().chain)
            if any(_comparable(link.subject) == subject for link in links):
                raise ValidationError("the intermediate CA has the subject of its issuer")

    return (
        *_checks(
            ("named_attributes", named_attributes),
            ("name_constraints", name_constraints),
            ("own_name", own_name),
        ),
        Check("renewed_names", _renewed_names),
    )


def _comparable(name: x509.Name) -> list[tuple[str, str]]:
    """A name without the differences that RFC 5280 section 7.1 ignores."""
    return [
        (attribute.oid.dotted_string, " ".join(str(attribute.value).casefold().split()))
        for attribute in name
    ]


_CsrCheck = Callable[[X509Csr], None]


def _checks(*checks: tuple[str, _CsrCheck]) -> tuple[Check, ...]:
    return tuple(
        Check(name, partial(_on_csr, check), judges_names=hasattr(check, "judges_names"))
        for name, check in checks
    )


def _on_csr(check: _CsrCheck, arguments: Mapping[str, Any]) -> None:
    check(arguments["csr"])


def _allowed_names(arguments: Mapping[str, Any]) -> None:
    identity = arguments["auth_result"]
    if identity.allowed_names is not None:
        require_names_of_credential(arguments["csr"], identity)


def _renewed_names(arguments: Mapping[str, Any]) -> None:
    renewal = arguments["auth_result"].renewal
    if renewal is not None:
        require_same_names(arguments["csr"], renewal)


def _not_banned(arguments: Mapping[str, Any]) -> None:
    try:
        arguments["bans"].check(arguments["csr"], arguments["auth_result"])
    except Banned as error:
        raise ValidationError(error.message, **error.data) from None
