"""The description of each plug-in that comes with Anchor.

Each function takes the options of a plug-in as keyword arguments, unparsed from the configuration,
and returns sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import MappingProxyType

from anchor.policy.description.listed_names import describe_requester_names, describe_whitelist
from anchor.policy.description.lists import clipped, list_sentence, listed

Names = Collection[str]


def _standards_compliance(
    label_re: str | None = None, allow_ipv4_mapped: bool = False
) -> Iterator[str]:
    yield "Names, usages and the signature keep to RFC 5280, 6125, 1034, 1123 and 2986."
    if label_re is not None:
        yield f"Each label of a DNS name matches the regular expression {clipped(label_re)}"
    if allow_ipv4_mapped:
        yield "Addresses may be IPv4-mapped IPv6 addresses."


def _source_cidrs(cidrs: Names) -> Iterator[str]:
    yield from list_sentence("The request comes from an address in {}.", cidrs)


def _blacklist_names(
    domains: Names = (),
    networks: Names = (),
    allowed_domains: Names = (),
    allowed_networks: Names = (),
) -> Iterator[str]:
    refused = [*domains, *allowed_domains]
    if refused:
        yield f"No name is in the domain {listed(refused)}."
    refused = [*networks, *allowed_networks]
    if refused:
        yield f"No address is in {listed(refused)}."
    yield "No name is of a kind that cannot be compared."


def _common_name(allowed_domains: Names = (), allowed_networks: Names = ()) -> Iterator[str]:
    yield "There is one common name at most, and without one there is a subjectAltName."
    yield from list_sentence("The common name is {}.", _hosts(allowed_domains, allowed_networks))


def _alternative_names(allowed_domains: Names = ()) -> Iterator[str]:
    yield from list_sentence("Every entry of subjectAltName is {}.", _hosts(allowed_domains, ()))


def _alternative_names_ip(
    allowed_domains: Names = (), allowed_networks: Names = ()
) -> Iterator[str]:
    hosts = _hosts(allowed_domains, allowed_networks)
    yield from list_sentence("Every entry of subjectAltName is {}.", hosts)


def _hosts(domains: Names, networks: Names) -> Iterator[str]:
    if "." in domains:
        yield "any DNS name"
    elif domains:
        yield f"a DNS name that ends in {listed(domains)}"
    if networks:
        yield f"an address in {listed(networks)}"


def _server_group(group_prefixes: Mapping[str, str] | None = None) -> Iterator[str]:
    yield from list_sentence(
        "The part before a dash in a name's first label is the prefix of a requester's group: {}.",
        (f"{prefix}- to {group}" for group, prefix in (group_prefixes or {}).items()),
        "and",
        "No name has a dash in its first label.",
    )


def _extensions(allowed_extensions: Names = ()) -> Iterator[str]:
    yield from list_sentence(
        "The request has no extensions besides {}.",
        allowed_extensions,
        "and",
        "The request has no extensions.",
    )


def _ca_status(ca_requested: bool = False) -> Iterator[str]:
    if ca_requested:
        yield "The request is for an intermediate CA that issues leaves only."
    else:
        yield "The request is not for a CA."


def _key_usage(allowed_usage: Names = ()) -> Iterator[str]:
    yield from list_sentence(
        "If the request has a keyUsage, it asks for nothing but {}.",
        allowed_usage,
        "and",
        "The request asks for no key usage.",
    )


def _ext_key_usage(allowed_usage: Names = ()) -> Iterator[str]:
    yield from list_sentence(
        "If the request has an extendedKeyUsage, it asks for nothing but {}.",
        allowed_usage,
        "and",
        "The request asks for no extended key usage.",
    )


def _public_key(allowed_keys: Mapping[str, int | None] | None = None) -> Iterator[str]:
    yield from list_sentence(
        "The key is {}.",
        (
            f"{kind} of at least {bits} bits" if bits else kind
            for kind, bits in (allowed_keys or {}).items()
        ),
    )


def _compromised_keys(blocklist: str) -> Iterator[str]:
    del blocklist  # the path is for the operator only
    yield "The private key is not one that others know, such as a published or a guessable one."


def _subject_attributes_validator(
    allowed: Mapping[str, Names] | None = None, required: Names = ()
) -> Iterator[str]:
    yield from list_sentence(
        "Besides common names the subject has nothing but {}.",
        _values(allowed or {}),
        "and",
        "The subject has nothing but common names.",
    )
    if required:
        yield f"The subject has {listed(required, 'and')}."


def _values(attributes: Mapping[str, Names]) -> Iterator[str]:
    for name, values in attributes.items():
        if "%" in values:
            yield f"{name} (any)"
        elif values:
            yield f"{name} ({listed(values)})"


def _subject_attributes_fixup(
    keep: Mapping[str, Names] | None = None, fixed: Mapping[str, str | Names] | None = None
) -> Iterator[str]:
    yield from list_sentence(
        "The subject keeps its common names and {}; everything else is left out.",
        _values(keep or {}),
        "and",
        "The subject keeps its common names; everything else is left out.",
    )
    values = (
        f"{name}={value}"
        for name, given in (fixed or {}).items()
        for value in ([given] if isinstance(given, str) else given)
    )
    if shown := listed(values, "and"):
        yield f"The subject gets {shown}."


def _enforce_alternative_names_present() -> Iterator[str]:
    yield "A host name or an address in the common name is added to subjectAltName."


def _default_key_usage(usage: Names) -> Iterator[str]:
    yield f"A request without keyUsage gets {listed(usage, 'and')}."


def _default_extended_key_usage(usage: Names) -> Iterator[str]:
    yield f"A request without extendedKeyUsage gets {listed(usage, 'and')}."


def _drop_extensions(extensions: Names) -> Iterator[str]:
    yield from list_sentence(
        "These extensions are left out: {}.", extensions, "and", "No extension is left out."
    )


def _normalize_names() -> Iterator[str]:
    yield "DNS names are put into lower case, without a dot at their end."


def _drop_common_name() -> Iterator[str]:
    yield "A common name that is in subjectAltName too is left out of the subject."


Describer = Callable[..., Iterable[str]]

VALIDATORS: Mapping[str, Describer] = MappingProxyType(
    {
        "standards_compliance": _standards_compliance,
        "source_cidrs": _source_cidrs,
        "whitelist_names": describe_whitelist,
        "requester_names": describe_requester_names,
        "blacklist_names": _blacklist_names,
        "common_name": _common_name,
        "alternative_names": _alternative_names,
        "alternative_names_ip": _alternative_names_ip,
        "server_group": _server_group,
        "extensions": _extensions,
        "ca_status": _ca_status,
        "key_usage": _key_usage,
        "ext_key_usage": _ext_key_usage,
        "public_key": _public_key,
        "compromised_keys": _compromised_keys,
        "subject_attributes": _subject_attributes_validator,
    }
)

FIXUPS: Mapping[str, Describer] = MappingProxyType(
    {
        "enforce_alternative_names_present": _enforce_alternative_names_present,
        "default_key_usage": _default_key_usage,
        "default_extended_key_usage": _default_extended_key_usage,
        "drop_extensions": _drop_extensions,
        "normalize_names": _normalize_names,
        "drop_common_name": _drop_common_name,
        "subject_attributes": _subject_attributes_fixup,
    }
)
