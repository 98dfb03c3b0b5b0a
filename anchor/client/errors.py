"""What can go wrong for a client, by what can be done about it."""

from __future__ import annotations

from anchor.errors import AnchorError


class ClientError(AnchorError):
    """There is no certificate; the text says why, in one line, to whoever runs this machine.

    Attributes:
        retry_after: how many seconds the service wants to be left alone, if it said so.
    """

    def __init__(self, message: str, retry_after: float | None = None):
        self.retry_after = retry_after
        super().__init__(message)


class Refused(ClientError):
    """The service looked at the request and said no; asking again as it is does not help."""


class Misconfigured(ClientError):
    """Something on this machine has to be put right first."""


class CredentialsRefused(Misconfigured):
    """The service, or Keystone, refused the credentials; others are needed."""


class WrongAddress(Misconfigured):
    """The URL or the authority is wrong: a server answered, and knows nothing of it."""


class WrongClock(Misconfigured):
    """This machine's clock differs from the service's by too much."""


class Unavailable(ClientError):
    """It may pass: the service, or something on the way to it, is down, busy or confused."""


class Unwritable(ClientError):
    """The files cannot be read or written; what was there before is there still."""
