"""Names that a policy may accept, derived from the options of its validators."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from itertools import islice
from typing import Any, NamedTuple

from cryptography import x509

from anchor.policy.example.parts import Parts, Variable, sample

HOST = Variable("host")
# Lists in a configuration can be very long.
_MAX_ENTRIES = 20
_MAX_LENGTH = 200
_DOMAINS = ("common_name", "alternative_names", "alternative_names_ip")
_PLACEHOLDER = re.compile(r"\{(?P<source>username|group|claim:(?P<claim>[\w.-]+))(?::name)?\}")
_PERCENT = re.compile(r"(?P<whole>(?<![^./@:])%(?![^./@:]))|%")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:", re.ASCII | re.IGNORECASE)


class CandidateName(NamedTuple):
    """A name for an example.

    Attributes:
        kind: the name's prefix in OpenSSL's ``subjectAltName``: DNS, IP, URI or email.
        parts: the name.
        claims: the names of the claims in it, each with the value of its variable.
    """

    kind: str
    parts: Parts
    claims: tuple[tuple[str, str], ...] = ()

    def general_name(self) -> x509.GeneralName:
        """The name with a value in place of each variable.

        Raises:
            ValueError: it is not valid.
        """
        text = sample(self.parts)
        match self.kind:
            case "IP":
                return x509.IPAddress(ip_address(text))
            case "URI":
                return x509.UniformResourceIdentifier(text)
            case "email":
                return x509.RFC822Name(text)
            case _:
                return x509.DNSName(text)


ANY_NAME = CandidateName("DNS", (HOST, ".example.com"))
NO_NAME = CandidateName("DNS", (Variable("host.example.com"),))
"""For readers to replace."""


def candidate_names(options: Mapping[str, Any]) -> Iterator[CandidateName]:
    """Names that may be accepted, those of the strictest validators first.

    Args:
        options: the options of each validator, by its name, as in the configuration.
    """
    bound = options.get("requester_names", {})
    if bound.get("credential_names") is not None:
        yield ANY_NAME
    for validator in (bound, options.get("whitelist_names", {})):
        for entry in _some(validator.get("names", ())):
            yield _from_pattern(entry)
    for name in _DOMAINS:
        validator = options.get(name, {})
        for domain in _some(validator.get("allowed_domains", ())):
            yield CandidateName("DNS", (HOST, domain)) if domain.strip(".") else ANY_NAME
        for network in _some(validator.get("allowed_networks", ())):
            yield CandidateName("IP", (Variable(_address(network)),))
    yield ANY_NAME


def _some(entries: Iterable[str]) -> Iterator[str]:
    return (entry for entry in islice(entries, _MAX_ENTRIES) if len(entry) <= _MAX_LENGTH)


def _address(network: str) -> str:
    """The first address of a network that a host may have."""
    parsed = ip_network(network, strict=False)
    return str(parsed[1] if parsed.num_addresses > 1 else parsed[0])


def _from_pattern(pattern: str) -> CandidateName:
    """A name that matches an entry of an allow-list."""
    try:
        return CandidateName("IP", (Variable(_address(pattern)),))
    except ValueError:
        pass
    kind = "email" if "@" in pattern else "URI" if _URI.match(pattern) else "DNS"
    claims = tuple(
        (match["claim"], sample([_variable(match)]))
        for match in _PLACEHOLDER.finditer(pattern)
        if match["claim"]
    )
    return CandidateName(kind, tuple(_parts(pattern)), claims)


def _variable(placeholder: re.Match[str]) -> Variable:
    word = placeholder["claim"] or placeholder["source"].replace("username", "user")
    return Variable(re.sub(r"[^A-Z0-9]+", "-", word.upper()).strip("-") or "CLAIM")


def _parts(pattern: str) -> Iterator[str]:
    at = 0
    for match in _PLACEHOLDER.finditer(pattern):
        yield from _filled(pattern[at : match.start()])
        yield _variable(match)
        at = match.end()
    yield from _filled(pattern[at:])


def _filled(pattern: str) -> Iterator[str]:
    """The text with a word for each percent sign."""
    at = 0
    for match in _PERCENT.finditer(pattern):
        yield pattern[at : match.start()]
        yield HOST if match["whole"] else Variable("1")
        at = match.end()
    yield pattern[at:]
