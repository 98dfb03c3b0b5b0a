"""The next step for a tracked certificate: a renewal, the hook, or a wait after a failure."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from anchor.client import schedule
from anchor.client.acceptance import MAX_SKEW
from anchor.client.tracking import TrackedCertificate


def renewal_time(tracked: TrackedCertificate, certificate: x509.Certificate) -> datetime.datetime:
    """The time from which a tracked certificate is due for renewal."""
    history = tracked.history
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    # The service's renew_after is about one certificate only.
    renew_after = history.renew_after if history.fingerprint == fingerprint else None
    return schedule.renewal(
        (certificate.not_valid_before_utc, certificate.not_valid_after_utc),
        fingerprint,
        None if renew_after is None else datetime.datetime.fromtimestamp(renew_after, datetime.UTC),
        tracked.spec.renew_when_left,
    )


def is_not_yet_valid(certificate: x509.Certificate, now: float) -> bool:
    """True if the certificate begins in the future: this clock or the service's is wrong."""
    return certificate.not_valid_before_utc.timestamp() > now + MAX_SKEW.total_seconds()


def is_hook_due(tracked: TrackedCertificate, certificate: x509.Certificate) -> bool:
    """True if there is a hook that has not run for this certificate yet."""
    done = tracked.history.hook_done
    return bool(tracked.spec.hook) and done != certificate.fingerprint(hashes.SHA256()).hex()


def has_time_left(certificate: x509.Certificate | None, now: float) -> bool:
    """True if more than a tenth of the certificate's life is left for other tries."""
    if certificate is None:
        return False
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return end.timestamp() - now > (end - begin).total_seconds() / 10


def retry_times(tracked: TrackedCertificate, now: float, *, back_off: bool) -> list[float]:
    """The times to wait for before another try, in seconds since the epoch.

    Args:
        tracked: the certificate.
        now: in seconds since the epoch.
        back_off: also wait after failures for which the service did not ask to wait.
    """
    history = tracked.history
    # If the clock was set back since the last try, do not wait.
    if history.tried is not None and history.tried > now + MAX_SKEW.total_seconds():
        return []
    return [
        until
        for until in (history.keep_off_until, history.wait_until if back_off else None)
        if until is not None and now < until <= now + schedule.LONGEST_ASKED
    ]
