"""What happened, for the record: every authentication and every signing, failures included."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from anchor.logs.bounds import shorten
from anchor.timestamps import whole, with_milliseconds
from anchor.X509 import name_listing
from anchor.X509.notes import noted
from anchor.X509.signing_request import X509Csr

if TYPE_CHECKING:
    from anchor.ca.backends import Issued
    from anchor.errors import Failure

AUTHENTICATION = "audit.auth"
SIGNING = "audit.sign"
CHECKPOINT = "audit.checkpoint"


class Event(NamedTuple):
    """One entry of the record.  None of its fields ever holds a secret.

    Attributes:
        kind: ``audit.auth`` or ``audit.sign``.
        time: when it happened, in UTC.
        authority: the registration authority that was asked.
        user: who asked: as they claimed before, as the backend knows them after authentication.
        address: where the request came from.
        request_id: the identifier that the answer and the log carry too.
        reasons: why it failed; empty for a success.
        details: of the requester and the certificate.
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
        """The event in JSON's types."""
        return {
            "time": with_milliseconds(self.time),
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
    """What the record keeps of a check that refused; the names are in what was requested."""
    return {"check": failure.check, "reason": shorten(failure.reason)}


@noted
def describe_request(csr: X509Csr) -> dict[str, Any]:
    """What the record keeps of a request, whatever becomes of it."""
    return {**_describe_names(csr), "key": csr.key_fingerprint}


def describe_certificate(issued: Issued, fingerprint: str, approved: X509Csr) -> dict[str, Any]:
    """What the record keeps of an issued certificate.

    Its names are taken from the request that it was proved to say the same as.
    """
    return {
        **_describe_names(approved),
        "serial": f"{issued.serial_number:x}",
        "fingerprint": fingerprint,
        "not_before": whole(issued.not_before),
        "not_after": whole(issued.not_after),
    }


@noted
def _describe_names(csr: X509Csr) -> dict[str, Any]:
    return {
        "subject": csr.subject_text,
        "names": tuple(map(name_listing.describe, csr.alternative_names)),
    }
