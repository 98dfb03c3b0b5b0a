"""The descriptions of validators that compare names with a list of patterns."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator

from anchor.policy.description.lists import list_sentence, listed
from anchor.X509 import requester_values
from anchor.X509.name_templates import NameTemplate, Placeholder

Names = Collection[str]

_KINDS_OF_NAMES = (
    "in the common name",
    "as DNS names in subjectAltName",
    "as addresses in subjectAltName",
    "as URIs in subjectAltName",
    "as mail addresses",
    "as user principal names in subjectAltName",
)


def describe_whitelist(
    names: Names = (),
    *,
    allow_cn_id: bool = False,
    allow_dns_id: bool = False,
    allow_ip_id: bool = False,
    allow_uri_id: bool = False,
    allow_email_id: bool = False,
    allow_upn_id: bool = False,
    allow_wildcard: bool = False,
) -> Iterator[str]:
    """Describe ``whitelist_names``."""
    flags = (allow_cn_id, allow_dns_id, allow_ip_id, allow_uri_id, allow_email_id, allow_upn_id)
    kinds = itertools.compress(_KINDS_OF_NAMES, flags)
    yield from list_sentence("Names are allowed {}, and nowhere else.", kinds, "and")
    yield from list_sentence("Each of them is one of these: {}.", names, "and")
    yield from _percent(names, allow_wildcard)


def _percent(names: Names, allow_wildcard: bool) -> Iterator[str]:
    if any("%" in name for name in names):
        star = ", or for a whole *" if allow_wildcard else ""
        yield f"A % stands for a label, a path segment or a local part, or some of it{star}."
    elif allow_wildcard:
        yield "Where a % is listed it stands for a whole * too."


def describe_requester_names(
    names: Names = (),
    credential_names: str | None = None,
    *,
    allow_cn_id: bool = True,
    allow_dns_id: bool = True,
    allow_ip_id: bool = True,
    allow_uri_id: bool = True,
    allow_email_id: bool = True,
    allow_upn_id: bool = False,
    allow_wildcard: bool = False,
) -> Iterator[str]:
    """Describe ``requester_names``."""
    if credential_names is not None:
        yield "Every name is one of those that the credential is limited to."
        if credential_names == "all":
            yield "Each of them is in subjectAltName."
        return
    yield from list_sentence("Every name is one of these: {}.", names, "and")
    placeholders = dict.fromkeys(
        placeholder for name in names for placeholder in NameTemplate.parse(name).placeholders
    )
    if placeholders:
        yield f"There, {listed(map(_meaning, placeholders), 'and')}."
    yield from _percent(names, allow_wildcard)
    flags = (allow_cn_id, allow_dns_id, allow_ip_id, allow_uri_id, allow_email_id, allow_upn_id)
    refused = itertools.compress(_KINDS_OF_NAMES, (not flag for flag in flags))
    yield from list_sentence("Names are not allowed {}.", refused, "or")


def _meaning(placeholder: Placeholder) -> str:
    form = "one or more labels" if placeholder.several else "one label"
    match placeholder.source:
        case requester_values.USERNAME:
            meaning = "the requester's user name"
        case requester_values.GROUP:
            meaning = "one of the requester's groups"
        case source:
            meaning = f"the requester's claim {source.removeprefix(requester_values.CLAIM)}"
    return f"{placeholder} stands for {meaning} ({form})"
