"""The certificate that a requester renews."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import cached_property

from cryptography import x509

from anchor.X509.general_names import InterpretedName, interpret_names


@dataclass(frozen=True, kw_only=True, eq=False)
class Renewal:
    """The certificate that a requester renews.

    Attributes:
        fingerprint: the SHA-256 over its DER encoding, in hexadecimal.
        key: the SHA-256 over its SubjectPublicKeyInfo, in hexadecimal.
        subject: its subject.
        alternative_names: the entries of its subjectAltName.
        allows_fewer_names: True if the new certificate may have fewer of them.
        lineage_since: when the first certificate of the lineage was issued, in UTC.
        renewals: the number of renewals from that certificate to the new one.
    """

    fingerprint: str
    key: str
    subject: x509.Name
    alternative_names: tuple[x509.GeneralName, ...]
    allows_fewer_names: bool
    lineage_since: datetime.datetime
    renewals: int

    @cached_property
    def interpreted_names(self) -> tuple[InterpretedName, ...]:
        """Its names, with the hosts and mailboxes they name."""
        return tuple(interpret_names(self.subject, self.alternative_names))
