"""Checks that bind names to the requester, or to the credential that was used."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Literal

from anchor.auth.results import AuthDetails
from anchor.config.option_types import Templates
from anchor.config.plugins import options_checked_by
from anchor.validators.errors import MAX_LISTED, ValidationError, judges_names, refuse_any
from anchor.validators.names import allowed_kinds, require_a_name, unlisted
from anchor.X509.allowed_names import AllowedNames, LiteralName
from anchor.X509.name_templates import TemplateSet
from anchor.X509.requested_names import literal_name, requested_names
from anchor.X509.requester_values import RequesterValues
from anchor.X509.signing_request import X509Csr

NO_TEMPLATES = TemplateSet()

_MAX_SHOWN = 100


def _check_options(options: Mapping[str, Any]) -> None:
    with_credential = options.get("credential_names") is not None
    if ("names" in options) == with_credential:
        raise ValueError("exactly one of 'names' and 'credential_names' is needed")
    if with_credential and len(options) > 1:
        raise ValueError("the options 'allow_...' are for 'names', not for 'credential_names'")


@judges_names
@options_checked_by(_check_options)
def requester_names(
    csr: X509Csr,
    auth_result: AuthDetails,
    *,
    names: Templates = NO_TEMPLATES,
    credential_names: Literal["any", "all"] | None = None,
    allow_cn_id: bool = True,
    allow_dns_id: bool = True,
    allow_ip_id: bool = True,
    allow_uri_id: bool = True,
    allow_email_id: bool = True,
    allow_upn_id: bool = False,
    allow_wildcard: bool = False,
) -> None:
    """Require that every name in the request belongs to the requester.

    Args:
        names: the names that a requester may have: those of ``whitelist_names``, with placeholders
            such as ``{username}``. Exactly one of ``names`` and ``credential_names`` is required.
        credential_names: with ``any``, every name is one of those that the credential is limited
            to. With ``all``, ``subjectAltName`` also has each of them. A credential without such a
            limit is refused.
        allow_cn_id: allow common names.
        allow_dns_id: allow DNS names in subjectAltName.
        allow_ip_id: allow addresses in subjectAltName.
        allow_uri_id: allow URIs in subjectAltName.
        allow_email_id: allow mail addresses in subjectAltName and in the subject.
        allow_upn_id: allow user principal names in subjectAltName, which are compared with the
            mailboxes in ``names``.
        allow_wildcard: let a ``%`` that is a whole label match a left-most ``*`` as well.
    """
    if credential_names is not None:
        require_names_of_credential(csr, auth_result, every=credential_names == "all")
        return
    allowed = allowed_kinds(
        allow_cn_id=allow_cn_id,
        allow_dns_id=allow_dns_id,
        allow_ip_id=allow_ip_id,
        allow_uri_id=allow_uri_id,
        allow_email_id=allow_email_id,
        allow_upn_id=allow_upn_id,
    )
    require_a_name(csr)
    values = values_of(auth_result)
    refused = unlisted(csr, names, allowed, wildcards=allow_wildcard, values=values)
    try:
        refuse_any("names are not allowed for this requester", names=refused)
    except ValidationError as error:
        unusable = (text[:_MAX_SHOWN] for text in names.unusable(values))
        listed = tuple(islice(unusable, MAX_LISTED))
        if not listed:
            raise
        raise ValidationError(error.message, **error.data, placeholders=listed) from None


def values_of(identity: AuthDetails) -> RequesterValues:
    """What the placeholders stand for, for a requester."""
    return RequesterValues(identity.username, identity.groups, identity.claims)


def require_names_of_credential(
    csr: X509Csr, identity: AuthDetails, *, every: bool = False
) -> None:
    """Require that every name is one of those that the credential is limited to.

    Args:
        csr: the request.
        identity: the requester.
        every: True to require each of these names in subjectAltName as well.

    Raises:
        ValidationError: a name is not allowed or missing, or the credential has no such limit.
    """
    if identity.allowed_names is None:
        raise ValidationError(
            "the credential is not limited to names: use one that is, such as a token created with "
            "--name"
        )
    try:
        allowed = AllowedNames.parse(identity.allowed_names)
    except ValueError as error:
        raise ValidationError(f"the credential is limited to an invalid name: {error}") from None
    requested = [(name, literal_name(name)) for name in requested_names(csr)]
    if not requested:
        raise ValidationError("the request has none of the names that the credential allows")
    refuse_any(
        "the credential is limited to other names: use one for these, such as a token created with "
        "--name",
        names=(name for name, literal in requested if literal is None or literal not in allowed),
    )
    if every:
        present: set[LiteralName | None] = {
            literal for name, literal in requested if not name.in_subject
        }
        refuse_any(
            "names of the credential are missing in subjectAltName",
            names=sorted(str(name) for name in allowed if name not in present),
        )
