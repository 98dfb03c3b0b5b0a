"""Audit events: every authentication, signing and revocation, including failures."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from anchor.auth.results import AcmeOrder, AuthDetails
from anchor.ca.issued import IssuedCertificate
from anchor.errors import Failure, RequestError, ValidationFailed
from anchor.logs.bounds import shorten
from anchor.X509.general_name_text import describe
from anchor.X509.signing_request import X509Csr

AUTHENTICATION = "audit.auth"
SIGNING = "audit.sign"
REVOCATION = "audit.revoke"
CHECKPOINT = "audit.checkpoint"


class Event(NamedTuple):
    """An audit event.  No field contains a secret.

    Attributes:
        kind: ``audit.auth``, ``audit.sign`` or ``audit.revoke``.
        time: when it happened, in UTC.
        authority: the registration authority.
        user: the requester: the name from the backend, or the claimed name if authentication
            failed.
        address: the address of the client.
        request_id: the identifier that is also in the answer and in the log.
        reasons: why it failed; empty for a success.
        details: more fields, about the requester and the certificate.
    """

    kind: str
    time: datetime.datetime
    authority: str
    user: str
    address: str
    request_id: str
    reasons: tuple[str, ...] = ()
    details: Mapping[str, Any] = MappingProxyType({})

    def as_dict(self) -> dict[str, Any]:
        """The event as a JSON object."""
        return {
            "time": self.time.isoformat(timespec="milliseconds"),
            "event": self.kind,
            "authority": self.authority,
            "user": self.user,
            "address": self.address,
            "request_id": self.request_id,
            "outcome": "failure" if self.reasons else "success",
            "reasons": [shorten(reason) for reason in self.reasons],
            **self.details,
        }


def describe_failure(failure: Failure) -> dict[str, str]:
    """The check and the reason of a failure; the names are in the field ``requested``."""
    return {"check": failure.check, "reason": shorten(failure.reason)}


def describe_request(csr: X509Csr) -> dict[str, Any]:
    """The fields about a request, for successes and failures."""
    return {**_describe_names(csr), "key": csr.key_fingerprint}


def describe_certificate(issued: IssuedCertificate, approved: X509Csr) -> dict[str, Any]:
    """The fields about an issued certificate.

    The names come from the approved request, since the certificate was verified against it.
    """
    return {
        **_describe_names(approved),
        "serial": issued.serial,
        "fingerprint": issued.fingerprint,
        "not_before": issued.not_before.isoformat(),
        "not_after": issued.not_after.isoformat(),
    }


def describe_method(authentication: str, credential: str) -> dict[str, Any]:
    """The fields about the way to authenticate."""
    return {"authentication": authentication, "credential": str(credential)}


def describe_identity(identity: AuthDetails) -> dict[str, Any]:
    """The fields about a requester, besides the name."""
    details = describe_method(identity.authentication, identity.credential)
    if identity.groups:
        details["groups"] = list(identity.groups)
    if identity.user_id:
        details["user_id"] = identity.user_id
    if identity.project_id:
        details["project_id"] = identity.project_id
    if identity.token_id:
        details["token"] = identity.token_id
    if identity.claims:
        details["claims"] = dict(identity.claims)
    if renewal := identity.renewal:
        details |= describe_renewed(renewal.fingerprint)
        details["renewals"] = renewal.renewals
    if identity.order:
        details |= describe_order(identity.order)
    return details


def describe_order(order: AcmeOrder) -> dict[str, Any]:
    """The fields about the order that an ACME account finalizes."""
    return {"acme_account": order.account_id, "acme_order": order.order_id}


def describe_renewed(fingerprint: str) -> dict[str, Any]:
    """The field about the certificate that is the credential for the next one."""
    return {"renewed_from": fingerprint}


def reasons(error: BaseException) -> tuple[str, ...]:
    """The reasons of a failure; details of internal errors are in the log only."""
    if isinstance(error, ValidationFailed):
        return tuple(str(failure) for failure in error.failures)
    if isinstance(error, RequestError):
        return (str(error),)
    return (f"internal error: {type(error).__name__}",)


def _describe_names(csr: X509Csr) -> dict[str, Any]:
    return {
        "subject": csr.subject_text,
        "names": tuple(map(describe, csr.alternative_names)),
    }
