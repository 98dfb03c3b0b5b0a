"""The text of name attributes, and its string type in the certificate.

RFC 5280 section 4.1.2.4 requires UTF8String or PrintableString in certificates.  Requests may use
older types; the certificate then has the same text in a type that RFC 5280 allows.
"""

from __future__ import annotations

import string
from typing import NamedTuple

from cryptography import x509
from cryptography.x509.oid import NameOID

from anchor.errors import UnreadableRequest
from anchor.X509.attribute_names import name_of_attribute

# The tags of X.680 section 8.
UTF8, NUMERIC, PRINTABLE, TELETEX = 0x0C, 0x12, 0x13, 0x14
IA5, VISIBLE, UNIVERSAL, BMP = 0x16, 0x1A, 0x1C, 0x1E

_TYPE_NAMES = {
    0x01: "BOOLEAN",
    0x02: "INTEGER",
    0x03: "BIT STRING",
    0x04: "OCTET STRING",
    0x05: "NULL",
    UTF8: "UTF8String",
    NUMERIC: "NumericString",
    PRINTABLE: "PrintableString",
    TELETEX: "TeletexString",
    IA5: "IA5String",
    0x17: "UTCTime",
    0x18: "GeneralizedTime",
    VISIBLE: "VisibleString",
    0x1B: "GeneralString",
    UNIVERSAL: "UniversalString",
    BMP: "BMPString",
    0x30: "SEQUENCE",
    0x31: "SET",
}

# X.680 41: the allowed bytes, for string types with one byte per character.
_DIGITS = string.digits.encode("ascii")
_ASCII = bytes(range(0x80))
_PRINTABLE_BYTES = string.ascii_letters.encode("ascii") + _DIGITS + b" '()+,-./:=?"
_ALLOWED = {
    NUMERIC: _DIGITS + b" ",
    PRINTABLE: _PRINTABLE_BYTES,
    # Programs read other bytes differently: as T.61, Latin-1 or a local code page.
    TELETEX: _ASCII,
    IA5: _ASCII,
    VISIBLE: bytes(range(0x20, 0x7F)),
}
# Common programs put "*" and "&" into PrintableString; Go and others accept both.
_ACCEPTED = _ALLOWED | {PRINTABLE: _PRINTABLE_BYTES + b"*&"}
_CODECS = {UTF8: "utf-8", UNIVERSAL: "utf-32-be", BMP: "utf-16-be"}

# RFC 5280 appendix A.1: attributes with another syntax than DirectoryString.
_PRINTABLE_ONLY = frozenset(
    {
        NameOID.COUNTRY_NAME,
        NameOID.JURISDICTION_COUNTRY_NAME,
        NameOID.SERIAL_NUMBER,
        NameOID.DN_QUALIFIER,
    }
)
_IA5_ONLY = frozenset({NameOID.EMAIL_ADDRESS, NameOID.DOMAIN_COMPONENT})

# All other attributes of X.520 are DirectoryStrings, except telephoneNumber, x121Address,
# internationalISDNNumber and destinationIndicator.
_X520 = "2.5.4."
_X520_OTHERS = frozenset({"2.5.4.20", "2.5.4.24", "2.5.4.25", "2.5.4.27"})
_DIRECTORY_STRINGS = frozenset(
    {
        NameOID.USER_ID,
        NameOID.JURISDICTION_LOCALITY_NAME,
        NameOID.JURISDICTION_STATE_OR_PROVINCE_NAME,
        # unstructuredAddress (RFC 2985 5.4.3)
        x509.ObjectIdentifier("1.2.840.113549.1.9.8"),
    }
)

# RFC 5280 appendix A.1, in characters.  Browsers and libraries reject other country codes, and many
# programs truncate longer common names.  The validator standards_compliance has more limits.
_LENGTHS = {
    NameOID.COMMON_NAME: range(1, 64 + 1),
    NameOID.COUNTRY_NAME: range(2, 2 + 1),
    NameOID.JURISDICTION_COUNTRY_NAME: range(2, 2 + 1),
}


class NameString(NamedTuple):
    """A text, and the tag of its string type in a certificate."""

    text: str
    tag: int

    def contents(self) -> bytes:
        """The encoded text, without tag and length."""
        return self.text.encode("utf-8" if self.tag == UTF8 else "ascii")

    def invalid_character(self) -> str:
        """The first character that the string type does not allow, or an empty text."""
        allowed = _ALLOWED.get(self.tag)
        if allowed is None:
            return ""
        return self.text.encode("utf-8").translate(None, allowed).decode("utf-8")[:1]


def read(oid: x509.ObjectIdentifier, tag: int, contents: bytes, what: str) -> NameString:
    """The text of an attribute, in its string type for the certificate.

    Args:
        oid: the type of the attribute.
        tag: the tag of its value.
        contents: the contents of its value.
        what: the name that contains it, for messages, such as ``the subject``.

    Raises:
        UnreadableRequest: the value is not a valid string, or cannot be in a certificate.
    """
    text = _text(tag, contents, f"{name_of_attribute(oid)} in {what}")
    lengths = _LENGTHS.get(oid)
    if lengths is not None and len(text) not in lengths:
        wanted = f"{lengths[0]} to {lengths[-1]}" if len(lengths) > 1 else str(lengths[0])
        raise UnreadableRequest(
            f"{name_of_attribute(oid)} in {what} is {len(text)} characters long, not {wanted}"
        )
    certified = NameString(text, _certified_tag(oid, tag, text))
    character = certified.invalid_character()
    if character:
        raise UnreadableRequest(
            f"{name_of_attribute(oid)} in {what} has the character {character!a}, which no "
            f"{_TYPE_NAMES[certified.tag]} can have"
        )
    return certified


def _text(tag: int, contents: bytes, which: str) -> str:
    allowed = _ACCEPTED.get(tag)
    if allowed is not None:
        bad = contents.translate(None, allowed)
        if bad:
            shown = f"the character {chr(bad[0])!a}" if bad[0] < 0x80 else f"the byte {bad[0]:#x}"
            raise UnreadableRequest(
                f"{which}, which is of the type {_TYPE_NAMES[tag]}, has {shown}: send a UTF8String"
            )
        return contents.decode("ascii")
    codec = _CODECS.get(tag)
    if codec is None:
        kind = _TYPE_NAMES.get(tag, f"[{tag:#x}]")
        raise UnreadableRequest(f"{which} is of the type {kind}: send a UTF8String")
    try:
        text = contents.decode(codec)
    except UnicodeDecodeError:
        text = None
    # X.680 41.15: a BMPString has no characters beyond U+FFFF, so no surrogate pairs.
    if text is None or (tag == BMP and max(text, default="") > "\uffff"):
        raise UnreadableRequest(f"{which} is not a valid {_TYPE_NAMES[tag]}")
    return text


def _certified_tag(oid: x509.ObjectIdentifier, tag: int, text: str) -> int:
    """The tag in the certificate, for a text with this tag in the request."""
    if oid in _PRINTABLE_ONLY:
        return PRINTABLE
    if oid in _IA5_ONLY:
        return IA5
    if tag in (IA5, NUMERIC, VISIBLE) and not _is_directory_string(oid):
        # The syntax of the attribute is unknown, and RFC 5280 does not forbid the type.
        return tag
    return PRINTABLE if tag == PRINTABLE and not NameString(text, tag).invalid_character() else UTF8


def _is_directory_string(oid: x509.ObjectIdentifier) -> bool:
    dotted = oid.dotted_string
    return oid in _DIRECTORY_STRINGS or (dotted.startswith(_X520) and dotted not in _X520_OTHERS)
