"""Checks on the attributes of the subject, such as O, OU and C."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cryptography.x509.oid import NameOID

from anchor.config.option_types import AttributeNames, Attributes
from anchor.validators.errors import ValidationError, refuse_any
from anchor.X509.attribute_names import NameAttribute, describe_attribute, name_of_attribute
from anchor.X509.attribute_patterns import AttributePatterns
from anchor.X509.signing_request import X509Csr

NO_ATTRIBUTES = AttributePatterns()


def subject_attributes(
    csr: X509Csr, *, allowed: Attributes = NO_ATTRIBUTES, required: AttributeNames = frozenset()
) -> None:
    """Require that the subject has only allowed values, and every required attribute.

    Args:
        allowed: the allowed values of each attribute. A `%` stands for a part of a value, and alone
            for any value. Every common name is allowed unless `CN` is listed.
        required: the attributes that every request must have. They must be in ``allowed`` too.
    """
    present = {attribute.oid for attribute in csr.subject_attributes}
    missing = tuple(sorted(name_of_attribute(oid) for oid in required - present))
    refused = [
        describe_attribute(attribute)
        for attribute in csr.subject_attributes
        if not _is_allowed(attribute, allowed)
    ]
    if missing and refused:
        raise ValidationError(
            "the subject lacks attributes, and has others that are not allowed",
            missing=missing,
            attributes=tuple(refused[:5]),
        )
    if missing:
        raise ValidationError("the subject lacks attributes", missing=missing)
    refuse_any("attributes of the subject are not allowed", attributes=refused)


def _is_allowed(attribute: NameAttribute, allowed: AttributePatterns) -> bool:
    if attribute.oid == NameOID.COMMON_NAME and not allowed.lists(attribute.oid):
        # Other validators check common names.
        return True
    return allowed.has(attribute)


def unlisted_attributes(
    csr: X509Csr, listed: Iterable[AttributePatterns]
) -> Iterator[NameAttribute]:
    """The attributes, except common names, that match none of the patterns."""
    for attribute in csr.subject_attributes:
        if attribute.oid != NameOID.COMMON_NAME and not any(
            patterns.has(attribute) for patterns in listed
        ):
            yield attribute
