"""Checks on who the requester is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from cryptography import x509
from pydantic import AfterValidator

from anchor.auth.results import AuthDetails
from anchor.validators import ValidationError, refuse_any
from anchor.X509.names import describe
from anchor.X509.signing_request import X509Csr

_PREFIX = re.compile(r"[a-z0-9_]+", re.ASCII | re.IGNORECASE)


def _prefixes(prefixes: dict[str, str]) -> dict[str, str]:
    owners: dict[str, str] = {}
    for group, prefix in prefixes.items():
        if not group:
            raise ValueError("a group has no name")
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(f"{prefix!a} is not what a name can have before its first dash")
        if prefix.lower() in owners:
            raise ValueError(f"both {owners[prefix.lower()]!a} and {group!a} have {prefix!a}")
        owners[prefix.lower()] = group
    return prefixes


GroupPrefixes = Annotated[dict[str, str], AfterValidator(_prefixes)]


def server_group(
    csr: X509Csr, auth_result: AuthDetails, group_prefixes: GroupPrefixes | None = None
) -> None:
    """A server's name with a prefix, ``nv-compute1.domain``, is for members of its group.

    Args:
        group_prefixes: the prefix that a group's members may use, by the group's name. A prefix
            belongs to one group; it is compared without regard to case, the group's name exactly.
    """
    allowed = {
        prefix.lower()
        for group, prefix in (group_prefixes or {}).items()
        if group in auth_result.groups
    }

    def is_allowed(name: str) -> bool:
        prefix, dash, _ = name.partition(".")[0].partition("-")
        if "*" in prefix:
            # It covers names with prefixes of any group's.
            return False
        return not dash or (prefix.isascii() and prefix.lower() in allowed)

    def offending() -> Iterator[str]:
        for text in csr.common_names:
            if not is_allowed(text):
                yield f"CN:{text}"
        for name in csr.alternative_names:
            # The names that clients look at; an address has no prefix.
            if isinstance(name, x509.DNSName):
                refused = not is_allowed(name.value)
            else:
                refused = name in csr.other_names
            if refused:
                yield describe(name)

    if len(csr.common_names) > 1:
        raise ValidationError("there is more than one common name", number=len(csr.common_names))
    if not csr.common_names and not csr.alternative_names:
        raise ValidationError("there is neither a common name nor a subjectAltName")
    refuse_any(
        "names have a prefix of none of the requester's groups, or cannot be judged",
        names=offending(),
    )
