"""Changes to the history of a tracked certificate after a success or a failure."""

from __future__ import annotations

from anchor.client import due, schedule
from anchor.client.certificate_version import KeyAndCertificate
from anchor.client.errors import ClientError, CredentialsRefused, Refused, WrongAddress, WrongClock
from anchor.client.issued import IssuedCertificate
from anchor.client.outcome import one_line
from anchor.client.tracking import History, TrackedCertificate
from anchor.errors import AnchorError


def after_issuance(
    tracked: TrackedCertificate, issued: IssuedCertificate, pair: KeyAndCertificate, now: float
) -> TrackedCertificate:
    """The certificate after a new pair was installed.

    Args:
        tracked: the certificate as it was tracked before.
        issued: the service's answer.
        pair: the new pair.
        now: in seconds since the epoch.
    """
    renew_after = issued.renew_after
    history = History(
        fingerprint=pair.fingerprint,
        renew_after=renew_after.timestamp() if renew_after else None,
        obtained_with=issued.obtained_with,
        why_secret=issued.why_secret or None,
        hook_done=tracked.history.hook_done,
        tried=now,
    )
    tracked = tracked.model_copy(update={"history": history})
    if due.renewal_time(tracked, pair.certificate).timestamp() > now:
        return tracked
    # Under a wrong clock every certificate looks old; do not request them without end. To the
    # service's clock, the certificate is new, so do not wait until it expires.
    certificate = pair.certificate
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    wait_until = now + min(schedule.LONGEST_WAIT, life.total_seconds() / 3)
    error = issued.clock_error
    return tracked.after(
        clock_wrong=True,
        failures=1,
        error=error or "the new certificate is due already: is this machine's clock right?",
        wait_until=wait_until,
        # Without the service's time the next run cannot check the clock either.
        keep_off_until=None if error else wait_until,
    )


def after_failure(
    tracked: TrackedCertificate, error: AnchorError, pair: KeyAndCertificate | None, now: float
) -> TrackedCertificate:
    """The certificate after a failure, with the times before which it is not tried again.

    Args:
        tracked: the certificate as it was tracked before.
        error: the failure.
        pair: the current pair, if there is one.
        now: in seconds since the epoch.
    """
    failures = tracked.history.failures + 1
    left = pair.certificate.not_valid_after_utc.timestamp() - now if pair else 0.0
    retry_after = error.retry_after if isinstance(error, ClientError) else None
    keep_off = None if retry_after is None else now + min(retry_after, schedule.LONGEST_ASKED)
    if isinstance(error, Refused | CredentialsRefused | WrongAddress):
        wait = schedule.wait_after_refusal(left)
    elif isinstance(error, WrongClock):
        # The time left cannot be computed with a wrong clock.
        wait = schedule.wait(failures, float("inf"))
    else:
        wait = schedule.wait(failures, left)
    return tracked.after(
        failures=failures,
        error=one_line(error),
        credentials_refused=isinstance(error, CredentialsRefused),
        clock_wrong=tracked.history.clock_wrong or isinstance(error, WrongClock),
        tried=now,
        wait_until=max(now + wait, keep_off or 0.0),
        keep_off_until=keep_off,
    )


def without_failures(tracked: TrackedCertificate, **changes: object) -> TrackedCertificate:
    """The certificate with its failures removed from the history, and with other changes."""
    return tracked.after(
        failures=0, error=None, credentials_refused=False, wait_until=None, **changes
    )
