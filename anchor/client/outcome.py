"""The result of a request or a renewal, for people and for scripts."""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass
from pathlib import Path

from anchor.client.issued import ObtainedWith
from anchor.errors import AnchorError
from anchor.timestamps import timestamp


class Result(enum.Enum):
    """The result; the values are for scripts."""

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
    """The result for one certificate; ``message`` and ``warning`` are one line each.

    Attributes:
        obtained_with: the kind of credential that the service accepted for a new certificate.
        why_secret: why a renewal used the secret and not the certificate; may be empty.
        deleted_secret: the file of the secret that is no longer needed and was deleted.
    """

    name: str
    result: Result
    message: str
    directory: Path | None = None
    not_after: datetime.datetime | None = None
    renews: datetime.datetime | None = None
    warning: str = ""
    obtained_with: ObtainedWith | None = None
    why_secret: str = ""
    deleted_secret: Path | None = None


def validity(end: datetime.datetime, now: float) -> str:
    """A phrase that says until when a certificate is valid, or when it expired.

    Args:
        end: the certificate's notAfter.
        now: in seconds since the epoch.
    """
    return f"{'valid until' if end.timestamp() > now else 'EXPIRED at'} {format_time(end)}"


def one_line(error: AnchorError) -> str:
    """The text of an error in one line."""
    return "; ".join(str(error).splitlines())


def format_time(time: datetime.datetime) -> str:
    """A time of any zone in RFC 3339, in UTC and to the second."""
    return timestamp(time.astimezone(datetime.UTC))
