"""A certificate in short, as the inventory wants it, for a hundred thousand of them at once.

To take a certificate all apart takes a tenth of a millisecond, to find its names in its octets a
tenth of that.  So what :mod:`anchor.store.usual_certificates` finds is read right there, and
everything else is left to the library.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from typing import TYPE_CHECKING

from anchor.store.usual_certificates import Found, Unusual, find, subject_text, written_out

if TYPE_CHECKING:
    from anchor.store.parsed_certificates import ParsedCertificate

_BEGIN, _END = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"

# Keys that are written in one way only begin so: on P-256, P-384 and P-521 if they are not
# compressed, Ed25519 and Ed448; and those of RSA with the usual exponent are like that.
_CURVES = (
    bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"),
    bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004"),
    bytes.fromhex("30819b301006072a8648ce3d020106052b810400230381860004"),
    bytes.fromhex("302a300506032b6570032100"),
    bytes.fromhex("3043300506032b6571033a00"),
)
_RSA = re.compile(
    rb"0\x82..0\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x82..\x00"
    rb"0\x82..\x02\x82..\x00[\x80-\xff].*\x02\x03\x01\x00\x01",
    re.DOTALL,
).fullmatch


class Outline:
    """What a certificate says; names have their kind in front.

    Attributes:
        not_after: the last second of its validity, as RFC 3339 writes it.
    """

    __slots__ = ("_der", "_found", "_loaded", "names", "not_after")

    def __init__(self, der: bytes):
        """Read what is asked for most.

        Raises:
            ValueError: it is no certificate, or one that is not in order.
        """
        self._der = der
        self._loaded: ParsedCertificate | None = None
        try:
            found = find(der)
            self._found: Found | None = found
            self.not_after, self.names = written_out(found.end), found.names
        except (Unusual, IndexError):
            self._found = None
            self.not_after, self.names = self._parsed.not_after, self._parsed.names

    @property
    def _parsed(self) -> ParsedCertificate:
        if self._loaded is None:
            # Importing the library takes longer than it takes to read ten thousand of the usual.
            from anchor.store.parsed_certificates import ParsedCertificate  # noqa: PLC0415

            self._loaded = ParsedCertificate(self._der)
        return self._loaded

    @property
    def serial(self) -> str:
        """The serial number, in hexadecimal."""
        if self._found is None:
            return self._parsed.serial
        return self._found.serial_number.hex().lstrip("0") or "0"

    @property
    def not_before(self) -> str:
        """The first second of its validity, as RFC 3339 writes it."""
        return self._parsed.not_before if self._found is None else written_out(self._found.begin)

    @property
    def subject(self) -> str:
        """The subject as RFC 4514 writes it."""
        if self._found is None:
            return self._parsed.subject
        try:
            return subject_text(self._found.subject)
        except Unusual:
            return self._parsed.subject

    @property
    def key(self) -> str:
        """The SHA-256 over the key, as SubjectPublicKeyInfo."""
        octets = b"" if self._found is None else self._found.key
        if not (octets.startswith(_CURVES) or _RSA(octets)):
            octets = self._parsed.key
        return hashlib.sha256(octets).hexdigest()

    @property
    def is_usual(self) -> bool:
        """True if all that names something in it is in ``names``, in its canonical form."""
        return self._found is not None and self._found.is_all

    @property
    def plain_names(self) -> tuple[str, ...]:
        """The hosts, addresses, mailboxes and URIs that it names, without their kind."""
        if not self.is_usual:
            return self._parsed.plain_names
        return tuple(name.partition(":")[2] for name in self.names)


def read(pem: bytes, fingerprint: str) -> Outline:
    """The outline of a certificate.

    Args:
        pem: the certificate.
        fingerprint: the SHA-256 over its DER encoding that it should have.

    Raises:
        ValueError: it is no certificate, or one that is not in order.
    """
    if pem.startswith(_BEGIN) and pem.endswith(_END):
        # What is skipped for not being base64 shows in the fingerprint.
        der = binascii.a2b_base64(pem[len(_BEGIN) : -len(_END)])
        if hashlib.sha256(der).hexdigest() == fingerprint:
            return Outline(der)
    from anchor.store.parsed_certificates import der_in  # noqa: PLC0415  # as above

    return Outline(der_in(pem))
