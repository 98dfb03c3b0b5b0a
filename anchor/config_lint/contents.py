"""Advice on the contents of certificates: subject attributes, usages and names."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from anchor.config.plugins import shipped_names
from anchor.config_lint.review import ConfigUnderReview
from anchor.errors import ConfigProblem
from anchor.policy.policy import SUBJECT_ATTRIBUTES, VALIDATORS
from anchor.X509.name_constraints import ConstrainedName, violations
from anchor.X509.name_patterns import NamePattern
from anchor.X509.oids import extended_usage_oid, name_of_extended_usage

# Extended key usages that give the holder power over others: what the holder can do.
_POWERFUL = {
    "OCSPSigning": "vouch for revoked certificates of this CA",
    "anyExtendedKeyUsage": "do everything",
    "codeSigning": "sign programs",
    "timeStamping": "date signatures",
    "msSmartcardLogin": "log in to Windows as anyone who is named",
    "pkInitKDC": "be a Kerberos server",
    "pkInitClientAuth": "log in to Kerberos as anyone who is named",
}
# A "%" or a placeholder in a pattern.
_PATTERN = re.compile(r"%|\{[^}]*\}")

_POWERFUL_OIDS = {extended_usage_oid(name): power for name, power in _POWERFUL.items()}


def subject_attributes_dropped(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find policies that drop subject attributes without saying so."""
    for path, section in review.authorities():
        fixups = section.get("fixups", {})
        if SUBJECT_ATTRIBUTES not in section["validators"] and SUBJECT_ATTRIBUTES not in fixups:
            yield ConfigProblem(
                f"{path}.fixups",
                "certificates get no O, OU, C or other attributes of the subject besides common "
                "names: to keep some, add a line such as "
                '"subject_attributes": {"keep": {"O": ["Example"], "OU": ["%"]}}',
            )


def any_extended_usage(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find policies that allow every extended key usage.

    A policy with a validator from another distribution is skipped: it may check usages.
    """
    shipped = shipped_names(VALIDATORS)
    for path, section in review.authorities():
        validators = section["validators"].keys()
        if "ext_key_usage" not in validators and validators <= shipped:
            yield ConfigProblem(
                f"{path}.validators",
                "without 'ext_key_usage' requesters choose what certificates may be used for: "
                "OCSPSigning vouches for revoked certificates of this CA, codeSigning signs "
                "programs, msSmartcardLogin logs in to Windows; list what your machines need, such "
                "as serverAuth and clientAuth",
            )


def powerful_usage(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find lists with an extended key usage that few machines should have."""
    for path, section in review.authorities():
        for kind, plugin, option in (
            ("validators", "ext_key_usage", "allowed_usage"),
            ("fixups", "default_extended_key_usage", "usage"),
        ):
            usages: list[str] = section.get(kind, {}).get(plugin, {}).get(option, [])
            for number, usage in enumerate(usages):
                oid = extended_usage_oid(usage)
                if oid in _POWERFUL_OIDS:
                    yield ConfigProblem(
                        f"{path}.{kind}.{plugin}.{option}.{number}",
                        f"the holder of a certificate with {name_of_extended_usage(oid)} can "
                        f"{_POWERFUL_OIDS[oid]}: list it only for an authority that issues "
                        "nothing else, to few requesters",
                    )


def outside_name_constraints(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find allowed names that the name constraints of the CA exclude."""
    for path, section in review.authorities():
        authority = review.loaded.authorities[path.partition(".")[2]]
        constraints = authority.signing_ca.at(review.now).name_constraints
        for entry, names in _allowed_names(section):
            violation = next(violations(names, constraints), None)
            if violation:
                yield ConfigProblem(
                    f"{path}.{entry}",
                    f"certificates for names like this are refused, because {violation} by the "
                    "name constraints of the CA or of its chain",
                )


def _allowed_names(section: dict[str, Any]) -> Iterator[tuple[str, list[ConstrainedName]]]:
    """An example of the names that each entry of a list allows, by the entry's path."""
    for validator, option in (
        ("whitelist_names", "names"),
        ("requester_names", "names"),
        ("common_name", "allowed_domains"),
        ("common_name", "allowed_networks"),
        ("alternative_names", "allowed_domains"),
        ("alternative_names_ip", "allowed_domains"),
        ("alternative_names_ip", "allowed_networks"),
    ):
        entries = section["validators"].get(validator, {}).get(option, ())
        for number, entry in enumerate(entries):
            yield f"validators.{validator}.{option}.{number}", list(_examples(entry))
    if SUBJECT_ATTRIBUTES not in (*section["validators"], *section.get("fixups", {})):
        common_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example")])
        shown = "a subject that has common names only"
        yield "fixups", [ConstrainedName(x509.DirectoryName, common_name, shown)]


def _examples(entry: str) -> Iterator[ConstrainedName]:
    try:
        network = ip_network(entry)
    except ValueError:
        yield _example(entry)
        return
    for address in (network[0], network[-1]):
        yield ConstrainedName(x509.IPAddress, address, f"IP:{address}")


def _example(entry: str) -> ConstrainedName:
    # A domain begins with a dot.
    name = f"any-name{entry}" if entry.startswith(".") else _PATTERN.sub("any-name", entry)
    # The words in place of patterns may make a label too long.
    with contextlib.suppress(ValueError):
        pattern = NamePattern.parse(name)
        if pattern.uri:
            return ConstrainedName(x509.UniformResourceIdentifier, name, f"URI:{name}")
        if pattern.mailbox:
            return ConstrainedName(x509.RFC822Name, name, f"email:{name}")
    return ConstrainedName(x509.DNSName, name.removesuffix("."), f"DNS:{name}")
