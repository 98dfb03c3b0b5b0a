"""A policy in plain words, for those who are about to ask for a certificate.

Each shipped plug-in has a function here that takes its options, by their names and as they stand in
the configuration, and says what they mean.  What the operator keeps for themselves, such as paths
and secrets, is in none of the words.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from anchor import plugin_words, plugins
from anchor.policy import Policy

# A list can be as long as a configuration; the words are for reading.
MAX_LISTED = 8
MAX_SHOWN = 120

Options = Mapping[str, Any]
Names = Collection[str]


@dataclass(frozen=True)
class Words:
    """What one validator demands or one fixup does.

    Attributes:
        name: the plug-in's name, by which refusals call it.
        sentences: what it means to whoever asks for a certificate.
    """

    name: str
    sentences: tuple[str, ...]


def about_validators(policy: Policy, options: Options) -> tuple[Words, ...]:
    """What a request must look like.

    Args:
        policy: of the authority.
        options: by the validator's name, as they stand in the configuration.
    """
    return tuple(
        _about(check.name, check.function, options.get(check.name, {}), VALIDATORS)
        for check in policy.configured
    )


def about_fixups(policy: Policy, options: Options) -> tuple[Words, ...]:
    """What is changed in a request; the arguments are those of :func:`about_validators`."""
    return tuple(
        _about(fixup.name, fixup.function, options.get(fixup.name, {}), FIXUPS)
        for fixup in policy.fixups
    )


def about_authentication(backend: str) -> str:
    """Who may ask, by the kind of the authentication."""
    return AUTHENTICATION.get(backend, f"A user name and a secret, for “{backend}” to check.")


def _about(name: str, function: object, options: Options, known: Mapping[str, Speaker]) -> Words:
    if name in known:
        return Words(name, tuple(map(printable, known[name](**options))))
    sentences = plugin_words.sentences(_plugin_of(function), options)
    return Words(name, tuple(map(printable, sentences)))


def printable(text: str) -> str:
    """The text with escapes for what cannot be seen, or what would change how it is seen."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def _plugin_of(function: Any) -> Callable[..., Any]:
    """What was loaded, without the options that were bound to it."""
    bound = function.call if isinstance(function, plugins.Bound) else function
    plugin: Callable[..., Any] = bound.func if isinstance(bound, functools.partial) else bound
    return plugin


def _standards_compliance(label_re: str | None = None) -> Iterator[str]:
    yield "The request keeps to RFC 5280, 6125, 1034, 1123 and 2986."
    if label_re is not None:
        yield f"Each label of a DNS name matches the regular expression {_clipped(label_re)}"


def _source_cidrs(cidrs: Names) -> Iterator[str]:
    yield from _only("The request comes from an address in {}.", cidrs)


def _whitelist_names(
    names: Names = (),
    allow_cn_id: bool = False,
    allow_dns_id: bool = False,
    allow_ip_id: bool = False,
    allow_wildcard: bool = False,
) -> Iterator[str]:
    places = [
        place
        for allowed, place in (
            (allow_cn_id, "in the common name"),
            (allow_dns_id, "as DNS names in subjectAltName"),
            (allow_ip_id, "as addresses in subjectAltName"),
        )
        if allowed
    ]
    yield from _only("Names stand {}, and nowhere else.", places, "and")
    yield from _only("Each of them is one of these: {}.", names, "and")
    if any("%" in name for name in names):
        star = ", or for a whole *" if allow_wildcard else ""
        yield f"A % stands for a label, or a part of one{star}."
    elif allow_wildcard:
        yield "Where a % is listed it stands for a whole * too."


def _blacklist_names(
    domains: Names = (),
    networks: Names = (),
    allowed_domains: Names = (),
    allowed_networks: Names = (),
) -> Iterator[str]:
    refused = [*domains, *allowed_domains]
    if refused:
        yield f"No name is in the domain {_listed(refused)}."
    refused = [*networks, *allowed_networks]
    if refused:
        yield f"No address is in {_listed(refused)}."
    yield "No name is of a kind that cannot be compared."


def _common_name(allowed_domains: Names = (), allowed_networks: Names = ()) -> Iterator[str]:
    yield "There is one common name at most, and without one there is a subjectAltName."
    yield from _only("The common name is {}.", _hosts(allowed_domains, allowed_networks))


def _alternative_names(allowed_domains: Names = ()) -> Iterator[str]:
    yield from _only("Every entry of subjectAltName is {}.", _hosts(allowed_domains, ()))


def _alternative_names_ip(
    allowed_domains: Names = (), allowed_networks: Names = ()
) -> Iterator[str]:
    hosts = _hosts(allowed_domains, allowed_networks)
    yield from _only("Every entry of subjectAltName is {}.", hosts)


def _hosts(domains: Names, networks: Names) -> Iterator[str]:
    if "." in domains:
        yield "any DNS name"
    elif domains:
        yield f"a DNS name that ends in {_listed(domains)}"
    if networks:
        yield f"an address in {_listed(networks)}"


def _server_group(group_prefixes: Mapping[str, str] | None = None) -> Iterator[str]:
    yield from _only(
        "What stands before a dash in a name's first label belongs to the requester's group: {}.",
        (f"{prefix}- to {group}" for group, prefix in (group_prefixes or {}).items()),
        "and",
        "No name has a dash in its first label.",
    )


def _extensions(allowed_extensions: Names = ()) -> Iterator[str]:
    yield from _only(
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
    yield from _only(
        "If the request has a keyUsage, it asks for nothing but {}.",
        allowed_usage,
        "and",
        "The request asks for no key usage.",
    )


def _ext_key_usage(allowed_usage: Names = ()) -> Iterator[str]:
    yield from _only(
        "If the request has an extendedKeyUsage, it asks for nothing but {}.",
        allowed_usage,
        "and",
        "The request asks for no extended key usage.",
    )


def _public_key(allowed_keys: Mapping[str, int | None] | None = None) -> Iterator[str]:
    yield from _only(
        "The key is {}.",
        (
            f"{kind} of at least {bits} bits" if bits else kind
            for kind, bits in (allowed_keys or {}).items()
        ),
    )


def _compromised_keys(blocklist: str) -> Iterator[str]:
    del blocklist  # where it is concerns nobody but the operator
    yield "The key is not one whose private half is known, such as a published or a guessable one."


def _enforce_alternative_names_present() -> Iterator[str]:
    yield "A common name that is missing in subjectAltName is added there."


def _default_key_usage(usage: Names) -> Iterator[str]:
    yield f"A request without keyUsage gets {_listed(usage, 'and')}."


def _default_extended_key_usage(usage: Names) -> Iterator[str]:
    yield f"A request without extendedKeyUsage gets {_listed(usage, 'and')}."


def _drop_extensions(extensions: Names) -> Iterator[str]:
    yield from _only(
        "These extensions are left out: {}.", extensions, "and", "No extension is left out."
    )


def _normalize_names() -> Iterator[str]:
    yield "DNS names are put into lower case, without a dot at their end."


def _drop_common_name() -> Iterator[str]:
    yield "A common name that stands in subjectAltName too is left out of the subject."


Speaker = Callable[..., Iterable[str]]

VALIDATORS: Mapping[str, Speaker] = MappingProxyType(
    {
        "standards_compliance": _standards_compliance,
        "source_cidrs": _source_cidrs,
        "whitelist_names": _whitelist_names,
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
    }
)

FIXUPS: Mapping[str, Speaker] = MappingProxyType(
    {
        "enforce_alternative_names_present": _enforce_alternative_names_present,
        "default_key_usage": _default_key_usage,
        "default_extended_key_usage": _default_extended_key_usage,
        "drop_extensions": _drop_extensions,
        "normalize_names": _normalize_names,
        "drop_common_name": _drop_common_name,
    }
)

AUTHENTICATION: Mapping[str, str] = MappingProxyType(
    {
        "static": "A user name and a secret that the operator hands out.",
        "ldap": "The user name and the password of an account in the directory (LDAP).",
        "keystone": "A token of Keystone's as the secret; the user name does not count.",
    }
)

_NOT_FOR_A_CA = "is not for a CA (for one that issues leaves only, if its authority is for CAs)"

ENFORCED: Mapping[str, str] = MappingProxyType(
    {
        "proof_of_possession": "is signed with its own key",
        "strong_key": (
            "has a key that is neither weak nor a CA's (RSA of 2048 to 8192 bits; EC on P-256, "
            "P-384 or P-521; Ed25519; Ed448)"
        ),
        "critical_extensions": "has no critical extension that a certificate would not carry",
        "never_a_ca": _NOT_FOR_A_CA,
        "an_intermediate": _NOT_FOR_A_CA,
        "printable_names": "has no empty name and no control character in one",
        "a_name": "names somebody",
        "not_banned": "has nothing to do with what the operator has banned",
    }
)
"""What follows "a request" in a sentence about each rule that nothing switches off."""


def about_enforced() -> str:
    """The rules that nothing switches off, in one sentence."""
    rules = list(dict.fromkeys(ENFORCED.values()))
    return f"Whatever its authority demands, a request {_joined(rules, 'and')}."


def _only(
    sentence: str,
    items: Iterable[str],
    conjunction: str = "or",
    otherwise: str = "Nothing is allowed here, so every request is refused.",
) -> Iterator[str]:
    """The sentence with a list in it, or what is so when the list is empty."""
    items = tuple(items)
    yield sentence.format(_listed(items, conjunction)) if items else otherwise


def _listed(items: Iterable[str], conjunction: str = "or") -> str:
    shown = [_clipped(item) for item in items]
    if len(shown) > MAX_LISTED:
        return f"{', '.join(shown[:MAX_LISTED])} and {len(shown) - MAX_LISTED:,} more"
    return _joined(shown, conjunction)


def _joined(items: list[str], conjunction: str) -> str:
    *others, last = items or [""]
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def _clipped(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
