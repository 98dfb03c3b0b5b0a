"""The errors of the client, one class for each way to react."""

from __future__ import annotations

from anchor.errors import AnchorError


class ClientError(AnchorError):
    """There is no certificate; the text is one line for the administrator of this machine.

    Attributes:
        retry_after: the seconds to wait that the service asked for, if any.
    """

    def __init__(self, message: str, retry_after: float | None = None):
        self.retry_after = retry_after
        super().__init__(message)


class Refused(ClientError):
    """The service rejected the request; the same request will fail again."""


class Misconfigured(ClientError):
    """The administrator of this machine must correct something first."""


class CredentialsRefused(Misconfigured):
    """The service or Keystone refused the credentials."""


class NoCredentials(CredentialsRefused):
    """There is no secret, and the certificate is not accepted; a new secret changes that."""


class WrongAddress(Misconfigured):
    """The URL or the authority is wrong: the server that answered does not have it."""


class WrongClock(Misconfigured):
    """This machine's clock differs too much from the service's."""


class Unavailable(ClientError):
    """The service or the network is down, busy or faulty; another try may succeed."""


class Unwritable(ClientError):
    """The files cannot be read or written; the old files are unchanged."""
