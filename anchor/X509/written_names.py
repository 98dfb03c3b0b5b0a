"""Names as operators write them: one host, address, mailbox or URI in its canonical form."""

from __future__ import annotations

import re

from anchor.X509.dns import ends_in_a_number
from anchor.X509.name_patterns import unmapped
from anchor.X509.name_texts import NameReader

_SEPARATORS = re.compile(r"[\s/\\,;?&=#()<>\"|%\[\]]")
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*", re.ASCII)


def canonical(text: str) -> str:
    """The canonical form of a name that somebody looks for; of anything else its lower case."""
    try:
        return one_name(text.strip())
    except ValueError:
        return text.strip().lower()


def one_name(text: str) -> str:
    """The canonical text of the one host, address, mailbox or URI that somebody wrote.

    A URI without a path is its host.

    Raises:
        ValueError: the text is none of them, or more than one.
    """
    reader = NameReader()
    meaning = reader.start()
    if "://" in text:
        reader.uri(text)
        names = meaning.uris if "/" in meaning.uris[0].partition("://")[2] else meaning.hosts
    elif _SEPARATORS.search(text) or text.count("@") > 1:
        raise ValueError("it is no name")
    else:
        reader.text(text, of_mailboxes=True)
        names = meaning.mailboxes if "@" in text else meaning.hosts
    # The IPv4 address comes after the IPv6 address that it is mapped to.
    names = names or [str(address) for address in meaning.addresses[-1:]]
    many = len(set(map(unmapped, meaning.addresses))) > 1
    if not meaning.understood or not names or many:
        raise ValueError("it is no name, or more than one")
    host = names[0].rpartition("@")[2]
    is_host = not meaning.uris and not meaning.addresses
    if is_host and not (_HOST.fullmatch(host) and ("*" in text) == ("*." in text[:2])):
        raise ValueError("it is no host")
    return names[0]


def is_domain(name: str) -> bool:
    """True for the canonical text of a host that is neither an address nor a wildcard."""
    return _HOST.fullmatch(name) is not None and "*" not in name and not ends_in_a_number(name)
