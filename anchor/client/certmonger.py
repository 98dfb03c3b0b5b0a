"""``anchor-certmonger``: the external helper that certmonger runs.

certmonger names the operation in ``$CERTMONGER_OPERATION`` and reads the exit code and the standard
output; see doc/source/howto/certmonger.rst.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
import syslog
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import anchor
from anchor.client import certmonger_keys, configuration, connection_options, schedule
from anchor.client.certificate_renewal import CertificateRenewal, renewed_with
from anchor.client.configuration import Client
from anchor.client.errors import ClientError, Misconfigured, Refused, Unavailable, WrongClock
from anchor.client.issued import IssuedCertificate
from anchor.client.secret_deletion import delete_secret
from anchor.errors import AnchorError, ConfigurationError
from anchor.X509.parse_errors import MALFORMED

ISSUED, REJECTED, UNCONFIGURED, WAIT, UNSUPPORTED = 0, 2, 4, 5, 6

_AUTHORITY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)
# The number of failures so far; certmonger passes it to the next call.
_COOKIE = re.compile(r"anchor-([0-9]{1,4})", re.ASCII)


@dataclass(frozen=True)
class HelperReply:
    """The exit code and the standard output for certmonger."""

    code: int
    text: str = ""


@dataclass(frozen=True)
class Helper:
    """Answers one operation.

    Attributes:
        load: reads the configuration; with False, a missing secret is no error yet.
        environment: the variables that certmonger sets.
        log: writes a line with the reason of a wait, which certmonger does not keep.
        note: writes a line that says with which credential a certificate was renewed.
    """

    load: Callable[[bool], Client]
    environment: Mapping[str, str]
    log: Callable[[str], None]
    note: Callable[[str], None]

    def answer(self) -> HelperReply:
        """The reply to the operation in the environment."""
        try:
            return self._answer()
        except Exception as error:  # noqa: BLE001  # a traceback exits with 1, after which certmonger waits seven days
            return self._later(Unavailable(f"internal error: {type(error).__name__}"))

    def _answer(self) -> HelperReply:
        match self.environment.get("CERTMONGER_OPERATION") or "SUBMIT":
            case "SUBMIT" | "POLL":
                return self._submit()
            case "IDENTIFY":
                return HelperReply(ISSUED, f"Anchor {anchor.__version__}")
            case "FETCH-ROOTS":
                return self._fetch_roots()
            case "GET-NEW-REQUEST-REQUIREMENTS" | "GET-RENEW-REQUEST-REQUIREMENTS":
                # None: the policy of the authority decides what a request must contain.
                return HelperReply(ISSUED)
            case _:
                # Templates would be the authorities, which the service does not list.
                return HelperReply(UNSUPPORTED)

    def _submit(self) -> HelperReply:
        """Reply to SUBMIT or POLL; both send the request, because Anchor answers at once."""
        try:
            certified = self._certificate()
        except Refused as error:
            return HelperReply(REJECTED, str(error))
        except WrongClock as error:
            # The clock is often set soon after the machine has started.
            return self._later(error)
        except (Misconfigured, ConfigurationError) as error:
            return HelperReply(UNCONFIGURED, _one_line(error))
        except (Unavailable, ClientError) as error:
            return self._later(error)
        # certmonger stores the chain above the leaf; it gets the root by FETCH-ROOTS.
        return HelperReply(ISSUED, certified.full_chain_pem.decode("ascii"))

    def _certificate(self) -> IssuedCertificate:
        previous = self._previous()
        client = self.load(previous is None)
        authority = self._authority()
        csr = self._csr()
        if previous is None:
            return client.sign(csr, authority=authority)
        if not client.renew_with_certificate:
            return client.sign(csr, previous, authority=authority)
        held = certmonger_keys.held_certificate(previous)
        issued = CertificateRenewal(client, csr, held, authority).run()
        self.note(renewed_with(issued))
        if client.delete_secret and issued.obtained_with == "certificate":
            self._delete_secret(client, previous)
        return issued

    def _delete_secret(self, client: Client, previous: x509.Certificate) -> None:
        """Delete the secret if no request of certmonger needs it; a failure is only logged.

        If certmonger cannot save the new certificate, the previous one can be renewed again.
        """
        path = client.secret_path
        if path is None or not os.path.lexists(path):
            return
        if names := certmonger_keys.dependents(previous):
            self.note(f"kept {path} for {', '.join(filter(None, names)) or 'other requests'}")
            return
        try:
            delete_secret(path)
        except (AnchorError, OSError) as error:
            self.log(f"the secret was not deleted: {_one_line(error)}")
        else:
            self.note(f"deleted {path}")

    def _later(self, error: ClientError, least: float = 0) -> HelperReply:
        """Reply that certmonger should retry, after a wait that grows with each failure.

        Args:
            error: the failure; its ``retry_after`` is the shortest wait.
            least: the shortest wait in seconds.
        """
        cookie = _COOKIE.fullmatch(self.environment.get("CERTMONGER_CA_COOKIE", "").strip())
        failures = min(int(cookie[1]) if cookie else 0, 9998) + 1
        seconds = max(least, schedule.wait(failures, self._seconds_left()))
        if isinstance(error, Unavailable) and error.retry_after is not None:
            seconds = max(seconds, min(error.retry_after, schedule.LONGEST_ASKED))
        self.log(f"{_one_line(error)}; again in {seconds:.0f} seconds")
        return HelperReply(WAIT, f"{max(1, round(seconds))}\nanchor-{failures}")

    def _seconds_left(self) -> float:
        """The remaining validity of the certificate to renew; infinite if there is none."""
        previous = self._previous()
        if previous is None:
            return float("inf")
        return previous.not_valid_after_utc.timestamp() - time.time()

    def _previous(self) -> x509.Certificate | None:
        """The certificate to renew, if there is one."""
        pem = self.environment.get("CERTMONGER_CERTIFICATE", "")
        try:
            previous = x509.load_pem_x509_certificate(pem.encode("ascii"))
            previous.not_valid_after_utc  # noqa: B018  # parsing it raises if it is malformed
        except MALFORMED:
            return None
        return previous

    def _authority(self) -> str | None:
        """The profile that ``getcert request -T`` sets, if any."""
        profile = self.environment.get("CERTMONGER_CA_PROFILE")
        if profile and not _AUTHORITY.fullmatch(profile):
            raise Refused(f"the profile {profile[:80]!a} is no name of a registration authority")
        return profile or None

    def _csr(self) -> x509.CertificateSigningRequest:
        try:
            pem = self.environment.get("CERTMONGER_CSR", "").encode("ascii")
            csr = x509.load_pem_x509_csr(pem)
            csr.public_key()
            tuple(csr.extensions)
        except MALFORMED:
            raise Refused("there is no certificate signing request in $CERTMONGER_CSR") from None
        return csr

    def _fetch_roots(self) -> HelperReply:
        try:
            client = self.load(False)
            if client.transport.tls is None:
                self.log("roots are fetched over verified TLS only")
                return HelperReply(UNSUPPORTED)
            issuer, *chain = client.service(self._authority()).ca()
        except (Misconfigured, ConfigurationError, Refused) as error:
            self.log(_one_line(error))
            return HelperReply(UNCONFIGURED, _one_line(error))
        except ClientError as error:
            # certmonger keeps no cookie for this operation, so every failure counts as the first.
            return self._later(error, random.uniform(30, 60))  # noqa: S311  # not a secret
        *between, root = (issuer, *chain)
        # Format: roots, blank line, other roots, blank line, other certificates of the chain.
        # certmonger skips an empty part, so "other roots" repeats the root.
        parts = [_entry(root), *([_entry(root), *map(_entry, between)] if between else [])]
        return HelperReply(ISSUED, "\n".join(parts))


def _entry(certificate: x509.Certificate) -> str:
    name = certificate.subject.rfc4514_string()
    nickname = name if name and name.isascii() and name.isprintable() else "Anchor"
    return f"{nickname}\n{_pem(certificate)}"


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


def _one_line(error: Exception) -> str:
    return "; ".join(str(error).splitlines())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as certmonger's helper and return the exit code of its protocol."""
    parser = make_parser()
    namespace = parser.parse_args(arguments)
    options = connection_options.as_settings(parser, namespace, may_ask=False)
    helper = Helper(
        lambda needs_secret: _load(options, namespace.config, needs_secret=needs_secret),
        os.environ,
        _log,
        lambda line: _log(line, syslog.LOG_NOTICE),
    )
    reply = helper.answer()
    try:
        if reply.text:
            _print(reply.text)
    except OSError as error:
        # A traceback exits with 1, after which certmonger waits seven days.
        _log(f"standard output cannot be written: {error.strerror}")
        # Python would fail once more at its exit, when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return WAIT
    return reply.code


def make_parser() -> argparse.ArgumentParser:
    """The parser of the helper's command line."""
    parser = _Parser(
        prog="anchor-certmonger",
        description="The helper with which certmonger gets certificates from Anchor: "
        "getcert add-ca -c Anchor -e '/path/to/anchor-certmonger --config FILE'",
    )
    connection_options.add_options(parser)
    return parser


def _load(
    options: Mapping[str, str | bool] | None, config: Path | None, *, needs_secret: bool
) -> Client:
    if options is not None:
        return configuration.from_options(options, needs_secret=needs_secret)
    return configuration.load(config or configuration.find(), needs_secret=needs_secret)


class _Parser(argparse.ArgumentParser):
    """A parser that exits with UNCONFIGURED; the code 2 of argparse means REJECTED."""

    def error(self, message: str) -> NoReturn:
        _print(f"{self.prog}: {message}")
        sys.exit(UNCONFIGURED)


def _print(text: str) -> None:
    """Print in UTF-8, in every locale."""
    sys.stdout.buffer.write(f"{text.rstrip()}\n".encode())
    sys.stdout.flush()


def _log(line: str, priority: int = syslog.LOG_WARNING) -> None:
    """Write a line to syslog and to standard error."""
    syslog.openlog("anchor-certmonger", syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog(priority, line)
    sys.stderr.write(f"anchor-certmonger: {line}\n")
