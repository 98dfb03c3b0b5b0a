"""Authorities whose certificates renew themselves over TLS, and certificates that are special."""

from __future__ import annotations

import datetime
import time

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.pki import DAY, make_ca, make_csr, now
from tests.support.service import small_configuration

# 2.52 seconds, of which up to one is lost to rounding.
_BRIEF = {"valid_hours": 0.0007, "min_valid_hours": 0.0001}
FOR_SERVERS = make_csr(extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])])


def configuration(ca):
    """Three authorities with one CA: ``default``, and ``brief`` and ``grace``.

    The certificates of the last two expire after a second or two.  ``grace`` renews them for an
    hour after that.
    """
    document = small_configuration(ca)
    document["signing_ca"]["brief"] = document["signing_ca"]["local"] | _BRIEF
    authorities = document["registration_authority"]
    authorities["brief"] = authorities["default"] | {"signing_ca": "brief"}
    authorities["grace"] = authorities["brief"] | {"renewal": {"grace_hours": 1}}
    return document


def wait_for_the_end(certificate):
    """Wait until a certificate has expired."""
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    time.sleep(max(0, left.total_seconds()) + 1)


def made_elsewhere(directory, *, issuer=None, expired=False):
    """A certificate with its key that Anchor did not issue, with the subject of one that it did.

    Args:
        directory: where to store both.
        issuer: the CA; by default the certificate is self-signed.
        expired: True to make one that has expired.
    """
    begin = now() - (3 if expired else 1) * DAY
    return make_ca(
        directory,
        name="www.example.com",
        issuer=issuer,
        ca=False,
        usage=None,
        not_before=begin,
        not_after=begin + 2 * DAY,
    )
