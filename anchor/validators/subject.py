"""Checks on the attributes of the subject: O, OU, C and the like."""

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
    """The subject has only listed attributes with listed values, and all that are required.

    Args:
        allowed: for each attribute the values that it may have. A `%` stands for a part of a value,
            and alone for any value. Common names are free unless `CN` is listed.
        required: the attributes that every request must have; each has to be allowed too.
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
    if attribute.oid == NameOID.COMMON_NAME and not allowed.mentions(attribute.oid):
        # The validators of names judge common names.
        return True
    return allowed.has(attribute)


def unnamed(csr: X509Csr, named: Iterable[AttributePatterns]) -> Iterator[NameAttribute]:
    """The attributes other than CN that none of the patterns lists with their value."""
    for attribute in csr.subject_attributes:
        if attribute.oid != NameOID.COMMON_NAME and not any(each.has(attribute) for each in named):
            yield attribute
