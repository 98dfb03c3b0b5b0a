"""The hosts, addresses and mailboxes in a text, by every reading that some program gives it.

Deny-lists use this: it is generous on purpose.  A :class:`NameReader` reads the names of one
request, and gives up beyond what any tool asks for, so that the work is bounded.
"""

from __future__ import annotations

import re
import socket
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import pairwise
from urllib.parse import unquote

import idna

from anchor.X509.dns_names import MAX_LABEL, MAX_NAME, ends_in_a_number
from anchor.X509.name_patterns import Address, unmapped

# For all names of a request together; 1000 names of any kind stay below.
MAX_PIECES = 10_000
# To read an address takes as long as to read that many hosts.
ADDRESS_PIECES = 6
# What IDNA maps and encodes is slow; common names and mailboxes in a request are far shorter.
MAX_UNICODE = 2048

_PLAIN_HOST = re.compile(r"(?:\*\.)?(?:[a-z0-9_-]+\.)*[a-z_-][a-z0-9_-]*", re.ASCII)
_BETWEEN = re.compile(r"[\s/\\,;?&=#()<>\"|]+")
# ASCII characters that no host has, besides those that separate words.
_NOT_IN_HOSTS = re.compile(r"[^a-z0-9._*%\x80-\U0010ffff-]+")
# RFC 5322 3.4.1: "alice"@example.com and alice(work)@example.com are the mailbox of alice.
_DECORATION = re.compile(r'"([^"]*)"(?=@)|\([^()]*\)(?=@)')
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)
_DOT_SEGMENTS = frozenset({".", ".."})
_PORT = re.compile(r"[0-9]*", re.ASCII)
_QUAD = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+", re.ASCII)
# WHATWG URL: browsers find a host after these schemes with any number of slashes.
_SPECIAL = frozenset({"http", "https", "ws", "wss", "ftp", "gopher"})
_OF_MAILBOXES = frozenset({"mailto", "sip", "sips", "xmpp", "im", "pres"})
# UTS 46 keeps them, and its predecessor maps them.
_DEVIATIONS = str.maketrans({0xDF: "ss", 0x3C2: 0x3C3, 0x200C: None, 0x200D: None})


@dataclass
class Meaning:
    """What a name says.

    Attributes:
        hosts: host names and domains, in lower case, as A-labels, without a dot at the end; a
            wildcard is the whole left-most label.
        addresses: an IPv4-mapped IPv6 address is there twice, as itself and as the IPv4 address.
        mailboxes: in lower case, the host like ``hosts``.
        uris: in lower case, without percent-encoding and without a slash at the end.
        understood: False if there may be more to it.
    """

    hosts: list[str] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)
    mailboxes: list[str] = field(default_factory=list)
    uris: list[str] = field(default_factory=list)
    understood: bool = True


class NameReader:
    """Reads names for one request, within bounds for all of them together."""

    def __init__(self) -> None:
        self._pieces = MAX_PIECES
        self._unicode = MAX_UNICODE
        self._meaning = Meaning()

    def start(self) -> Meaning:
        """Begin with another name; what follows is added to its meaning."""
        self._meaning = Meaning()
        return self._meaning

    def give_up(self) -> None:
        """Note that the present name is not understood."""
        self._meaning.understood = False

    def address(self, found: Address) -> None:
        """Add an address, and the IPv4 address within an IPv4-mapped one."""
        self._meaning.addresses.extend(dict.fromkeys((found, unmapped(found))))

    def text(self, text: str, *, of_mailboxes: bool = False) -> None:
        """Read a text that may be a host, an address, a mailbox, a principal or a sentence.

        Args:
            text: ``www.example.com``, ``HTTP/www.example.com@REALM``, ``Example Server A``.
            of_mailboxes: True if what stands before an ``@`` is a local part, and names no host.
        """
        text = text.strip()
        if len(text) <= MAX_NAME and _PLAIN_HOST.fullmatch(name := text.lower().removesuffix(".")):
            self._pieces -= 1
            if self._pieces >= 0:
                self._meaning.hosts.append(name)
            else:
                self.give_up()
            return
        text = self._fold(text)
        # A word of a sentence is a host only if it has a dot: "Example Server A" names none.
        is_sentence = len(text.split(maxsplit=1)) > 1
        if '"@' in text or ")@" in text:
            text = _DECORATION.sub(lambda match: (match[1] or "").replace("\\", ""), text)
        for chunk in self._split(self._without_addresses_in_brackets(text, of_uri=False)):
            local, *others = chunk.split("@")
            if not others:
                self._piece(local, is_sentence)
                continue
            for before, host in pairwise((local, *others)):
                self._mailbox(before, host)
                if not of_mailboxes:
                    self._piece(before, is_sentence)

    def uri(self, uri: str) -> None:
        """Read a URI, also one that only browsers understand: ``https:\\\\www.example.com``."""
        uri = uri.strip()
        whole = self._fold(_decoded(uri)).rstrip("/")
        if not _DOT_SEGMENTS.isdisjoint(whole.replace("\\", "/").split("/")):
            # RFC 3986 6.2.2.3: another way to write another path.
            self.give_up()
        self._meaning.uris.append(whole)
        scheme, colon, rest = uri.partition(":")
        scheme = scheme.lower()
        if not colon or not _SCHEME.fullmatch(scheme):
            self.text(_decoded(uri))
        elif scheme == "dns":
            # dns://192.0.2.1/www.example.com: the name comes after a server.
            self.text(_decoded(rest))
        elif scheme in _OF_MAILBOXES:
            # Some write mailto://alice@example.com.
            self.text(_decoded(rest), of_mailboxes=True)
        elif rest.startswith(("/", "\\")) or scheme in _SPECIAL:
            self._authority(re.split(r"[/?#]", rest.lstrip("/\\"), maxsplit=1)[0])
        elif scheme != "urn":
            # What looks like a scheme may be a host: www.example.com:443/path.
            is_host = "." in scheme or rest[:1].isdecimal()
            self.text(_decoded(uri if is_host else rest))

    def _authority(self, authority: str) -> None:
        """Read ``user:password@host:port``, or several; ``\\`` ends a host for browsers only."""
        text = self._fold(_decoded(authority))
        for chunk in self._split(self._without_addresses_in_brackets(text, of_uri=True)):
            for part in chunk.split("@"):
                self._piece(part, is_sentence=False)

    def _without_addresses_in_brackets(self, text: str, *, of_uri: bool) -> str:
        """The text without brackets; addresses in them are read, other words are left."""
        if "[" not in text and "]" not in text:
            return text
        self._pieces -= text.count("[") * ADDRESS_PIECES
        if self._pieces < 0:
            self.give_up()
            return ""

        def replaced(match: re.Match[str]) -> str:
            inner = match[1].removeprefix("ipv6:")
            if self._exact_address(inner):
                return ""
            if of_uri:
                # RFC 3986 3.2.2: an address of a later version.
                self.give_up()
            return f" {inner} "

        rest = _BRACKETS.sub(replaced, text)
        if of_uri and ("[" in rest or "]" in rest):
            self.give_up()
        return rest.replace("[", " ").replace("]", " ")

    def _split(self, text: str) -> Iterator[str]:
        if len(text) > self._pieces:
            # Only a text that is longer can have more pieces.
            pieces = _BETWEEN.split(text, maxsplit=max(self._pieces, 0) + 1)
        else:
            pieces = _BETWEEN.split(text)
        for piece in pieces:
            self._pieces -= 1 + piece.count("@") + piece.count(":")
            if self._pieces < 0:
                self.give_up()
                return
            yield piece

    def _mailbox(self, local: str, host: str) -> None:
        host = host.partition("%")[0].rstrip(".")
        if ":" in host and not self._exact_address(host):
            # sip:alice@example.com:5060
            host = host.partition(":")[0]
        hosts = tuple(self._piece(host, is_sentence=False))
        local = local.rpartition(":")[2]
        if local and len(local) <= MAX_NAME:
            self._meaning.mailboxes.extend(f"{local}@{name}" for name in hosts)

    def _piece(self, piece: str, is_sentence: bool) -> list[str]:
        """Read a host with or without a port, an address, or words between colons."""
        if piece.count(":") >= 2 and self._exact_address(piece):
            return []
        parts = piece.split(":")
        if len(parts) == 2 and _PORT.fullmatch(parts[1]):
            del parts[1]
        is_alone = len(parts) == 1 and not is_sentence
        return [name for part in parts for name in self._host(part, is_alone, is_sentence)]

    def _host(self, text: str, is_alone: bool, is_sentence: bool) -> list[str]:
        """Read a host, and others that stand in the same word: ``jar:https://a.example!/x``."""
        if len(text) > MAX_NAME:
            # No resolver takes it, and some may cut it.
            self.give_up()
            return []
        words = _NOT_IN_HOSTS.split(text)
        self._pieces -= len(words) - 1
        is_alone = is_alone and len(words) == 1
        return [name for word in words for name in self._one_host(word, is_alone, is_sentence)]

    def _one_host(self, text: str, is_alone: bool, is_sentence: bool) -> list[str]:
        name = text.strip(".")
        if not name or (is_sentence and "." not in name):
            return []
        if "%" in name:
            self._exact_address(name)
        if ends_in_a_number(name):
            self._pieces -= ADDRESS_PIECES
            found = list(dict.fromkeys(_numbers(name, is_alone)))
            if found:
                for address in found:
                    self.address(address)
                return [*map(str, found)]
        first, dot, parent = name.partition(".")
        if "*" in parent:
            # Nobody can tell what a wildcard covers that is not in the left-most label.
            self.give_up()
            return []
        if "*" in first:
            name = f"*{dot}{parent}"
        if name.isascii():
            names = [name]
        else:
            forms = dict.fromkeys((name, name.translate(_DEVIATIONS)))
            names = [".".join(map(_a_label, form.split("."))) for form in forms]
        self._meaning.hosts.extend(names)
        return names

    def _exact_address(self, text: str) -> bool:
        """Add an address that is written as the standards say, a zone apart."""
        try:
            self.address(ip_address(text.partition("%")[0]))
        except ValueError:
            return False
        return True

    def _fold(self, text: str) -> str:
        """The text in lower case, each character the one that resolvers make of it (UTS 46)."""
        if text.isascii():
            return text.lower()
        self._unicode -= len(text)
        if self._unicode < 0:
            self.give_up()
            return ""
        try:
            return idna.uts46_remap(text, std3_rules=False)
        except UnicodeError:
            # A character that is in no host does not hide a host beside it.
            return unicodedata.normalize("NFC", "".join(map(_folded, text)))


def _folded(character: str) -> str:
    try:
        return idna.uts46_remap(character, std3_rules=False)
    except UnicodeError:
        return unicodedata.normalize("NFKC", character).casefold()


def _decoded(text: str) -> str:
    """The text without percent-encoding, also if it was encoded twice."""
    for _ in range(3):
        decoded = unquote(text) if "%" in text else text
        if decoded == text:
            break
        text = decoded
    return text


def _a_label(label: str) -> str:
    """The label in punycode (RFC 3492), valid or not: a deny-list compares it all the same."""
    if label.isascii() or len(label) > MAX_LABEL:
        return label
    return f"xn--{label.encode('punycode').decode('ascii')}"


def _numbers(name: str, is_alone: bool) -> Iterator[IPv4Address | IPv6Address]:
    """The addresses that resolvers make of a name that ends in a number: ``127.1``, ``0x7f.1``.

    Args:
        name: a text without a dot at its end.
        is_alone: False if it is one word among others, and a number may be just that.
    """
    if _QUAD.fullmatch(name):
        # Leading zeros mean octal to some, and nothing to others.
        parts = [part.lstrip("0") or "0" for part in name.split(".")]
        if all(len(part) <= 3 and int(part) <= 255 for part in parts):
            yield IPv4Address(".".join(parts))
    elif not is_alone:
        return
    try:
        yield IPv4Address(socket.inet_aton(name))
    except (OSError, ValueError):
        return
