"""From the octets that were submitted to a certificate signing request."""

from __future__ import annotations

import functools

from anchor import cmc
from anchor.errors import UnreadableRequest
from anchor.X509 import pem
from anchor.X509.signing_request import PEM_LABELS, X509Csr

ENCODINGS = ("pem", "der")

# Windows labels a CMC message as a certificate request too: the contents tell, not the label.
_LABELS = PEM_LABELS | cmc.PEM_LABELS

# Many machines send the request that they made once each time they renew, and reading it and
# verifying its signature is a fifth of the work for a certificate.  Octets that were read before
# are the same value, and prove the same.  There is room for 500 machines, in some 5 MB of each
# process.
REMEMBERED = 512
REMEMBERED_OCTETS = 2048


def read(octets: bytes, encoding: str) -> X509Csr:
    """The request in them, a PKCS#10 or one in a CMC message, whichever it is.

    Args:
        octets: as they were submitted.
        encoding: ``pem`` or ``der``.

    Raises:
        UnreadableRequest: there is none, or more than one, or it is not well-formed.
    """
    if encoding not in ENCODINGS:
        raise UnreadableRequest(f"the encoding is none of {', '.join(ENCODINGS)}")
    if len(octets) > REMEMBERED_OCTETS:
        return _read(octets, encoding)
    return _read_or_remembered(octets, encoding)


def _read(octets: bytes, encoding: str) -> X509Csr:
    der = pem.decode(octets, _LABELS) if encoding == "pem" else octets
    return X509Csr.from_der(cmc.unwrapped(der) if cmc.is_content_info(der) else der)


def forget() -> None:
    """What was read before is read anew; for measuring what that costs."""
    _read_or_remembered.cache_clear()


_read_or_remembered = functools.lru_cache(maxsize=REMEMBERED)(_read)
