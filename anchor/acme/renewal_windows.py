"""When to renew a certificate, spread over the machines (RFC 9773 section 4.2)."""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass

from anchor.store.records import CertificateRecord

# Times in the response have whole seconds, and Caddy ignores a window of a second.
_MIN_WIDTH = datetime.timedelta(seconds=2)


@dataclass(frozen=True)
class Window:
    """The time in which a client should renew a certificate.

    Attributes:
        start: its first second, in UTC.
        end: its last second, in UTC.
    """

    start: datetime.datetime
    end: datetime.datetime


def renewal_window(since: datetime.datetime, until: datetime.datetime, serial: str) -> Window:
    """The time to renew a certificate that is not revoked.

    It starts after a half to two thirds of the life, and is a twelfth of the life long.  The start
    depends on the serial number only: some clients renew in the first second, and not all machines
    may do so at once.

    Args:
        since: when the certificate was issued, in UTC.
        until: the last second of its validity, in UTC.
        serial: its serial number in hexadecimal.
    """
    life = until - since
    digest = hashlib.sha256(serial.encode("ascii")).digest()
    fraction = int.from_bytes(digest[:6], "big") / (1 << 48)
    start = (since + life * (1 / 2 + fraction / 6)).replace(microsecond=0)
    width = datetime.timedelta(seconds=life // datetime.timedelta(seconds=12))
    return Window(start, start + max(width, _MIN_WIDTH))


def window_of(record: CertificateRecord) -> Window:
    """The time to renew a certificate of the inventory that is not revoked."""
    # notBefore is set back for clocks that lag.
    issued = record.issuance.issued_at if record.issuance else record.not_before
    return renewal_window(max(issued, record.not_before), record.not_after, record.serial)
