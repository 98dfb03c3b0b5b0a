"""The hosts, addresses and mailboxes that any program could read in a text.

Deny-lists use this module, so it finds too many names rather than too few.  A :class:`NameReader`
reads the names of one request and stops at fixed limits, which bound its work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import pairwise

from anchor.X509.dns_names import MAX_NAME, ends_in_a_number
from anchor.X509.host_forms import ascii_forms, fold, numeric_addresses, percent_decode
from anchor.X509.name_patterns import Address, without_ipv4_mapping

# For all names of a request together; 1000 usual names stay below it.
MAX_PIECES = 10_000
# Reading an address takes as long as reading this many hosts.
ADDRESS_PIECES = 6
# In characters that are mapped by IDNA, which is slow; usual names in a request are far shorter.
MAX_UNICODE = 2048

_PLAIN_HOST = re.compile(r"(?:\*\.)?(?:[a-z0-9_-]+\.)*[a-z_-][a-z0-9_-]*", re.ASCII)
_BETWEEN = re.compile(r"[\s/\\,;?&=#()<>\"|]+")
# ASCII characters that are in no host, besides those that separate words.
_NOT_IN_HOSTS = re.compile(r"[^a-z0-9._*%\x80-\U0010ffff-]+")
# RFC 5322 3.4.1: "alice"@example.com and alice(work)@example.com are the mailbox of alice.
_DECORATION = re.compile(r'"([^"]*)"(?=@)|\([^()]*\)(?=@)')
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)
_DOT_SEGMENTS = frozenset({".", ".."})
_PORT = re.compile(r"[0-9]*", re.ASCII)
# WHATWG URL: after these schemes, browsers read a host behind any number of slashes.
_WEB_SCHEMES = frozenset({"http", "https", "ws", "wss", "ftp", "gopher"})
_MAILBOX_SCHEMES = frozenset({"mailto", "sip", "sips", "xmpp", "im", "pres"})


@dataclass
class Meaning:
    """The hosts, addresses, mailboxes and URIs that a name names.

    Attributes:
        hosts: host names and domains, in lower case and punycode, without a dot at the end; a
            wildcard is the whole left-most label.
        addresses: IP addresses; an IPv4-mapped one is followed by its IPv4 address.
        mailboxes: in lower case, with hosts in the form of ``hosts``.
        uris: in lower case, without percent-encoding and without a slash at the end.
        understood: False if the name may contain other hosts or addresses too.
    """

    hosts: list[str] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)
    mailboxes: list[str] = field(default_factory=list)
    uris: list[str] = field(default_factory=list)
    understood: bool = True

    def exact_texts(self) -> list[str]:
        """The addresses, mailboxes and URIs as text, for exact comparison."""
        return [*map(str, self.addresses), *self.mailboxes, *self.uris]


class NameReader:
    """A reader for the names of one request, with limits for all of them together."""

    def __init__(self) -> None:
        self._remaining_pieces = MAX_PIECES
        self._remaining_unicode = MAX_UNICODE
        self._meaning = Meaning()

    def start(self) -> Meaning:
        """Start another name: the meaning to which the other methods add."""
        self._meaning = Meaning()
        return self._meaning

    def give_up(self) -> None:
        """Mark the current name as not understood."""
        self._meaning.understood = False

    def address(self, ip: Address) -> None:
        """Add an address, and the IPv4 address in an IPv4-mapped one."""
        self._meaning.addresses.extend(dict.fromkeys((ip, without_ipv4_mapping(ip))))

    def text(self, text: str, *, of_mailboxes: bool = False) -> None:
        """Read a text that may be a host, an address, a mailbox, a principal or a sentence.

        Args:
            text: ``www.example.com``, ``HTTP/www.example.com@REALM``, ``Example Server A``.
            of_mailboxes: True if the text before an ``@`` is a local part and never a host.
        """
        text = text.strip()
        if len(text) <= MAX_NAME and _PLAIN_HOST.fullmatch(name := text.lower().removesuffix(".")):
            self._remaining_pieces -= 1
            if self._remaining_pieces >= 0:
                self._meaning.hosts.append(name)
            else:
                self.give_up()
            return
        text = self._fold(text)
        # A word in a sentence is a host only if it has a dot: "Example Server A" names no host.
        is_sentence = len(text.split(maxsplit=1)) > 1
        if '"@' in text or ")@" in text:
            text = _DECORATION.sub(lambda match: (match[1] or "").replace("\\", ""), text)
        for chunk in self._split(self._without_addresses_in_brackets(text, of_uri=False)):
            parts = chunk.split("@")
            if len(parts) == 1:
                self._piece(chunk, is_sentence)
            for before, host in pairwise(parts):
                self._mailbox(before, host)
                if not of_mailboxes:
                    self._piece(before, is_sentence)

    def uri(self, uri: str) -> None:
        """Read a URI, even one for browsers only: ``https:\\\\www.example.com``."""
        uri = uri.strip()
        whole = self._fold(percent_decode(uri)).rstrip("/")
        if not _DOT_SEGMENTS.isdisjoint(whole.replace("\\", "/").split("/")):
            # RFC 3986 6.2.2.3: dot segments are another spelling of some other path.
            self.give_up()
        self._meaning.uris.append(whole)
        scheme, colon, rest = uri.partition(":")
        scheme = scheme.lower()
        if not colon or not _SCHEME.fullmatch(scheme):
            self.text(percent_decode(uri))
        elif scheme == "dns":
            # dns://192.0.2.1/www.example.com: the name follows a server.
            self.text(percent_decode(rest))
        elif scheme in _MAILBOX_SCHEMES:
            # The text may also be mailto://alice@example.com.
            self.text(percent_decode(rest), of_mailboxes=True)
        elif rest.startswith(("/", "\\")) or scheme in _WEB_SCHEMES:
            self._authority(re.split(r"[/?#]", rest.lstrip("/\\"), maxsplit=1)[0])
        elif scheme != "urn":
            # The scheme may be a host in fact: www.example.com:443/path.
            is_host = "." in scheme or rest[:1].isdecimal()
            self.text(percent_decode(uri if is_host else rest))

    def _authority(self, authority: str) -> None:
        """Read ``user:password@host:port``; only some clients end the host at a ``\\``."""
        text = self._fold(percent_decode(authority))
        for chunk in self._split(self._without_addresses_in_brackets(text, of_uri=True)):
            for part in chunk.split("@"):
                self._piece(part, is_sentence=False)

    def _without_addresses_in_brackets(self, text: str, *, of_uri: bool) -> str:
        """Read the addresses in brackets; return the text without these and any brackets."""
        if "[" not in text and "]" not in text:
            return text
        self._remaining_pieces -= text.count("[") * ADDRESS_PIECES
        if self._remaining_pieces < 0:
            self.give_up()
            return ""

        def replacement(match: re.Match[str]) -> str:
            inner = match[1].removeprefix("ipv6:")
            if self._exact_address(inner):
                return ""
            if of_uri:
                # RFC 3986 3.2.2: an address of an unknown version.
                self.give_up()
            return f" {inner} "

        rest = _BRACKETS.sub(replacement, text)
        if of_uri and ("[" in rest or "]" in rest):
            self.give_up()
        return rest.replace("[", " ").replace("]", " ")

    def _split(self, text: str) -> Iterator[str]:
        if len(text) > self._remaining_pieces:
            # A shorter text cannot have more pieces than allowed.
            pieces = _BETWEEN.split(text, maxsplit=max(self._remaining_pieces, 0) + 1)
        else:
            pieces = _BETWEEN.split(text)
        for piece in pieces:
            self._remaining_pieces -= 1 + piece.count("@") + piece.count(":")
            if self._remaining_pieces < 0:
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
        """Read every host in a word, as in ``jar:https://a.example!/x``."""
        if len(text) > MAX_NAME:
            # Too long for a resolver; some programs may truncate it.
            self.give_up()
            return []
        words = _NOT_IN_HOSTS.split(text)
        self._remaining_pieces -= len(words) - 1
        is_alone = is_alone and len(words) == 1
        return [name for word in words for name in self._host_word(word, is_alone, is_sentence)]

    def _host_word(self, text: str, is_alone: bool, is_sentence: bool) -> list[str]:
        name = text.strip(".")
        if not name or (is_sentence and "." not in name):
            return []
        if "%" in name:
            self._exact_address(name)
        if ends_in_a_number(name):
            self._remaining_pieces -= ADDRESS_PIECES
            addresses = list(dict.fromkeys(numeric_addresses(name, is_alone=is_alone)))
            if addresses:
                for address in addresses:
                    self.address(address)
                return [*map(str, addresses)]
        first, dot, parent = name.partition(".")
        if "*" in parent:
            # Clients disagree about a wildcard that is not in the left-most label.
            self.give_up()
            return []
        if "*" in first:
            name = f"*{dot}{parent}"
        names = ascii_forms(name)
        self._meaning.hosts.extend(names)
        return names

    def _exact_address(self, text: str) -> bool:
        """Add an address in standard notation, without its zone; False if it is none."""
        try:
            self.address(ip_address(text.partition("%")[0]))
        except ValueError:
            return False
        return True

    def _fold(self, text: str) -> str:
        """The text in lower case, mapped as resolvers do, within the limit for such text."""
        if text.isascii():
            return text.lower()
        self._remaining_unicode -= len(text)
        if self._remaining_unicode < 0:
            self.give_up()
            return ""
        return fold(text)
