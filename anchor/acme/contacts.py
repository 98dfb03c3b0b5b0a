"""The contacts of an account (RFC 8555 section 7.3)."""

from __future__ import annotations

import re
from urllib.parse import unquote

from anchor.acme.problems import AcmeProblem, ProblemType, malformed

_MAX_CONTACTS = 10
_MAX_LENGTH = 320
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.ASCII | re.DOTALL)
# The dot-atom of RFC 5322 section 3.2.3, at a name.
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", re.ASCII)


def parse_contact(value: object) -> tuple[str, ...]:
    """The contacts in a request: ``mailto`` URLs of one address each.

    Raises:
        AcmeProblem: they are malformed, or not ``mailto`` URLs.
    """
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise malformed("'contact' should be a list of strings")
    if len(value) > _MAX_CONTACTS:
        raise _invalid(f"there are more than {_MAX_CONTACTS} contacts")
    for url in value:
        _require_mailto(url)
    return tuple(value)


def _require_mailto(url: str) -> None:
    if len(url) > _MAX_LENGTH:
        raise _invalid(f"a contact has more than {_MAX_LENGTH} characters")
    match = _SCHEME.fullmatch(url)
    if match is None:
        raise _invalid(f"{url!a} is not a URL such as mailto:admin@example.com")
    if match[1].lower() != "mailto":
        raise AcmeProblem(
            ProblemType.UNSUPPORTED_CONTACT,
            f"the scheme of {url!a} is not supported: use a URL such as mailto:admin@example.com",
        )
    # RFC 8555 section 7.3: no hfields, and exactly one address.
    if "?" in match[2]:
        raise _invalid(f"{url!a} should have no header fields")
    if "," in match[2]:
        raise _invalid(f"{url!a} should have one address: write a contact for each address")
    if not _ADDRESS.fullmatch(unquote(match[2])):
        raise _invalid(f"{url!a} should be 'mailto:' and an address such as admin@example.com")


def _invalid(reason: str) -> AcmeProblem:
    return AcmeProblem(ProblemType.INVALID_CONTACT, f"the contact is not accepted: {reason}")
