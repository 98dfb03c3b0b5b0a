"""The identifiers in a new order (RFC 8555 section 7.1.4, RFC 8738), read strictly."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address

from cryptography import x509

from anchor.acme.problems import AcmeProblem, ProblemType, Subproblem, malformed
from anchor.errors import MAX_SHOWN
from anchor.store.acme_records import Identifier
from anchor.X509.dns_names import NameSyntax, is_address

MAX_IDENTIFIERS = 100
"""The largest number of identifiers in an order."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", re.ASCII)
_WRONG_CHARACTER = re.compile(r"[^a-z0-9.*-]")
_TYPES = ("dns", "ip")


def general_name(identifier: Identifier) -> x509.GeneralName:
    """The entry of subjectAltName for an identifier."""
    if identifier.type == "ip":
        return x509.IPAddress(ip_address(identifier.value))
    return x509.DNSName(identifier.value)


def fold(name: str) -> str:
    """A DNS name in small letters."""
    # Only ASCII: U+212A would become the letter k.
    return name.lower() if name.isascii() else name


def parse_identifiers(value: object) -> tuple[Identifier, ...]:
    """The identifiers in canonical form, each once, in the client's order.

    Args:
        value: the member ``identifiers`` of the order.

    Raises:
        AcmeProblem: they are malformed or not supported; a subproblem says so for each of them.
    """
    if not isinstance(value, list) or not value:
        raise malformed("'identifiers' should be a list of at least one identifier")
    if len(value) > MAX_IDENTIFIERS:
        raise malformed(
            f"the order has {len(value)} identifiers, and may have {MAX_IDENTIFIERS}; "
            "create several orders"
        )
    asked = dict.fromkeys(map(_parse_members, value))
    syntax = NameSyntax(_LABEL)
    identifiers: dict[Identifier, None] = {}
    problems: list[Subproblem] = []
    for each in asked:
        try:
            identifiers[_canonical(each, syntax)] = None
        except ValueError as error:
            kind = (
                ProblemType.MALFORMED if each.type in _TYPES else ProblemType.UNSUPPORTED_IDENTIFIER
            )
            problems.append(Subproblem(kind, str(error), _shortened(each)))
    if problems:
        kinds = {problem.type for problem in problems}
        raise AcmeProblem(
            kinds.pop() if len(kinds) == 1 else ProblemType.MALFORMED,
            "identifiers are not accepted: "
            + "; ".join(f"{each.identifier.value!a}: {each.detail}" for each in problems[:5]),
            subproblems=problems,
        )
    return tuple(identifiers)


def _parse_members(value: object) -> Identifier:
    if isinstance(value, dict):
        kind, text = value.get("type"), value.get("value")
        if isinstance(kind, str) and isinstance(text, str):
            return Identifier(kind, text)
    raise malformed("each identifier should be an object with the strings 'type' and 'value'")


def _canonical(identifier: Identifier, syntax: NameSyntax) -> Identifier:
    """The identifier in canonical form.

    Raises:
        ValueError: it is malformed, or of another type.
    """
    match identifier.type:
        case "dns":
            return Identifier("dns", _canonical_name(identifier.value, syntax))
        case "ip":
            return Identifier("ip", _canonical_address(identifier.value))
        case _:
            raise ValueError(f"the type should be one of {', '.join(_TYPES)}")


def _canonical_name(text: str, syntax: NameSyntax) -> str:
    name = fold(text)
    if name.endswith("."):
        raise ValueError("it ends with a dot, which names in certificates do not have")
    if is_address(name):
        raise ValueError("it is an address: its type should be ip")
    wrong = _WRONG_CHARACTER.search(name)
    if wrong is not None and name.isascii():
        raise ValueError(
            f"it has the character {wrong[0]!a}: a DNS name has letters, digits, hyphens and dots "
            "only, and no scheme, port or path"
        )
    for label in name.split("."):
        if label.startswith("-") or label.endswith("-"):
            raise ValueError(f"it has a label that begins or ends with a hyphen: {label!a}")
    for error in syntax.errors(name):
        raise ValueError(f"it {error}")
    return name


def _canonical_address(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError("it is no IPv4 or IPv6 address") from None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError("the address has a zone, which no certificate can have")
        if address.ipv4_mapped is not None:
            raise ValueError(f"it is an IPv4 address in IPv6: write {address.ipv4_mapped}")
    return str(address)


def _shortened(identifier: Identifier) -> Identifier:
    return Identifier(*(text[:MAX_SHOWN] for text in identifier))
