"""Getting a certificate, and getting the next one: the life of a renewal on one screen."""

from __future__ import annotations

import contextlib
import datetime
import enum
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from anchor.client import certificate_directory, configuration, hook, schedule, signing_request
from anchor.client.acceptance import MAX_SKEW
from anchor.client.certificate_directory import Access, CertificateDirectory, Pair
from anchor.client.errors import (
    ClientError,
    CredentialsRefused,
    Refused,
    Unavailable,
    WrongAddress,
    WrongClock,
)
from anchor.client.hook import HookFailed
from anchor.client.service import IssuedCertificate, clock_error
from anchor.client.tracking import CertificateSpec, History, StateDirectory, TrackedCertificate
from anchor.errors import AnchorError, ConfigurationError
from anchor.timestamps import timestamp
from anchor.X509 import create_ca


class Result(enum.Enum):
    """How it went; the values are words for scripts."""

    ISSUED = "issued"
    RENEWED = "renewed"
    NOT_DUE = "not due"
    WOULD_RENEW = "would renew"
    HOOK_DONE = "hook done"
    HOOK_FAILED = "hook failed"
    POSTPONED = "postponed"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """How it went for one certificate; ``message`` is one line, and so is ``warning``, if any."""

    name: str
    result: Result
    message: str
    directory: Path | None = None
    not_after: datetime.datetime | None = None
    renews: datetime.datetime | None = None
    warning: str = ""


def due(tracked: TrackedCertificate, certificate: x509.Certificate) -> datetime.datetime:
    """From when a tracked certificate is to be renewed."""
    history = tracked.history
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    # What the service said counts for the certificate that it said it of.
    said = history.renew_after if history.fingerprint == fingerprint else None
    return schedule.renewal(
        (certificate.not_valid_before_utc, certificate.not_valid_after_utc),
        fingerprint,
        None if said is None else datetime.datetime.fromtimestamp(said, datetime.UTC),
        tracked.wish.renew_when_left,
    )


# What a success leaves of the failures before it.
_CLEARED = {"failures": 0, "error": None, "credentials_refused": False, "wait_until": None}


@dataclass(frozen=True)
class Renewer:
    """Does the work for whatever is tracked in a state directory.

    Attributes:
        state: where it is tracked.
        progress: is told, in a line, what is being done.
        clock: tells the time, in seconds since the epoch.
    """

    state: StateDirectory
    progress: Callable[[str], None]
    clock: Callable[[], float] = time.time

    def request(self, name: str, wish: CertificateSpec) -> Outcome:
        """Get the first certificate, or another one as it is wished for now, and track it.

        Raises:
            AnchorError: there is none; files and what is tracked are as before.
        """
        live = CertificateDirectory(wish.directory)
        with live.locked():
            certified = self._obtain(name, wish, live, keep_access=False)
            tracked = self._remember(TrackedCertificate(name=name, wish=wish), certified, live)
            outcome = self._finish(tracked, live, Result.ISSUED)
            return replace(outcome, warning=certified.clock_error)

    def next_time(self, tracked: TrackedCertificate, *, patient: bool = True) -> float:
        """When there is something to do for a certificate, in seconds since the epoch.

        Args:
            tracked: the certificate.
            patient: as for :meth:`renew`.
        """
        now = self.clock()
        certificate = CertificateDirectory(tracked.wish.directory).certificate()
        if (
            certificate is None
            or _hook_is_due(tracked, certificate)
            or _is_not_yet_valid(certificate, now)
        ):
            when = now
        else:
            when = due(tracked, certificate).timestamp()
        waits = _waits(tracked, now, patient=patient)
        return max([when, *waits])

    def renew(self, name: str, *, force: bool, patient: bool, dry_run: bool = False) -> Outcome:
        """Renew one certificate if it is due.

        Args:
            name: by which it is tracked.
            force: renew it even if it is not due.
            patient: leave it alone for a while after a failure, as a daemon does; who runs it by
                hand, or by cron, has waited already.
            dry_run: only say what would be done.
        """
        try:
            live = CertificateDirectory(self.state.read(name).wish.directory)
            with live.locked():
                # Another run may have been at it meanwhile.
                tracked = self.state.read(name)
                return self._renew(tracked, live, force=force, patient=patient, dry_run=dry_run)
        except Unavailable as error:
            # Another run is at it for longer than anybody waits.
            return Outcome(name, Result.POSTPONED, f"{name}: {error}")
        except (ClientError, ConfigurationError) as error:
            return self._failed(name, error, None)

    def _renew(
        self,
        tracked: TrackedCertificate,
        live: CertificateDirectory,
        *,
        force: bool,
        patient: bool,
        dry_run: bool,
    ) -> Outcome:
        name = tracked.name
        if not dry_run:
            live.repair()
        pair = live.current()
        now = self.clock()
        postponed = not force and bool(_waits(tracked, now, patient=patient))
        early = pair is not None and _is_not_yet_valid(pair.certificate, now)
        is_due = pair is None or early or now >= due(tracked, pair.certificate).timestamp()
        if pair and not force and not is_due:
            if tracked.history.clock_wrong and not dry_run:
                # The clock was set right, or the certificate became due in time.
                tracked = tracked.after(clock_wrong=False, **_CLEARED)
                self.state.write(tracked)
            if _hook_is_due(tracked, pair.certificate) and not postponed and not dry_run:
                return self._finish(tracked, live, Result.HOOK_DONE)
            return self._outcome(tracked, pair, Result.NOT_DUE)
        if postponed:
            return self._outcome(
                tracked,
                pair,
                Result.POSTPONED if self._has_time(pair) else Result.FAILED,
                f"left alone for now after: {tracked.history.error}",
            )
        if dry_run:
            return self._outcome(tracked, pair, Result.WOULD_RENEW)
        try:
            if not force and (early or tracked.history.clock_wrong):
                self._check_clock(tracked, pair)
            certified = self._obtain(name, tracked.wish, live, keep_access=True)
            tracked = self._remember(tracked, certified, live)
        except (ClientError, ConfigurationError) as error:
            self._take_down(tracked, error, pair)
            return self._failed(name, error, pair)
        outcome = self._finish(tracked, live, Result.RENEWED)
        return replace(outcome, warning=certified.clock_error)

    def _check_clock(self, tracked: TrackedCertificate, pair: Pair | None) -> None:
        """Ask the service for the time, which is cheaper than a certificate.

        Raises:
            WrongClock: this machine's clock is wrong, and no certificate is needed by the service's
                clock, or none would be valid by this machine's.
        """
        client = configuration.load(tracked.wish.config)
        offset = client.service(tracked.wish.authority, self.clock).clock_offset()
        if offset is None or abs(offset) <= MAX_SKEW.total_seconds():
            return
        if pair is not None and offset > 0:
            certificate = pair.certificate
            life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
            is_due = self.clock() - offset >= due(tracked, certificate).timestamp()
            if is_due and offset < life.total_seconds():
                return
        raise WrongClock(clock_error(offset, client.transport.url.text))

    def _obtain(
        self, name: str, wish: CertificateSpec, live: CertificateDirectory, *, keep_access: bool
    ) -> IssuedCertificate:
        """A certificate that is installed with its key.

        Args:
            name: what it is tracked as.
            wish: what is wanted.
            live: the directory of its files.
            keep_access: whether owners, groups and modes that were changed by hand are kept.
        """
        client = configuration.load(wish.config)
        access = Access.of(wish.owner, wish.group, wish.key_mode)
        live.prepare()
        self.progress(f"{name}: asking {client.transport.url.text}")
        old = live.current()
        key = old.key if old and wish.reuse_key else create_ca.make_key(wish.key)
        csr = signing_request.make(key, wish.names, wish.common_name)
        service = client.service(wish.authority, self.clock)
        previous = old.certificate if old else None
        certified = service.sign(csr, client.source.credentials(), previous)
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        live.install(key_pem, certified, access, live.access_by_hand() if keep_access else None)
        return certified

    def _remember(
        self, tracked: TrackedCertificate, certified: IssuedCertificate, live: CertificateDirectory
    ) -> TrackedCertificate:
        pair = live.current()
        assert pair is not None
        renew_after = certified.renew_after
        history = History(
            fingerprint=pair.fingerprint,
            renew_after=renew_after.timestamp() if renew_after else None,
            hook_done=tracked.history.hook_done,
            tried=self.clock(),
        )
        tracked = tracked.model_copy(update={"history": history})
        if due(tracked, pair.certificate).timestamp() <= self.clock():
            # A clock that is wrong makes every certificate look old; do not ask without end.
            wait_until = self.clock() + schedule.LONGEST_WAIT
            error = certified.clock_error
            tracked = tracked.after(
                clock_wrong=True,
                failures=1,
                error=error or "the new certificate is due already: is this machine's clock right?",
                wait_until=wait_until,
                # Without the service's time the next run could not tell either.
                keep_off_until=None if error else wait_until,
            )
        self.state.write(tracked)
        return tracked

    def _finish(
        self, tracked: TrackedCertificate, live: CertificateDirectory, result: Result
    ) -> Outcome:
        """Run the hook, and keep in mind whether it has seen the certificate."""
        pair = live.current()
        assert pair is not None
        if _hook_is_due(tracked, pair.certificate):
            self.progress(f"{tracked.name}: running {tracked.wish.hook[0]}")
            try:
                hook.run(tracked.wish.hook, _variables(tracked, pair))
            except HookFailed as error:
                self._take_down(tracked, error, pair)
                return self._outcome(tracked, pair, Result.HOOK_FAILED, str(error))
            tracked = tracked.after(
                hook_done=pair.fingerprint, **(_CLEARED if result is Result.HOOK_DONE else {})
            )
            self.state.write(tracked)
        return self._outcome(tracked, pair, result)

    def _take_down(
        self, tracked: TrackedCertificate, error: AnchorError, pair: Pair | None
    ) -> None:
        """Write a failure down, so that `anchor list` shows it and the next try waits."""
        now = self.clock()
        failures = tracked.history.failures + 1
        left = pair.certificate.not_valid_after_utc.timestamp() - now if pair else 0.0
        said = error.retry_after if isinstance(error, ClientError) else None
        keep_off = None if said is None else now + min(said, schedule.LONGEST_ASKED)
        if isinstance(error, Refused | CredentialsRefused | WrongAddress):
            wait = schedule.wait_after_refusal()
        elif isinstance(error, WrongClock):
            # What seems to be left of the certificate's life says nothing then.
            wait = schedule.wait(failures, float("inf"))
        else:
            wait = schedule.wait(failures, left)
        failed = tracked.after(
            failures=failures,
            error=_one_line(error),
            credentials_refused=isinstance(error, CredentialsRefused),
            clock_wrong=tracked.history.clock_wrong or isinstance(error, WrongClock),
            tried=now,
            wait_until=max(now + wait, keep_off or 0.0),
            keep_off_until=keep_off,
        )
        # When the disk is full, the failure itself is what has to be told.
        with contextlib.suppress(ClientError):
            self.state.write(failed)

    def _failed(self, name: str, error: AnchorError, pair: Pair | None) -> Outcome:
        message = f"{name}: {_one_line(error)}"
        result = Result.FAILED
        if pair is not None:
            end = pair.certificate.not_valid_after_utc
            message += f"; {_state(end, end.timestamp() - self.clock())}"
            if isinstance(error, Unavailable) and self._has_time(pair):
                result = Result.POSTPONED
        return Outcome(
            name, result, message, not_after=pair.certificate.not_valid_after_utc if pair else None
        )

    def _has_time(self, pair: Pair | None) -> bool:
        """Whether a tenth of the certificate's life is left: there will be other tries."""
        if pair is None:
            return False
        begin, end = pair.certificate.not_valid_before_utc, pair.certificate.not_valid_after_utc
        return end.timestamp() - self.clock() > (end - begin).total_seconds() / 10

    def _outcome(
        self, tracked: TrackedCertificate, pair: Pair | None, result: Result, reason: str = ""
    ) -> Outcome:
        end = pair.certificate.not_valid_after_utc if pair else None
        renews = due(tracked, pair.certificate) if pair else None
        parts = [result.value]
        if reason:
            parts = [reason]
        if end is not None and renews is not None:
            parts.append(_state(end, end.timestamp() - self.clock()))
            parts.append(f"renews from {moment(renews)}")
        return Outcome(
            tracked.name,
            result,
            f"{tracked.name}: {', '.join(parts)}",
            tracked.wish.directory,
            end,
            renews,
        )


def _is_not_yet_valid(certificate: x509.Certificate, now: float) -> bool:
    """Whether a clock must be wrong: that of this machine, or that of the service."""
    return certificate.not_valid_before_utc.timestamp() > now + MAX_SKEW.total_seconds()


def _hook_is_due(tracked: TrackedCertificate, certificate: x509.Certificate) -> bool:
    """Whether there is a hook that has not seen this certificate yet."""
    seen = tracked.history.hook_done
    return bool(tracked.wish.hook) and seen != certificate.fingerprint(hashes.SHA256()).hex()


def _waits(tracked: TrackedCertificate, now: float, *, patient: bool) -> list[float]:
    """The moments that have to be waited for."""
    history = tracked.history
    # A clock that was set back since then must not make anybody wait.
    if history.tried is not None and history.tried > now + MAX_SKEW.total_seconds():
        return []
    return [
        until
        for until in (history.keep_off_until, history.wait_until if patient else None)
        if until is not None and now < until <= now + schedule.LONGEST_ASKED
    ]


def _state(end: datetime.datetime, left: float) -> str:
    return f"{'valid until' if left > 0 else 'EXPIRED at'} {moment(end)}"


def _one_line(error: AnchorError) -> str:
    return "; ".join(str(error).splitlines())


def moment(when: datetime.datetime) -> str:
    """RFC 3339, in UTC and to the second, of a moment in any zone."""
    return timestamp(when.astimezone(datetime.UTC))


def _variables(tracked: TrackedCertificate, pair: Pair) -> dict[str, str]:
    directory = tracked.wish.directory
    return {
        "ANCHOR_NAME": tracked.name,
        "ANCHOR_NAMES": " ".join(tracked.wish.names),
        "ANCHOR_DIRECTORY": str(directory),
        "ANCHOR_KEY": str(directory / certificate_directory.KEY),
        "ANCHOR_CERTIFICATE": str(directory / certificate_directory.CERTIFICATE),
        "ANCHOR_CHAIN": str(directory / certificate_directory.CHAIN),
        "ANCHOR_FULL_CHAIN": str(directory / certificate_directory.FULL_CHAIN),
        "ANCHOR_COMBINED": str(directory / certificate_directory.COMBINED),
        "ANCHOR_NOT_AFTER": moment(pair.certificate.not_valid_after_utc),
        "ANCHOR_FINGERPRINT": pair.fingerprint,
    }
