"""The errors of Anchor; :mod:`anchor.web.problems` turns them into HTTP responses.

The text of a :class:`RequestError` or a subclass of it is shown to the requester.  The text of any
other class is for the operator and goes to the log only.  No text ever contains a secret.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

# sysexits.h: EX_NOPERM.  The systemd unit does not restart a service that exits with it.
PIN_REFUSED = 77


class AnchorError(Exception):
    """The base class of all errors that Anchor raises on purpose.

    Attributes:
        exit_status: the exit status of a command that fails with this error.
    """

    exit_status = 1


@dataclass(frozen=True)
class ConfigProblem:
    """One error in a configuration.

    Attributes:
        path: where it is, such as ``signing_ca.default.cert_path``; empty for the whole file.
        message: what is wrong.
        exit_status: the exit status of a service that fails with this problem.
    """

    path: str
    message: str
    exit_status: int = 1

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigurationError(AnchorError):
    """The configuration cannot be used; ``problems`` lists every reason."""

    def __init__(self, problems: Sequence[ConfigProblem]):
        self.problems = tuple(problems)
        self.exit_status = max((problem.exit_status for problem in self.problems), default=1)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def about(cls, path: str, message: str, exit_status: int = 1) -> ConfigurationError:
        """An error with a single problem."""
        return cls([ConfigProblem(path, message, exit_status)])


def describe_os_error(error: OSError) -> str:
    """The file and the reason, such as ``config.json: No such file or directory``."""
    reason = error.strerror or str(error) or type(error).__name__
    return reason if error.filename is None else f"{os.fsdecode(error.filename)}: {reason}"


class RequestError(AnchorError):
    """The requester can correct this; the text is for them."""


# A name can be as long as a request; a message has to stay readable.
MAX_SHOWN = 256


class Rejected(AnchorError):
    """A rule rejects the request; the message is for the requester.

    Args:
        message: what is wrong, in a few words.
        data: the names, sizes or usages concerned; shown to the requester and kept in the audit.
    """

    # A plug-in's subclass may not call this constructor.
    message = ""
    data: Mapping[str, object] = MappingProxyType({})

    def __init__(self, message: str, **data: object):
        self.message = message
        self.data = data
        shown = ", ".join(f"{key} {_shown(value)}" for key, value in data.items())
        super().__init__(f"{message} ({shown})" if shown else message)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value))
    text = str(value)
    return f"{text!a}" if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]!a}..."


class UnknownPath(RequestError):
    """There is no such path."""


class UnknownAuthority(UnknownPath):
    """No registration authority has that name."""


class MalformedSubmission(RequestError):
    """The submission lacks a field, repeats a field, or cannot be decoded."""


class Forbidden(RequestError):
    """The path is closed, or closed to clients in this network."""


class UnsupportedSubmission(RequestError):
    """The submission has a media type that Anchor does not accept."""


class SubmissionTooLarge(RequestError):
    """The submission is larger than the configured limit."""


class SubmissionTooSlow(RequestError):
    """The submission did not arrive completely within the time limit."""


class LengthUnknown(RequestError):
    """The submission does not state its length."""


class UnreadableRequest(RequestError):
    """The submission is not exactly one well-formed certificate signing request."""


class NotAuthenticated(RequestError):
    """The credentials are missing or wrong; the text never says which part is.

    Attributes:
        authentication: the authentication that refused them; empty if none did.
        schemes: the HTTP authentication schemes that would be accepted.
    """

    authentication = ""
    schemes: tuple[str, ...] = ("Basic",)

    def __init__(self, message: str = "the credentials were not accepted"):
        super().__init__(message)


class RequesterGone(NotAuthenticated):
    """The holder of a certificate may not authenticate any more, so it is not renewed."""

    def __init__(self, message: str = "the requester is not known any more"):
        super().__init__(message)


class OrderNotReady(RequestError):
    """The order of an ACME account is not ready: it has a certificate, has ended, or needs more."""


class TooManyAttempts(RequestError):
    """Too many authentication attempts failed; ``retry_after`` is in seconds."""

    authentication = ""

    def __init__(self, retry_after: int):
        self.retry_after = retry_after
        super().__init__("too many failed attempts, try again later")


@dataclass(frozen=True)
class Failure:
    """A check that rejected the request.

    Attributes:
        check: the name of the check.
        reason: why it rejected the request.
        data: the names, sizes or usages concerned, for the audit.
    """

    check: str
    reason: str
    data: Mapping[str, object] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return f"{self.check}: {self.reason}"


class ValidationFailed(RequestError):
    """One or more checks rejected the request."""

    def __init__(self, failures: Sequence[Failure]):
        self.failures = tuple(failures)
        super().__init__("; ".join(str(failure) for failure in self.failures))


class BackendUnavailable(AnchorError):
    """The authentication backend gave no usable answer; ``retry_after`` is in seconds."""

    authentication = ""

    def __init__(self, message: str = "the backend gave no answer", retry_after: int = 30):
        self.retry_after = retry_after
        super().__init__(message)


class DatabaseUnavailable(AnchorError):
    """The database is away, locked or full; ``retry_after`` is in seconds."""

    def __init__(self, message: str, retry_after: int = 5):
        self.retry_after = retry_after
        super().__init__(message)


class PluginError(AnchorError):
    """A plug-in raised an undocumented exception or returned an invalid value."""


class SigningError(AnchorError):
    """The certificate could not be made, or differs from the approved one."""


class StorageError(AnchorError):
    """The certificate could not be stored, so it was not sent."""


class AuditError(AnchorError):
    """The audit event could not be recorded, so the certificate was not sent."""


class WrongMethod(RequestError):
    """The path does not support the HTTP method, only those in ``allowed``."""

    def __init__(self, allowed: Sequence[str]):
        self.allowed = tuple(allowed)
        super().__init__(f"this path accepts only {' and '.join(self.allowed)}")
