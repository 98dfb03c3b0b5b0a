"""The syntax of DNS names in certificates (RFC 1034, 1123, 5280 section 4.2.1.6, 6125, 5891)."""

from __future__ import annotations

import re
from ipaddress import ip_address

import idna

MAX_NAME = 253
MAX_LABEL = 63
# In characters, over all different punycode labels of a request: enough for a hundred usual labels.
# Some labels take a millisecond to check, such as those with Arabic digits.
MAX_PUNYCODE = 1500

# A quick test before ipaddress, whose exceptions are slow.
_MAY_BE_AN_ADDRESS = re.compile(r"[0-9a-f:.]+(%.*)?", re.ASCII | re.IGNORECASE)
# Resolvers read a name that ends in a number as an address: 127.1, 0x7f000001.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII | re.IGNORECASE)

# Characters that neither a host name nor an attempt at one contains.
_NOT_IN_HOST_NAMES = re.compile(r"""[ @,;=+"'()<>&#!?|{}~^$`]""")
# An attempt at an IPv6 address, or a name with a port.
_WITH_COLONS = re.compile(r"\[?[0-9a-f:.]+\]?(%.*)?|[^:]*:[0-9]*", re.ASCII | re.IGNORECASE)
# RFC 3490 3.1: label separators in internationalised names.
_DOTS = frozenset(".\u3002\uff0e\uff61")
# The most that a label may be; the policy can be stricter.
_ANY_LABEL = re.compile(r"[a-z0-9_-]+", re.ASCII | re.IGNORECASE)


def resembles_host_name(text: str) -> bool:
    """True if a client could take a common name for a DNS name; False for an address."""
    if is_address(text) or _NOT_IN_HOST_NAMES.search(text):
        return False
    if ":" in text and "//" not in text and not _WITH_COLONS.fullmatch(text):
        # For example system:node:worker-1.example.com.
        return False
    return "*" in text or not _DOTS.isdisjoint(text)


def host_name(common_name: str) -> str | None:
    """The DNS name in a common name, in ASCII; None if it is not a host name.

    Raises:
        ValueError: it resembles a host name, but is malformed; the message says how.
    """
    name = common_name.removesuffix(".")
    if not name.isascii():
        name = to_a_labels(name) or name
    errors = NameSyntax(_ANY_LABEL).errors(name)
    if not errors and ("." in name or not (name.startswith("-") or name.endswith("-"))):
        return name
    if errors and resembles_host_name(common_name):
        raise ValueError(errors[0])
    return None


def to_a_labels(name: str) -> str | None:
    """The name with its labels in punycode (RFC 5890); None if it is not valid IDNA.

    A name that IDNA would map to another one is not valid; only upper case is mapped.
    """
    try:
        encoded = idna.encode(name, uts46=True, std3_rules=True).decode("ascii")
        return encoded if "." in name and idna.decode(encoded) == name.lower() else None
    except UnicodeError:
        return None


def is_address(text: str) -> bool:
    """True for the text of an IPv4 or IPv6 address."""
    if not _MAY_BE_AN_ADDRESS.fullmatch(text):
        return False
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def ends_in_a_number(name: str) -> bool:
    """True if resolvers read the name as an address, or as an attempt at one."""
    return _NUMBER.fullmatch(name.removesuffix(".").rpartition(".")[2]) is not None


class NameSyntax:
    """A checker for the DNS names of one request.

    Args:
        label_re: the pattern that each whole label has to match, except a wildcard.
    """

    def __init__(self, label_re: re.Pattern[str]):
        self._label_re = label_re
        # The names of a request share many labels.
        self._error_by_label: dict[str, str | None] = {}
        self._remaining_punycode = MAX_PUNYCODE

    def errors(self, name: str) -> list[str]:
        """The syntax errors of a DNS name, such as ``has an empty label``.

        Args:
            name: the name in the request; its left-most label may be a wildcard.
        """
        if not name.isascii():
            return ["is not ASCII: internationalised names are written in punycode"]
        if len(name) > MAX_NAME:
            return [f"is longer than {MAX_NAME}"]
        labels = name.split(".")
        if labels[0] == "*" and len(labels) > 1:
            labels = labels[1:]
        errors: list[str] = []
        if ":" in name or ends_in_a_number(name):
            errors.append("is an address, or looks like one")
        for label in labels:
            if label not in self._error_by_label:
                self._error_by_label[label] = self._label_error(label)
            error = self._error_by_label[label]
            if error is not None:
                errors.append(error)
        return errors

    def _label_error(self, label: str) -> str | None:
        if not label:
            return "has an empty label"
        if len(label) > MAX_LABEL:
            return f"has a label longer than {MAX_LABEL}"
        if "*" in label:
            return "has a wildcard that is not its whole left-most label"
        if not self._label_re.fullmatch(label):
            return f"has a label that does not match: {label!a}"
        return self._punycode_error(label.lower()) if label.lower().startswith("xn--") else None

    def _punycode_error(self, label: str) -> str | None:
        self._remaining_punycode -= len(label)
        if self._remaining_punycode < 0:
            return (
                "is one too many: the different labels in punycode are together longer than "
                f"{MAX_PUNYCODE}"
            )
        return _decoding_error(label)


def _decoding_error(label: str) -> str | None:
    try:
        decoded = idna.ulabel(label)
        # RFC 5891 5.3: encoding again gives the same label.  Old versions of idna do not check it.
        if f"xn--{decoded.encode('punycode').decode('ascii')}" != label:
            return f"has a label in punycode that is not canonical: {label!a}"
    except (idna.IDNAError, UnicodeError):
        return f"has a label that is not valid punycode: {label!a}"
    return None
