"""Names that operators write: a host, address, mailbox or URI in canonical form."""

from __future__ import annotations

import re

from anchor.X509.dns_names import ends_in_a_number
from anchor.X509.name_patterns import without_ipv4_mapping
from anchor.X509.name_texts import Meaning, NameReader

# Characters that are in no host and no address; a local part may have some.
_NOT_IN_NAMES = re.compile(r"[\s/\\,;?&=#()<>\"|%\[\]]")
_NOT_IN_HOSTS = re.compile(r"[!$'+^`{}~]")
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*", re.ASCII)
# A host of hyphens alone is a typing error.
_LETTER_OR_DIGIT = re.compile(r"[a-z0-9]", re.ASCII)
# As in "IP:192.0.2.1", but not as in "ip:443" and "dns://192.0.2.1/www.example.com".
_TYPE = re.compile(r"(?:CN|DNS|IP|email|URI):(?!//|[0-9]*$)", re.ASCII | re.IGNORECASE)


def without_type(text: str) -> str:
    """The name in a text such as ``DNS:www.example.com``, which lists of certificates have."""
    text = text.strip()
    prefix = _TYPE.match(text)
    return text[prefix.end() :] if prefix else text


def canonical(text: str) -> str:
    """The canonical form of a name; lower case for any other text."""
    try:
        return parse_name(text.strip())
    except ValueError:
        return text.strip().lower()


def parse_name(text: str) -> str:
    """The canonical form of a host, address, mailbox or URI.

    For a URI without a path, this is its host.

    Raises:
        ValueError: the text does not consist of exactly one such name.
    """
    reader = NameReader()
    meaning = reader.start()
    if not text.isprintable():
        raise ValueError("it has a control character")
    if "://" in text and " " not in text:
        reader.uri(text)
        has_host = bool(meaning.hosts or meaning.addresses)
        has_path = "/" in meaning.uris[0].partition("://")[2]
        names = meaning.uris if has_path and has_host else meaning.hosts
    elif _NOT_IN_NAMES.search(text) or text.count("@") > 1 or text.isdecimal():
        raise ValueError("it is no name")
    elif "@" in text:
        reader.text(text, of_mailboxes=True)
        names = meaning.mailboxes
    elif _NOT_IN_HOSTS.search(text):
        raise ValueError("it is no host")
    else:
        reader.text(text)
        names = meaning.hosts
    # The IPv4 address comes after the IPv4-mapped IPv6 address.
    names = names or [str(address) for address in meaning.addresses[-1:]]
    if not meaning.understood or not names or _has_several_names(meaning, text):
        raise ValueError("it is no name, or more than one")
    if meaning.hosts and meaning.addresses and not meaning.uris:
        # It would be the host alone: "localhost:192.0.2.1" has no port.
        raise ValueError("it is a host and an address")
    hosts = meaning.hosts if meaning.uris else [names[0].rpartition("@")[2]]
    is_host = not meaning.uris and not meaning.addresses
    if (meaning.uris or is_host) and not all(map(_is_host, hosts)):
        raise ValueError("it is no host")
    if is_host and (("*" in text) != ("*." in text[:2]) or text.endswith(":")):
        raise ValueError("it is no host")
    return names[0]


def _has_several_names(meaning: Meaning, text: str) -> bool:
    """True if the text contains more than one host or address."""
    # A host that is not ASCII may have two forms, by IDNA 2003 and 2008.
    forms = 1 if text.isascii() else 2
    return len({*meaning.hosts}) > forms or len({*map(without_ipv4_mapping, meaning.addresses)}) > 1


def _is_host(name: str) -> bool:
    has_letter = _LETTER_OR_DIGIT.search(name) is not None
    return _HOST.fullmatch(name) is not None and has_letter and not ends_in_a_number(name)


def is_domain(name: str) -> bool:
    """True for a canonical host name that is neither an address nor a wildcard."""
    return _is_host(name) and "*" not in name
