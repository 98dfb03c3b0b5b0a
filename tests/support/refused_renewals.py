"""Renewals that are refused, and issue nothing."""

from __future__ import annotations

from anchor.store.database.certificates import Selection
from tests.support.pki import shared_key
from tests.support.renewal import renew


def refused_renewal(service, certificate, csr, *, status=401, authority="default"):
    """The text of the answer; require its status, and that no certificate was issued.

    Args:
        service: a :class:`tests.support.service.Service`.
        certificate: the certificate to renew, with the shared key.
        csr: the request in PEM.
        status: the status of the answer.
        authority: the name of the registration authority.
    """
    inventory = service.settings.authorities[authority].inventory
    before = inventory.count(Selection())
    answer = renew(service, certificate, shared_key(), csr, authority=authority)
    assert answer.status_int == status, answer.text
    assert b"CERTIFICATE" not in answer.body
    assert inventory.count(Selection()) == before
    return answer.text
