"""What a certificate says, found in its octets if it is written as nearly every one is."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import NamedTuple

# The length of an element in as many octets as nearly all take.
_LENGTH = rb"(?:[\0-\x7f]|\x81.|\x82..)"
# A certificate, its tbsCertificate, version 3, and the size of a serial number not below zero.
_BEGINNING = re.compile(
    rb"0%b(0)%b\xa0\x03\x02\x01\x02\x02([\x01-\x7f])(?=[\0-\x7f])" % (_LENGTH, _LENGTH), re.DOTALL
).match
# A validity between two UTCTimes.
_VALIDITY = rb"0\x1e\x17\x0d([0-9]{12}Z)\x17\x0d([0-9]{12}Z)"
_VALIDITY_SIZE = 32
# Names that are no address, as 127.1 and 0x7f.1 are, and are written in one way only once they are
# in lower case.
_NAME = rb"(?:[A-Za-z0-9*_-]*\.)*[A-Za-z*_-][A-Za-z0-9*_-]*"
_PLAIN = re.compile(_NAME).fullmatch
# A subject of one common name, and how much longer it is than that.
_ONE_COMMON_NAME = rb"0(.)1.0.\x06\x03\x55\x04\x03[\x0c\x13](.)(" + _NAME + rb")"
_AROUND_COMMON_NAME = 11
# On P-256, or of RSA.
_KEY = rb"(0\x59.{89}|0\x82\x01\x22.{290}|0\x82\x02\x22.{546})"
# From extensions that are each as long as they say, those that are frequent in front, to the names
# in subjectAltName.
_SAN = b"\x06\x03\x55\x1d\x11"
_SIZES = dict.fromkeys([12, 29, 31, 14, 19, 9, *range(5, 48)])
_TO_NAMES = rb"\xa3%b0%b(?:0(?:%b))*?0%b%b(?:\x01\x01\xff)?\x04%b0(%b)" % (
    _LENGTH,
    _LENGTH,
    b"|".join(b"\\x%02x.{%d}" % (size, size) for size in _SIZES),
    _LENGTH,
    _SAN,
    _LENGTH,
    _LENGTH,
)
# DNS names, which have no octet of any kind in them, and addresses.
_NAMES = re.compile(
    rb"\x82([\0-\x7f])(" + _NAME + rb")|\x87(?:\x04(.{4})|\x10(.{16}))", re.DOTALL
).findall

_USUAL = re.compile(_VALIDITY + _ONE_COMMON_NAME + _KEY + _TO_NAMES, re.DOTALL).match
_TIMES = re.compile(_VALIDITY).match
_ALONE = re.compile(_ONE_COMMON_NAME, re.DOTALL).fullmatch
_BEHIND_KEY = re.compile(_TO_NAMES, re.DOTALL).match

_SEQUENCE, _EXTENSIONS, _BIT_STRING = 0x30, 0xA3, 0x03
_COMMON_NAME = b"\x55\x04\x03"
# Attributes that name nothing, so that nobody looks for a certificate by them: C, L, ST, STREET, O,
# OU, and the serial number of a device.
_NAMELESS = frozenset(b"\x55\x04%c" % number for number in (5, 6, 7, 8, 9, 10, 11))
_STRINGS = (0x0C, 0x13, 0x16)  # UTF8String, PrintableString, IA5String
# RFC 4514 section 3, and values of which nothing has to be escaped.
_SHORT = {
    _COMMON_NAME: "CN",
    b"\x55\x04\x06": "C",
    b"\x55\x04\x07": "L",
    b"\x55\x04\x08": "ST",
    b"\x55\x04\x09": "STREET",
    b"\x55\x04\x0a": "O",
    b"\x55\x04\x0b": "OU",
    b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19": "DC",
}
_UNESCAPED = re.compile(rb"[A-Za-z0-9_.*-](?:[A-Za-z0-9_.* -]*[A-Za-z0-9_.*-])?").fullmatch


class Unusual(Exception):
    """A certificate is not written as nearly every other one."""


class Found(NamedTuple):
    """What is asked of a certificate.

    Attributes:
        serial_number: its octets.
        begin: the first second of its validity, as it stands there.
        end: the last one.
        subject: in DER.
        key: the SubjectPublicKeyInfo in DER.
        names: with their kind in front, each once.
        is_all: True if the subject has no other names in it, such as domainComponents.
    """

    serial_number: bytes
    begin: bytes
    end: bytes
    subject: bytes
    key: bytes
    names: tuple[str, ...]
    is_all: bool


def find(der: bytes) -> Found:
    """What is asked of a certificate.

    Whoever reads these octets as a certificate reads the same in them.

    Raises:
        Unusual: they are written in another way, or are no certificate; or IndexError.
    """
    beginning = _BEGINNING(der)
    if beginning is None:
        raise Unusual
    at = beginning.end()
    serial_number = der[at : at + beginning[2][0]]
    at += len(serial_number)
    # The signature's algorithm, and the issuer.
    at = _after(der, _after(der, at))
    usual = _USUAL(der, at)
    is_all = True
    if usual is None:
        begin, end, subject, extensions = _in_steps(der, at)
        key = der[at + _VALIDITY_SIZE + len(subject) : extensions]
        common_names = _common_names(subject)
        is_all = all(
            kind == _COMMON_NAME or kind in _NAMELESS for kind, _, _ in _attributes(subject)
        )
        to_names = _BEHIND_KEY(der, extensions)
    else:
        begin, end, around, size, name, key, _ = usual.groups()
        if (
            size[0] != len(name)
            or around[0] != len(name) + _AROUND_COMMON_NAME
            # Beyond it a length takes more than one octet.
            or around[0] > 0x7F
        ):
            raise Unusual
        subject = der[at + _VALIDITY_SIZE : usual.start(6)]
        extensions = usual.end(6)
        common_names = [f"CN:{name.decode().lower()}"]
        to_names = usual
    behind = _behind_extensions(der, beginning.start(1), extensions)
    names = _alternative_names(der, extensions, to_names, behind) + common_names
    return Found(serial_number, begin, end, subject, key, tuple(dict.fromkeys(names)), is_all)


def _in_steps(der: bytes, at: int) -> tuple[bytes, bytes, bytes, int]:
    """Begin, end and subject, with the validity at some place; and where the extensions are."""
    validity = _TIMES(der, at)
    if validity is None:
        raise Unusual
    at += _VALIDITY_SIZE
    key = _after(der, at)
    extensions = _after(der, key)
    if der[key] != _SEQUENCE or der[extensions] != _EXTENSIONS:
        raise Unusual
    return validity[1], validity[2], der[at:key], extensions


def _behind_extensions(der: bytes, signed: int, extensions: int) -> int:
    """Where they end, if all that is signed ends there, and the certificate with the signature."""
    behind = _after(der, extensions)
    signature = _after(der, behind)
    if (
        behind != _after(der, signed)
        or der[behind] != _SEQUENCE
        or der[signature] != _BIT_STRING
        or not len(der) == _after(der, 0) == _after(der, signature)
    ):
        raise Unusual
    return behind


# Remembered, as many certificates end within the same second.
@functools.lru_cache(maxsize=1024)
def written_out(utc_time: bytes) -> str:
    """RFC 5280 4.1.2.5.1: two figures of the year, from 1950 to 2049."""
    text = utc_time.decode()
    return (
        f"{'20' if text < '5' else '19'}{text[:2]}-{text[2:4]}-{text[4:6]}"
        f"T{text[6:8]}:{text[8:10]}:{text[10:]}"
    )


def _after(der: bytes, at: int) -> int:
    """Where the element ends that begins at some place."""
    size = der[at + 1]
    if size < 0x80:
        return at + 2 + size
    if size == 0x82:
        return at + 4 + (der[at + 2] << 8 | der[at + 3])
    if size == 0x81:
        return at + 3 + der[at + 2]
    raise Unusual


def _common_names(subject: bytes) -> list[str]:
    found = []
    for kind, string, value in _attributes(subject):
        if kind == _COMMON_NAME:
            if string not in _STRINGS or not _PLAIN(value):
                raise Unusual
            found.append(f"CN:{value.decode().lower()}")
    return found


def subject_text(subject: bytes) -> str:
    """A subject that was found, as RFC 4514 writes it.

    Raises:
        Unusual: something in it would have to be escaped, or is seldom there.
    """
    alone = _ALONE(subject)
    if alone is not None and alone[2][0] == len(alone[3]):
        return f"CN={alone[3].decode()}"
    parts = []
    for kind, string, value in _attributes(subject):
        if kind not in _SHORT or string not in _STRINGS or not _UNESCAPED(value):
            raise Unusual
        parts.append(f"{_SHORT[kind]}={value.decode()}")
    # Section 2.1: the last part comes first.
    return ",".join(reversed(parts))


def _attributes(subject: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """The parts of a subject, each of one attribute: its type, the kind of its value, and that."""
    at, end = 2 if subject[1] < 0x80 else subject[1] - 0x7E, len(subject)
    while at < end:
        start, size = at + 6, subject[at + 1]
        # The set has one attribute in it.
        if size > 0x7F or subject[at + 3] != size - 2:
            raise Unusual
        at += 2 + size
        value = start + subject[start - 1]
        yield subject[start:value], subject[value], subject[value + 2 : at]


def _alternative_names(
    der: bytes, extensions: int, to_names: re.Match[bytes] | None, behind: int
) -> list[str]:
    """Those in the extensions, which are between two places; a match leads to the first name."""
    if to_names is None or to_names.end() > behind:
        if der.find(_SAN, extensions, behind) < 0:
            return []
        raise Unusual
    at = to_names.end()
    end = _after(der, to_names.start(to_names.re.groups) - 1)
    names = []
    for size, name, four, sixteen in _NAMES(der, at, end):
        if name:
            if size[0] != len(name):
                raise Unusual
            names.append(f"DNS:{name.decode().lower()}")
            at += 2 + len(name)
        elif four:
            names.append(f"IP:{four[0]}.{four[1]}.{four[2]}.{four[3]}")
            at += 6
        else:
            names.append(f"IP:{ip_address(sixteen)}")
            at += 18
    # Nothing was passed over.
    if at != end or end > behind or not names:
        raise Unusual
    return names
