"""What can go wrong, in the terms of a PKI; :mod:`anchor.web.problems` knows what HTTP makes of it.

An error's text is written for whoever asked, and may be shown to them, for every class below
:class:`RequestError`.  The text of every other class is for the operator and goes to the log only.
No text ever contains a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

# sysexits.h: EX_NOPERM.  The unit does not restart a service that ended with it.
PIN_REFUSED = 77


class AnchorError(Exception):
    """The root of all errors that Anchor raises on purpose.

    Attributes:
        exit_status: what a command ends with that fails for this.
    """

    exit_status = 1


@dataclass(frozen=True)
class ConfigProblem:
    """One thing that is wrong with a configuration, and where: ``signing_ca.default.cert_path``.

    Attributes:
        exit_status: what the service ends with.
    """

    path: str
    message: str
    exit_status: int = 1

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigurationError(AnchorError):
    """The configuration cannot be used; carries every problem there is about it."""

    def __init__(self, problems: Sequence[ConfigProblem]):
        self.problems = tuple(problems)
        self.exit_status = max((each.exit_status for each in self.problems), default=1)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def about(cls, path: str, message: str, exit_status: int = 1) -> ConfigurationError:
        """A single problem."""
        return cls([ConfigProblem(path, message, exit_status)])


class RequestError(AnchorError):
    """The requester can mend this; the text is for them."""


# A name can be as long as a request; a refusal is for reading.
MAX_SHOWN = 256


class Rejected(AnchorError):
    """A rule rejects the request; the message is for the requester.

    Args:
        message: what is wrong, in a few words.
        data: with which name, size or usage; shown to the requester and kept in the audit.
    """

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
    """Nothing has that path."""


class UnknownAuthority(UnknownPath):
    """No registration authority has that name."""


class MalformedSubmission(RequestError):
    """The submission lacks a field, has one twice, or cannot be decoded."""


class Forbidden(RequestError):
    """That is for clients in other networks."""


class UnsupportedSubmission(RequestError):
    """The submission is of a media type that Anchor does not read."""


class SubmissionTooLarge(RequestError):
    """The submission is larger than the configured limit."""


class SubmissionTooSlow(RequestError):
    """The submission did not arrive whole within its time."""


class LengthUnknown(RequestError):
    """The submission does not say how long it is."""


class UnreadableRequest(RequestError):
    """The bytes are not one well-formed certificate signing request."""


class NotAuthenticated(RequestError):
    """The credentials are missing or wrong.  The text never says which part of them."""

    def __init__(self, message: str = "the credentials were not accepted"):
        super().__init__(message)


class TooManyAttempts(RequestError):
    """Credentials were refused too often; ``retry_after`` is in seconds."""

    def __init__(self, retry_after: int):
        self.retry_after = retry_after
        super().__init__("too many failed attempts, try again later")


@dataclass(frozen=True)
class Failure:
    """A check that refused the request, and its reason."""

    check: str
    reason: str
    data: dict[str, object] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return f"{self.check}: {self.reason}"


class ValidationFailed(RequestError):
    """One or more checks refused the request."""

    def __init__(self, failures: Sequence[Failure]):
        self.failures = tuple(failures)
        super().__init__("; ".join(str(failure) for failure in self.failures))


class BackendUnavailable(AnchorError):
    """The authentication backend did not answer, or not sensibly; ``retry_after`` is in seconds."""

    def __init__(self, message: str, retry_after: int = 30):
        self.retry_after = retry_after
        super().__init__(message)


class PluginError(AnchorError):
    """A plug-in raised something other than its documented error, or answered nonsense."""


class SigningError(AnchorError):
    """The certificate could not be made, or is not what was approved."""


class StorageError(AnchorError):
    """The certificate could not be stored, so it was not handed out."""


class AuditError(AnchorError):
    """The event could not be recorded, so nothing was handed out."""


class WrongMethod(RequestError):
    """The path answers to other methods: ``allowed``."""

    def __init__(self, allowed: Sequence[str]):
        self.allowed = tuple(allowed)
        super().__init__(f"this answers to {' and '.join(self.allowed)} only")
