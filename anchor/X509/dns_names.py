"""The syntax of DNS names in certificates (RFC 1034, 1123, 5280 section 4.2.1.6, 6125, 5891)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

import idna

MAX_NAME = 253
MAX_LABEL = 63
# In all different labels of a request together, in characters: some take a millisecond to verify,
# Arabic digits for example. Of usual ones it is a hundred.
MAX_PUNYCODE = 1500

# The exceptions that ipaddress raises are slow, and most names are told apart more quickly.
_MAY_BE_AN_ADDRESS = re.compile(r"[0-9a-f:.]+(%.*)?", re.ASCII | re.IGNORECASE)
# Resolvers take a name that ends in a number for an address: 127.1, 0x7f000001.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII | re.IGNORECASE)


# No host name, and nothing that somebody could mean as one, has any of these in it.
_NEVER_IN_A_NAME = re.compile(r"""[ @,;=+"'()<>&#!?|{}~^$`]""")
# An attempt at an IPv6 address, or a name with a port.
_WITH_COLONS = re.compile(r"\[?[0-9a-f:.]+\]?(%.*)?|[^:]*:[0-9]*", re.ASCII | re.IGNORECASE)
# RFC 3490 3.1: what separates labels in an internationalised name.
_DOTS = frozenset(".\u3002\uff0e\uff61")
# What a label may be at all; what it should be is for the policy to say.
_ANY_LABEL = re.compile(r"[a-z0-9_-]+", re.ASCII | re.IGNORECASE)


def passes_for_a_name(text: str) -> bool:
    """True if a client that looks at a common name could take it for a DNS name or an address."""
    if is_address(text) or _NEVER_IN_A_NAME.search(text):
        return False
    if ":" in text and "//" not in text and not _WITH_COLONS.fullmatch(text):
        # system:node:worker-1.example.com
        return False
    return "*" in text or not _DOTS.isdisjoint(text)


def host_name(common_name: str) -> str | None:
    """The DNS name, in ASCII, that a common name consists of; None if it is no host name.

    Raises:
        ValueError: it could pass for a host name, and is malformed; the text says in what way.
    """
    name = common_name.removesuffix(".")
    if not name.isascii():
        name = in_ascii(name) or name
    found = tuple(NameSyntax(_ANY_LABEL).objections(name))
    if not found and ("." in name or not (name.startswith("-") or name.endswith("-"))):
        return name
    if found and passes_for_a_name(common_name):
        raise ValueError(f"{found[0]}")
    return None


def in_ascii(name: str) -> str | None:
    """A name in punycode, or None unless nothing but upper case has to be mapped for that."""
    try:
        encoded = idna.encode(name, uts46=True, std3_rules=True).decode("ascii")
        return encoded if "." in name and idna.decode(encoded) == name.lower() else None
    except UnicodeError:
        return None


def is_address(text: str) -> bool:
    """Whether this is an IPv4 or IPv6 address, as text."""
    if not _MAY_BE_AN_ADDRESS.fullmatch(text):
        return False
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def ends_in_a_number(name: str) -> bool:
    """Whether resolvers would take a name for an address, or for an attempt at one."""
    return _NUMBER.fullmatch(name.removesuffix(".").rpartition(".")[2]) is not None


class NameSyntax:
    """The syntax of DNS names, as one request is checked for it.

    Args:
        label_re: what every label but a wildcard has to match as a whole.
    """

    def __init__(self, label_re: re.Pattern[str]):
        self._label_re = label_re
        # The same domains are in many names of a request.
        self._by_label: dict[str, tuple[str, ...]] = {}
        self._punycode = MAX_PUNYCODE

    def objections(self, name: str) -> Iterator[str]:
        """What speaks against a DNS name, each as the end of a sentence.

        Args:
            name: as it stands in the request; a wildcard may be its left-most label.
        """
        if not name.isascii():
            yield "is not ASCII: internationalised names are written in punycode"
            return
        if len(name) > MAX_NAME:
            yield f"is longer than {MAX_NAME}"
            return
        labels = name.split(".")
        if labels[0] == "*" and len(labels) > 1:
            labels = labels[1:]
        if ":" in name or ends_in_a_number(name):
            yield "is, or can pass for, an address"
        for label in labels:
            found = self._by_label.get(label)
            if found is None:
                found = self._by_label[label] = tuple(self._label_objections(label))
            yield from found

    def _label_objections(self, label: str) -> Iterator[str]:
        if not label:
            yield "has an empty label"
        elif len(label) > MAX_LABEL:
            yield f"has a label longer than {MAX_LABEL}"
        elif "*" in label:
            yield "has a wildcard that is not its whole left-most label"
        elif not self._label_re.fullmatch(label):
            yield f"has a label that does not match: {label!a}"
        elif label.lower().startswith("xn--"):
            self._punycode -= len(label)
            if self._punycode < 0:
                yield f"is one too many: different labels in punycode make up over {MAX_PUNYCODE}"
            else:
                yield from _punycode_objections(label.lower())


def _punycode_objections(label: str) -> Iterator[str]:
    try:
        decoded = idna.ulabel(label)
        # RFC 5891 5.3, which old versions of the library do not check.
        if f"xn--{decoded.encode('punycode').decode('ascii')}" != label:
            yield f"has a label in punycode that is not canonical: {label!a}"
    except (idna.IDNAError, UnicodeError):
        yield f"has a label that is not valid punycode: {label!a}"
