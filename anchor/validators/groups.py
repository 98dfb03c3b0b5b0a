"""Checks on the requester's groups."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Annotated

from cryptography import x509
from pydantic import AfterValidator

from anchor.auth.results import AuthDetails
from anchor.validators.errors import ValidationError, judges_names, refuse_any
from anchor.X509.general_name_text import LazyDescription
from anchor.X509.general_names import mail_addresses
from anchor.X509.signing_request import X509Csr

_PREFIX = re.compile(r"[a-z0-9_]+", re.ASCII | re.IGNORECASE)
# The full stop and the ideographic full stop; NFKC maps other dots to one of these two.
_DOTS = re.compile("[.\u3002]")


def _prefixes(prefixes: dict[str, str]) -> dict[str, str]:
    owners: dict[str, str] = {}
    for group, prefix in prefixes.items():
        if not group:
            raise ValueError("a group has no name")
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(f"{prefix!a} is not a prefix: use ASCII letters, digits and '_'")
        if prefix.lower() in owners:
            raise ValueError(
                f"both {owners[prefix.lower()]!a} and {group!a} have the prefix {prefix!a}"
            )
        owners[prefix.lower()] = group
    return prefixes


GroupPrefixes = Annotated[dict[str, str], AfterValidator(_prefixes)]


@judges_names
def server_group(
    csr: X509Csr, auth_result: AuthDetails, group_prefixes: GroupPrefixes | None = None
) -> None:
    """Reserve names with a prefix, such as ``nv-compute1.domain``, for members of a group.

    Args:
        group_prefixes: the prefix of each group, by the group's name. A prefix belongs to one
            group. Case matters in the names of groups, but not in prefixes.
    """
    allowed = {
        prefix.lower()
        for group, prefix in (group_prefixes or {}).items()
        if group in auth_result.groups
    }

    def is_allowed(name: str) -> bool:
        prefix, has_dash = _split_prefix(name)
        if "*" in prefix:
            # A wildcard matches names with the prefix of another group.
            return False
        # A prefix in other characters, full-width letters for example, belongs to no group.
        return not has_dash or (name.startswith(prefix) and prefix.lower() in allowed)

    def offending() -> Iterator[object]:
        for text in csr.common_names:
            if not is_allowed(text):
                yield f"CN:{text}"
        for name in csr.alternative_names:
            # Clients compare DNS names, which have a prefix; addresses have none.
            if isinstance(name, x509.DNSName):
                refused = not is_allowed(name.value)
            else:
                refused = not isinstance(name, x509.IPAddress)
            if refused:
                yield LazyDescription(name)
        yield from mail_addresses(csr.subject_attributes)

    if len(csr.common_names) > 1:
        raise ValidationError("there is more than one common name", number=len(csr.common_names))
    if not csr.common_names and not csr.alternative_names:
        raise ValidationError("there is neither a common name nor a subjectAltName")
    refuse_any(
        "names have a prefix that is not a group of the requester, or cannot be checked",
        names=offending(),
    )


def _split_prefix(name: str) -> tuple[str, bool]:
    """The part of the first label before its first dash, and True if there is a dash."""
    if name.isascii():
        prefix, dash, _ = name.partition(".")[0].partition("-")
        return prefix, bool(dash)
    label = _DOTS.split(unicodedata.normalize("NFKC", name), maxsplit=1)[0]
    for position, character in enumerate(label):
        if _is_dash(character):
            return label[:position], True
    return label, False


def _is_dash(character: str) -> bool:
    """True if people read the character as a dash: a dash, a hyphen or a minus sign."""
    if character == "-" or unicodedata.category(character) == "Pd":
        return True
    # U+2212, U+02D7, U+2043 and U+2796 are not in category Pd, so their names decide.
    words = unicodedata.name(character, "").split()
    return "HYPHEN" in words or "MINUS" in words
