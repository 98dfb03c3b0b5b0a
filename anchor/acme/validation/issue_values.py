"""The values of CAA properties (RFC 8659 section 4.2), which dns-persist-01 uses too."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DOMAIN = re.compile(r"[a-z0-9](-*[a-z0-9])*(\.[a-z0-9](-*[a-z0-9])*)*", re.ASCII)
_TAG = re.compile(r"[a-z0-9](-*[a-z0-9])*", re.ASCII)
_VALUE = re.compile(r"[!-:<-~]*", re.ASCII)
_SPACE = " \t"
_MAX = 4096


@dataclass(frozen=True)
class IssueValue:
    """Which CA may issue, and under which conditions.

    Attributes:
        issuer: the domain name of the CA, in lower case; empty for none.
        parameters: the conditions, by their tags in lower case.
    """

    issuer: str
    parameters: dict[str, str]


def parse_issue_value(octets: bytes) -> IssueValue:
    """Return the domain name of the CA and the parameters.

    Raises:
        ValueError: the value is malformed, or has a parameter twice.
    """
    if len(octets) > _MAX:
        raise ValueError("it is too long")
    text = octets.decode("ascii")
    issuer, *parts = text.split(";")
    issuer = issuer.strip(_SPACE).lower()
    if issuer and not _DOMAIN.fullmatch(issuer):
        raise ValueError("it does not begin with a domain name")
    if parts and not parts[-1].strip(_SPACE):
        # A semicolon at the end.
        parts.pop()
    parameters: dict[str, str] = {}
    for part in parts:
        tag, equals, value = part.partition("=")
        tag, value = tag.strip(_SPACE).lower(), value.strip(_SPACE)
        if not equals or not _TAG.fullmatch(tag) or not _VALUE.fullmatch(value):
            raise ValueError("a parameter is malformed")
        if tag in parameters:
            raise ValueError("it has a parameter twice")
        parameters[tag] = value
    return IssueValue(issuer, parameters)
