"""Requesting a certificate and renewing it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from anchor.client import certificate_renewal, configuration, due, history, hook, signing_request
from anchor.client.acceptance import MAX_SKEW
from anchor.client.answers import clock_error
from anchor.client.certificate_directory import CertificateDirectory
from anchor.client.certificate_renewal import CertificateRenewal, HeldCertificate
from anchor.client.certificate_version import Access, KeyAndCertificate
from anchor.client.errors import ClientError, Unavailable, WrongClock
from anchor.client.hook import HookFailed
from anchor.client.issued import IssuedCertificate
from anchor.client.outcome import Outcome, Result, format_time, one_line, validity
from anchor.client.secret_deletion import delete_unneeded_secret
from anchor.client.tracking import CertificateSpec, StateDirectory, TrackedCertificate
from anchor.errors import AnchorError, ConfigurationError
from anchor.X509 import create_ca


@dataclass(frozen=True)
class Renewer:
    """Requests and renews the certificates that a state directory tracks.

    Attributes:
        state: the state directory.
        progress: called with a line for each step.
        clock: returns the time in seconds since the epoch.
        typed_secret: the secret for :meth:`request` if it is in no file.
    """

    state: StateDirectory
    progress: Callable[[str], None]
    clock: Callable[[], float] = time.time
    typed_secret: str | None = field(default=None, repr=False)

    def request(self, name: str, spec: CertificateSpec) -> Outcome:
        """Get a certificate and track it, or replace what is tracked under the name.

        Raises:
            AnchorError: there is no certificate; files and state are unchanged.
        """
        directory = CertificateDirectory(spec.directory)
        with directory.locked():
            self.state.prepare()
            issued = self._obtain(name, spec, directory)
            tracked = TrackedCertificate(name=name, spec=spec)
            tracked = self._record_issuance(tracked, issued, directory)
            outcome = self._finish(tracked, directory, Result.ISSUED)
            return replace(outcome, warning=issued.warning, obtained_with=issued.obtained_with)

    def next_time(self, tracked: TrackedCertificate, *, back_off: bool = True) -> float:
        """The time of the next work for a certificate, in seconds since the epoch.

        Args:
            tracked: the certificate.
            back_off: as for :meth:`renew`.
        """
        now = self.clock()
        certificate = CertificateDirectory(tracked.spec.directory).certificate()
        if (
            certificate is None
            or due.is_hook_due(tracked, certificate)
            or due.is_not_yet_valid(certificate, now)
        ):
            due_at = now
        else:
            due_at = due.renewal_time(tracked, certificate).timestamp()
        return max([due_at, *due.retry_times(tracked, now, back_off=back_off)])

    def renew(self, name: str, *, force: bool, back_off: bool, dry_run: bool = False) -> Outcome:
        """Renew one certificate if it is due.

        Args:
            name: the name under which it is tracked.
            force: renew it even if it is not due.
            back_off: wait after a failure, as the daemon does; a run by hand or by cron does not.
            dry_run: only say what would be done.
        """
        try:
            directory = CertificateDirectory(self.state.read(name).spec.directory)
            with directory.locked():
                # Another run may have changed it before we got the lock.
                tracked = self.state.read(name)
                return self._renew(
                    tracked, directory, force=force, back_off=back_off, dry_run=dry_run
                )
        except Unavailable as error:
            # Another run holds the lock.
            return Outcome(name, Result.POSTPONED, f"{name}: {error}")
        except (ClientError, ConfigurationError) as error:
            return self._failed(name, error, None)

    def _renew(
        self,
        tracked: TrackedCertificate,
        directory: CertificateDirectory,
        *,
        force: bool,
        back_off: bool,
        dry_run: bool,
    ) -> Outcome:
        if not dry_run:
            directory.repair()
        pair = directory.current()
        now = self.clock()
        postponed = not force and bool(due.retry_times(tracked, now, back_off=back_off))
        early = pair is not None and due.is_not_yet_valid(pair.certificate, now)
        is_due = (
            pair is None or early or now >= due.renewal_time(tracked, pair.certificate).timestamp()
        )
        if pair and not force and not is_due:
            if tracked.history.clock_wrong and not dry_run:
                # The clock was corrected, or the certificate is valid by now.
                tracked = history.without_failures(tracked, clock_wrong=False)
                self.state.write(tracked)
            if due.is_hook_due(tracked, pair.certificate) and not postponed and not dry_run:
                return self._finish(tracked, directory, Result.HOOK_DONE)
            return self._outcome(tracked, pair, Result.NOT_DUE)
        if postponed:
            return self._outcome(
                tracked,
                pair,
                Result.POSTPONED if self._has_time_left(pair) else Result.FAILED,
                f"left alone for now after: {tracked.history.error}",
            )
        if dry_run:
            return self._outcome(tracked, pair, Result.WOULD_RENEW)
        try:
            if not force and (early or tracked.history.clock_wrong):
                self._check_clock(tracked, pair)
            issued = self._obtain(
                tracked.name, tracked.spec, directory, renewed=pair, keep_access=True
            )
            tracked = self._record_issuance(tracked, issued, directory)
        except (ClientError, ConfigurationError) as error:
            self._record_failure(tracked, error, pair)
            return self._failed(tracked.name, error, pair)
        deletion = delete_unneeded_secret(tracked, self.state)
        phrase = "; ".join(filter(None, (certificate_renewal.renewed_with(issued), deletion.done)))
        outcome = self._finish(tracked, directory, Result.RENEWED, phrase)
        return replace(
            outcome,
            warning="; ".join(filter(None, (issued.warning, deletion.problem))),
            obtained_with=issued.obtained_with,
            why_secret=issued.why_secret,
            deleted_secret=deletion.deleted,
        )

    def _check_clock(self, tracked: TrackedCertificate, pair: KeyAndCertificate | None) -> None:
        """Ask the service for the time, which costs less than a certificate.

        Raises:
            WrongClock: this machine's clock is wrong, and no certificate is needed by the service's
                clock, or none would be valid by this machine's.
        """
        client = configuration.load_for(tracked.spec, needs_secret=False)
        offset = client.service(tracked.spec.authority, self.clock).clock_offset()
        if offset is None or abs(offset) <= MAX_SKEW.total_seconds():
            return
        if pair is not None and offset > 0:
            certificate = pair.certificate
            life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
            service_time = self.clock() - offset
            is_due = service_time >= due.renewal_time(tracked, certificate).timestamp()
            if is_due and offset < life.total_seconds():
                return
        raise WrongClock(clock_error(offset, client.transport.url.text))

    def _obtain(
        self,
        name: str,
        spec: CertificateSpec,
        directory: CertificateDirectory,
        *,
        renewed: KeyAndCertificate | None = None,
        keep_access: bool = False,
    ) -> IssuedCertificate:
        """Request a certificate and install it with its key.

        Args:
            name: the name under which it is tracked.
            spec: what to request.
            directory: where the files go.
            renewed: the pair to renew; None to request the certificate with the secret.
            keep_access: keep owners, groups and modes that were changed by hand.
        """
        client = configuration.load_for(spec, self.typed_secret, needs_secret=renewed is None)
        access = Access.of(spec.owner, spec.group, spec.key_mode)
        access_by_name = directory.current_access() if keep_access else None
        directory.prepare(access, access_by_name)
        self.progress(f"{name}: asking {client.transport.url.text}")
        old = directory.current()
        key = old.key if old and spec.reuse_key else create_ca.make_key(spec.key)
        csr = signing_request.make(key, spec.names, spec.common_name)
        previous = old.certificate if old else None
        if renewed is None:
            issued = client.sign(csr, previous, authority=spec.authority, clock=self.clock)
        else:
            held = HeldCertificate(renewed.certificate, renewed.key)
            issued = CertificateRenewal(client, csr, held, spec.authority, self.clock).run()
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        directory.install(key_pem, issued, access, access_by_name)
        return issued

    def _record_issuance(
        self,
        tracked: TrackedCertificate,
        issued: IssuedCertificate,
        directory: CertificateDirectory,
    ) -> TrackedCertificate:
        pair = directory.current()
        assert pair is not None
        tracked = history.after_issuance(tracked, issued, pair, self.clock())
        self.state.write(tracked)
        return tracked

    def _record_failure(
        self, tracked: TrackedCertificate, error: AnchorError, pair: KeyAndCertificate | None
    ) -> None:
        """Write the failure for `anchor list` and for the wait before the next try."""
        # If the disk is full, report the failure itself, not that it cannot be written.
        with contextlib.suppress(ClientError):
            self.state.write(history.after_failure(tracked, error, pair, self.clock()))

    def _finish(
        self,
        tracked: TrackedCertificate,
        directory: CertificateDirectory,
        result: Result,
        reason: str = "",
    ) -> Outcome:
        """Run the hook if it has not run for the certificate, and record that it did."""
        pair = directory.current()
        assert pair is not None
        if due.is_hook_due(tracked, pair.certificate):
            self.progress(f"{tracked.name}: running {tracked.spec.hook[0]}")
            try:
                hook.run(tracked.spec.hook, hook.variables(tracked, pair))
            except HookFailed as error:
                self._record_failure(tracked, error, pair)
                return self._outcome(tracked, pair, Result.HOOK_FAILED, str(error))
            tracked = tracked.after(hook_done=pair.fingerprint)
            if result is Result.HOOK_DONE:
                tracked = history.without_failures(tracked)
            self.state.write(tracked)
        return self._outcome(tracked, pair, result, reason)

    def _has_time_left(self, pair: KeyAndCertificate | None) -> bool:
        return due.has_time_left(pair.certificate if pair else None, self.clock())

    def _failed(self, name: str, error: AnchorError, pair: KeyAndCertificate | None) -> Outcome:
        message = f"{name}: {one_line(error)}"
        if pair is None:
            return Outcome(name, Result.FAILED, message)
        can_wait = isinstance(error, Unavailable) and self._has_time_left(pair)
        end = pair.certificate.not_valid_after_utc
        return Outcome(
            name,
            Result.POSTPONED if can_wait else Result.FAILED,
            f"{message}; {validity(end, self.clock())}",
            not_after=end,
        )

    def _outcome(
        self,
        tracked: TrackedCertificate,
        pair: KeyAndCertificate | None,
        result: Result,
        reason: str = "",
    ) -> Outcome:
        end = renews = None
        parts = [reason or result.value]
        if pair is not None:
            end = pair.certificate.not_valid_after_utc
            renews = due.renewal_time(tracked, pair.certificate)
            parts += [validity(end, self.clock()), f"renews from {format_time(renews)}"]
        return Outcome(
            name=tracked.name,
            result=result,
            message=f"{tracked.name}: {', '.join(parts)}",
            directory=tracked.spec.directory,
            not_after=end,
            renews=renews,
        )
