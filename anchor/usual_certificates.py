"""What a certificate says, found in its octets if it is written as nearly every one is.

One as Anchor makes most of them is read by one expression, another element by element.
"""

from __future__ import annotations

import functools
import re
from ipaddress import ip_address

_VERSION_3 = b"\xa0\x03\x02\x01\x02"
# A validity between two UTCTimes, and where in it the second one begins and ends.
_UTC_TIMES, _UTC_TIME, _SECOND_TIME, _AROUND_TIMES = b"\x30\x1e\x17\x0d", 0x17, 17, 32
_EXTENSIONS, _OCTET_STRING, _BOOLEAN = 0xA3, 0x04, 0x01
_ATTRIBUTE, _COMMON_NAME = b"\x06\x03\x55\x04", 0x03
_STRINGS = (0x0C, 0x13)  # UTF8String, PrintableString
_SAN, _CRITICAL = b"\x06\x03\x55\x1d\x11", b"\x01\x01\xff"
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87

# Names that are no address, and are written in one way only once they are in lower case.
_NAME = rb"[A-Za-z0-9*_.-]{0,126}[A-Za-z*_-]"
_PLAIN = re.compile(_NAME).fullmatch
# What most have: a subject of one common name, a subjectAltName of one DNS name.
_ONE_COMMON_NAME = re.compile(
    rb"0.1.0.\x06\x03\x55\x04\x03[\x0c\x13](.)(" + _NAME + rb")", re.DOTALL
).fullmatch
_ONE_DNS_NAME = re.compile(rb"0(.)\x82(.)(" + _NAME + rb")", re.DOTALL).fullmatch

# The certificate and its tbsCertificate, their lengths in two octets, and a serial number.
_BEGINNING = re.compile(
    rb"\x30\x82..\x30\x82..\xa0\x03\x02\x01\x02\x02[\x01-\x7f][\0-\x7f]", re.DOTALL
).match
_SERIAL = 15  # where the number itself begins
# From the validity to subjectAltName, for a subject of one common name, a key on P-256 or a usual
# RSA key, extensions of which every length is known, and one DNS name.
_USUAL = re.compile(
    rb"\x30\x1e\x17\x0d([0-9]{12}Z)\x17\x0d([0-9]{12}Z)"
    rb"0(.)1.0.\x06\x03\x55\x04\x03[\x0c\x13](.)(" + _NAME + rb")"
    rb"(\x30\x59.{89}|\x30\x82\x01\x22.{290}|\x30\x82\x02\x22.{546})"
    rb"\xa3(?:\x81.|\x82..|.)0(?:\x81.|\x82..|.)"
    rb"(?:0\x09.{9}|0\x0c.{12}|0\x0e.{14}|0\x13.{19}|0\x1d.{29}|0\x1f.{31})*?"
    rb"0(.)\x06\x03\x55\x1d\x11\x04(.)0(.)\x82(.)(" + _NAME + rb")",
    re.DOTALL,
).match


class Unusual(Exception):
    """A certificate is not written as nearly every other one."""


def find_at_once(der: bytes) -> tuple[bytes, str, str, bytes, tuple[str, ...]]:
    """What is asked of a certificate as Anchor makes most of them.

    That is the beginning, as it stands there, the end, the subject, the key and the names.

    Every length on the way to what is read is looked at, so whoever reads these octets as a
    certificate reads the same in them.

    Raises:
        Unusual: it is another one, or none; or IndexError.
    """
    if not _BEGINNING(der):
        raise Unusual
    at = _SERIAL + der[_SERIAL - 1]
    algorithm = der[at + 1]
    at += 2 + algorithm
    issuer = der[at + 1]
    match = _USUAL(der, at + 2 + issuer)
    if match is None or algorithm > 0x7F or issuer > 0x7F:
        raise Unusual
    begin, end, subject, length, common_name, key, names, value, sequence, size, name = (
        match.groups()
    )
    here, there = len(common_name), len(name)
    if not (
        (length[0], subject[0]) == (here, here + 11)
        and (size[0], sequence[0]) == (there, there + 2)
        and (value[0], names[0]) == (there + 4, there + 11)
        # Beyond it a length takes more than one octet.
        and max(here, there) + 11 < 0x80
    ):
        raise Unusual
    text = common_name.decode()
    return (
        begin,
        written_out(end),
        f"CN={text}",
        key,
        ("DNS:" + name.decode().lower(), "CN:" + text.lower()),
    )


def serial_number(der: bytes) -> str:
    """The serial number, in hexadecimal, of a certificate that :func:`find_at_once` took."""
    octets = der[_SERIAL : _SERIAL + der[_SERIAL - 1]]
    return octets.hex().lstrip("0") or "0"


def find(der: bytes) -> tuple[str, str, bytes, tuple[str, ...]]:
    """The end, the subject, the key and the names, if they are written as nearly always.

    The library has read the octets as a certificate before, and so proved all of its structure but
    the contents of its extensions.

    Raises:
        Unusual: they are written in another way.
    """
    at = _inside(der, _inside(der, 0))
    if not der.startswith(_VERSION_3, at):
        raise Unusual
    at += len(_VERSION_3)
    for _ in range(3):  # the serial number, the signature's algorithm, and the issuer
        size = der[at + 1]
        at = at + 2 + size if size < 0x80 else _after(der, at)
    if not der.startswith(_UTC_TIMES, at) or der[at + _SECOND_TIME] != _UTC_TIME:
        raise Unusual
    not_after = written_out(der[at + _SECOND_TIME + 2 : at + _AROUND_TIMES])
    at += _AROUND_TIMES
    after = _after(der, at)
    alone = _ONE_COMMON_NAME(der, at, after)
    if alone is not None and alone[1][0] == len(alone[2]):
        # Nothing in it has to be escaped, and nothing else is there.
        common_names = [alone[2].decode()]
        subject = f"CN={common_names[0]}"
    else:
        common_names = _common_names(der[at:after])
        subject = ""
    at = after
    after = _after(der, at)
    key = der[at:after]
    if der[after] != _EXTENSIONS:
        raise Unusual
    found: list[str] = []
    at, end = _inside(der, _inside(der, after)), _after(der, after)
    place = der.find(_SAN, at, end)
    if place > 0:
        # It is one extension of several, and neither a part of another nor there twice.
        start, length = at + 2, der[at + 1]
        while start < place and length < 0x80:
            at = start + length
            start, length = at + 2, der[at + 1]
        if length > 0x7F:
            start = _inside(der, at)
        if start != place or der.find(_SAN, place + 1, end) > 0:
            raise Unusual
        start += len(_SAN)
        if der[start] == _BOOLEAN:
            start += len(_CRITICAL)
        if der[start] != _OCTET_STRING:
            raise Unusual
        found = _alternative_names(der[_inside(der, start) : _after(der, at)])
    found += ["CN:" + name.lower() for name in common_names]
    return not_after, subject, key, tuple(dict.fromkeys(found))


# Remembered, as many certificates end within the same second.
@functools.lru_cache(maxsize=1024)
def written_out(utc_time: bytes) -> str:
    """RFC 5280 4.1.2.5.1: two figures of the year, from 1950 to 2049."""
    text = utc_time.decode()
    return (
        f"{'20' if text < '5' else '19'}{text[:2]}-{text[2:4]}-{text[4:6]}"
        f"T{text[6:8]}:{text[8:10]}:{text[10:]}"
    )


def _inside(der: bytes, at: int) -> int:
    """Where the contents begin of the element that begins at some place."""
    size = der[at + 1]
    return at + 2 if size < 0x80 else at + size - 0x7E


def _after(der: bytes, at: int) -> int:
    """Where the element ends that begins at some place."""
    size, start = der[at + 1], at + 2
    if size < 0x80:
        return start + size
    start += size - 0x80
    return start + int.from_bytes(der[at + 2 : start], "big")


def _common_names(subject: bytes) -> list[str]:
    """Those in a subject of which each part is one plain attribute."""
    at, end = _inside(subject, 0), len(subject)
    found = []
    while at < end:
        start, size = at + 4, subject[at + 1]
        at += 2 + size
        # Sizes of the set, of the one attribute in it, and of that one's value fit each other.
        if (
            size > 0x7F
            or subject[start - 1] != size - 2
            or not subject.startswith(_ATTRIBUTE, start)
            or subject[start + 5] not in _STRINGS
        ):
            raise Unusual
        value = subject[start + 7 : at]
        if subject[start + 4] == _COMMON_NAME:
            if not _PLAIN(value):
                raise Unusual
            found.append(value.decode())
        elif not value.isascii():
            raise Unusual
    return found


def _alternative_names(value: bytes) -> list[str]:
    """Those in the value of the extension, which are DNS names and addresses."""
    end = len(value)
    one = _ONE_DNS_NAME(value)
    if one is not None and one[1][0] == end - 2 and one[2][0] == len(one[3]):
        return ["DNS:" + one[3].decode().lower()]
    if end < 4:
        raise Unusual
    # DER has one way of writing a length.
    if end < 0x82:
        at, header = 2, bytes((0x30, end - 2))
    elif end < 0x103:
        at, header = 3, bytes((0x30, 0x81, end - 3))
    else:
        at, header = 4, b"\x30\x82" + (end - 4).to_bytes(4, "big")[2:]
    if not value.startswith(header):
        raise Unusual
    found = []
    while at < end - 1:
        kind, size, start = value[at], value[at + 1], at + 2
        at = start + size
        name = value[start:at]
        if kind == _DNS_NAME and _PLAIN(name):
            found.append("DNS:" + name.decode().lower())
        elif kind == _IP_ADDRESS and size in (4, 16):
            found.append(f"IP:{ip_address(name)}")
        else:
            raise Unusual
    if at != end or not found:
        raise Unusual
    return found
