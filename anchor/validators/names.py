"""Checks on the names in a request."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography import x509

from anchor.config.option_types import Domains, Networks, Patterns
from anchor.validators.errors import ValidationError, judges_names, refuse_any
from anchor.X509.general_name_text import LazyDescription
from anchor.X509.general_names import mail_addresses
from anchor.X509.name_patterns import DomainSet, NetworkSet, parse_address
from anchor.X509.name_texts import Meaning
from anchor.X509.pattern_set import PatternSet
from anchor.X509.requested_names import NameKind, RequestedName, ip_address_of, requested_names
from anchor.X509.requester_values import NO_VALUES, RequesterValues
from anchor.X509.signing_request import X509Csr

NO_DOMAINS = DomainSet()
NO_NETWORKS = NetworkSet()
NO_NAMES = PatternSet()

MAIL_IN_SUBJECT = "mail addresses in the subject are not allowed"


def common_name(
    csr: X509Csr, allowed_domains: Domains = NO_DOMAINS, allowed_networks: Networks = NO_NETWORKS
) -> None:
    """Require at most one common name, in an allowed domain or network.

    Args:
        allowed_domains: the domains that a common name may be in, each with a leading dot; ``.``
            allows every DNS name.
        allowed_networks: the networks that a common name may be in if it is an address.
    """
    if len(csr.common_names) > 1:
        raise ValidationError("there is more than one common name", number=len(csr.common_names))
    if not csr.common_names and not csr.alternative_names:
        raise ValidationError("there is neither a common name nor a subjectAltName")
    for name in csr.common_names:
        ip = parse_address(name)
        if ip is None and name not in allowed_domains:
            raise ValidationError("the common name is not in an allowed domain", name=name)
        if ip is not None and ip not in allowed_networks:
            raise ValidationError("the common name is not in an allowed network", address=name)


@judges_names
def alternative_names(csr: X509Csr, allowed_domains: Domains = NO_DOMAINS) -> None:
    """Require that every entry of subjectAltName is a DNS name in an allowed domain.

    Args:
        allowed_domains: the domains that names may be in, each with a leading dot; ``.`` allows
            every DNS name.
    """
    refuse_any(
        "names in subjectAltName are not allowed",
        names=(
            LazyDescription(name)
            for name in csr.alternative_names
            if not (isinstance(name, x509.DNSName) and name.value in allowed_domains)
        ),
    )
    refuse_any(MAIL_IN_SUBJECT, names=mail_addresses(csr.subject_attributes))


@judges_names
def alternative_names_ip(
    csr: X509Csr, allowed_domains: Domains = NO_DOMAINS, allowed_networks: Networks = NO_NETWORKS
) -> None:
    """Require that every entry of subjectAltName is an allowed DNS name or address.

    Args:
        allowed_domains: the domains that DNS names may be in, each with a leading dot; ``.``
            allows every DNS name.
        allowed_networks: the networks that addresses may be in.
    """

    def is_allowed(name: x509.GeneralName) -> bool:
        if isinstance(name, x509.DNSName):
            return name.value in allowed_domains
        ip = ip_address_of(name)
        return ip is not None and ip in allowed_networks

    refuse_any(
        "names in subjectAltName are not allowed",
        names=(LazyDescription(name) for name in csr.alternative_names if not is_allowed(name)),
    )
    refuse_any(MAIL_IN_SUBJECT, names=mail_addresses(csr.subject_attributes))


@judges_names
def whitelist_names(
    csr: X509Csr,
    *,
    names: Patterns = NO_NAMES,
    allow_cn_id: bool = False,
    allow_dns_id: bool = False,
    allow_ip_id: bool = False,
    allow_uri_id: bool = False,
    allow_email_id: bool = False,
    allow_upn_id: bool = False,
    allow_wildcard: bool = False,
) -> None:
    """Require that every name in the request is listed and of an allowed type.

    Args:
        names: the allowed names: addresses, networks, DNS names, URIs and mailboxes. A ``%`` stands
            for a label, a path segment or a local part, or for a part of one.
        allow_cn_id: allow common names.
        allow_dns_id: allow DNS names in subjectAltName.
        allow_ip_id: allow addresses in subjectAltName.
        allow_uri_id: allow URIs in subjectAltName.
        allow_email_id: allow mail addresses in subjectAltName and in the subject.
        allow_upn_id: allow user principal names in subjectAltName.
        allow_wildcard: let a ``%`` that is a whole label match a left-most ``*`` as well.
    """

    allowed = allowed_kinds(
        allow_cn_id=allow_cn_id,
        allow_dns_id=allow_dns_id,
        allow_ip_id=allow_ip_id,
        allow_uri_id=allow_uri_id,
        allow_email_id=allow_email_id,
        allow_upn_id=allow_upn_id,
    )
    require_a_name(csr)
    refuse_any(
        "names are not allowed", names=unlisted(csr, names, allowed, wildcards=allow_wildcard)
    )


def allowed_kinds(
    *,
    allow_cn_id: bool,
    allow_dns_id: bool,
    allow_ip_id: bool,
    allow_uri_id: bool,
    allow_email_id: bool,
    allow_upn_id: bool,
) -> frozenset[NameKind]:
    """The kinds of names that a validator's options allow."""
    flags = {
        NameKind.COMMON_NAME: allow_cn_id,
        NameKind.DNS: allow_dns_id,
        NameKind.ADDRESS: allow_ip_id,
        NameKind.URI: allow_uri_id,
        NameKind.MAIL: allow_email_id,
        NameKind.PRINCIPAL: allow_upn_id,
    }
    return frozenset(kind for kind, allowed in flags.items() if allowed)


def require_a_name(csr: X509Csr) -> None:
    """Raise ValidationError for a request with neither a common name nor a subjectAltName."""
    if not csr.common_names and not csr.alternative_names:
        raise ValidationError("there is neither a common name nor a subjectAltName")


def unlisted(
    csr: X509Csr,
    names: PatternSet,
    allowed: frozenset[NameKind],
    *,
    wildcards: bool,
    values: RequesterValues = NO_VALUES,
) -> Iterator[RequestedName]:
    """The names in a request that are of another kind, or not listed.

    Args:
        names: the listed names.
        allowed: the kinds of names that are allowed.
        wildcards: True if a ``%`` also matches the label ``*``.
        values: what the placeholders in the listed names stand for.
    """
    for name in requested_names(csr):
        if name.kind not in allowed or not names.has(name, wildcards=wildcards, values=values):
            yield name


@judges_names
def blacklist_names(
    csr: X509Csr,
    *,
    domains: Domains = NO_DOMAINS,
    networks: Networks = NO_NETWORKS,
    allowed_domains: Domains = NO_DOMAINS,
    allowed_networks: Networks = NO_NETWORKS,
) -> None:
    """Reject names in a refused domain or network.

    Args:
        domains: the refused domains, each with a leading dot. The name of the domain itself is
            refused too.
        networks: the refused networks.
        allowed_domains: an old name of ``domains``. These domains are refused as well.
        allowed_networks: an old name of ``networks``. These networks are refused as well.
    """

    def is_refused(meaning: Meaning) -> bool:
        return (
            not meaning.understood
            or any(
                domains.overlaps(host) or allowed_domains.overlaps(host) for host in meaning.hosts
            )
            or any(ip in networks or ip in allowed_networks for ip in meaning.addresses)
        )

    refuse_any(
        "names are refused, or are of a kind that cannot be checked",
        names=(name for name in csr.interpreted_names if is_refused(name.meaning)),
    )
