"""The forms in which programs write and read one host: encoded, mapped, or as a number."""

from __future__ import annotations

import re
import socket
import unicodedata
from collections.abc import Iterator
from ipaddress import IPv4Address
from urllib.parse import unquote

import idna

from anchor.X509.dns_names import MAX_LABEL

_QUAD = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+", re.ASCII)
# Characters that UTS 46 keeps and its predecessor maps.
_DEVIATIONS = str.maketrans({0xDF: "ss", 0x3C2: 0x3C3, 0x200C: None, 0x200D: None})


def percent_decode(text: str) -> str:
    """The text without percent-encoding, even if it was encoded up to three times."""
    for _ in range(3):
        decoded = unquote(text) if "%" in text else text
        if decoded == text:
            break
        text = decoded
    return text


def fold(text: str) -> str:
    """The text in lower case, with each character mapped as resolvers map it (UTS 46)."""
    try:
        return idna.uts46_remap(text, std3_rules=False)
    except UnicodeError:
        # One invalid character must not hide a host beside it.
        return unicodedata.normalize("NFC", "".join(map(_fold_character, text)))


def _fold_character(character: str) -> str:
    try:
        return idna.uts46_remap(character, std3_rules=False)
    except UnicodeError:
        return unicodedata.normalize("NFKC", character).casefold()


def ascii_forms(name: str) -> list[str]:
    """The host name in punycode: one form, or two if IDNA 2003 and 2008 differ."""
    if name.isascii():
        return [name]
    forms = dict.fromkeys((name, name.translate(_DEVIATIONS)))
    return [".".join(map(_a_label, form.split("."))) for form in forms]


def _a_label(label: str) -> str:
    """The label in punycode (RFC 3492), even if it is not valid IDNA: deny-lists compare it."""
    if label.isascii() or len(label) > MAX_LABEL:
        return label
    return f"xn--{label.encode('punycode').decode('ascii')}"


def numeric_addresses(name: str, *, is_alone: bool) -> Iterator[IPv4Address]:
    """The addresses that resolvers read in a name that ends in a number: ``127.1``, ``0x7f.1``.

    Args:
        name: a text without a dot at its end.
        is_alone: False for a word in a longer text, where a number may be just a number.
    """
    if _QUAD.fullmatch(name):
        # Some programs read leading zeros as octal, others ignore them.
        parts = [part.lstrip("0") or "0" for part in name.split(".")]
        if all(len(part) <= 3 and int(part) <= 255 for part in parts):
            yield IPv4Address(".".join(parts))
    elif not is_alone:
        return
    try:
        yield IPv4Address(socket.inet_aton(name))
    except (OSError, ValueError):
        return
