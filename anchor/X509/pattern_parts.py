"""URIs and mailboxes, split into parts for the comparison with patterns.

Schemes and hosts are compared without ASCII case, paths and local parts exactly.
"""

from __future__ import annotations

import re

from anchor.X509.dns_names import ends_in_a_number
from anchor.X509.pattern_tree import Part

LABEL = re.compile(r"[a-z0-9_-]+", re.ASCII)
_LABEL_OF_PATTERN = re.compile(r"[a-z0-9_-]*%?[a-z0-9_-]*", re.ASCII)
# What a "%" matches.  RFC 3986 2.3: these characters are never delimiters.
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+", re.ASCII)
_LOCAL = re.compile(r"[A-Za-z0-9.!#$&'*+=?^_{|}~-]+", re.ASCII)
_LOCAL_OF_PATTERN = re.compile(r"[A-Za-z0-9.!#$&'*+=?^_{|}~%-]+", re.ASCII)

_URI = re.compile(r"([a-z][a-z0-9+.-]*:)([!-\[\]-~]+)", re.ASCII | re.IGNORECASE)
_AUTHORITY = re.compile(r"([^@:\[\]]*|\[[^@\[\]]*\])(:[0-9]+)?", re.ASCII)
# RFC 3986 3.2.2: an address is a single part.
_ADDRESS = re.compile(r"\[.*\]|[0-9.]+", re.ASCII)
_DOT_SEGMENTS = frozenset({".", ".."})


def uri(text: str) -> list[Part] | None:
    """The parts of a URI; None if no pattern can match it."""
    match = _URI.fullmatch(text)
    if match is None:
        return None
    scheme, rest = match[1].lower(), match[2]
    if not rest.startswith("//"):
        segments = rest.split("/")
        first = [Part(scheme)]
    else:
        authority, slash, path = rest[2:].partition("/")
        host_and_port = _AUTHORITY.fullmatch(authority)
        if host_and_port is None:
            return None
        segments = path.split("/") if slash else []
        # A ":" without a port separates the labels from the segments.
        port = host_and_port[2] or ":"
        first = [Part(f"{scheme}//"), *_labels(host_and_port[1].lower()), Part(port)]
    if not _DOT_SEGMENTS.isdisjoint(segments):
        return None
    return [*first, *(Part(segment, _SEGMENT) for segment in segments)]


def mailbox(text: str) -> list[Part] | None:
    """The parts of a mailbox or user principal name; None if no pattern can match it."""
    local, at, domain = text.rpartition("@")
    if not (local and at and domain) or not text.isascii():
        return None
    return [*_labels(domain.lower()), Part("@"), Part(local, _LOCAL)]


def canonical_uri(text: str) -> str:
    """The URI with its scheme and host in lower case; the text is one that uri() can split."""
    scheme, _, rest = text.partition(":")
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        rest = f"//{authority.lower()}{slash}{path}"
    return f"{scheme.lower()}:{rest}"


def canonical_mailbox(text: str) -> str:
    """The mailbox with its domain in lower case."""
    local, at, domain = text.rpartition("@")
    return f"{local}{at}{domain.lower()}"


def _labels(host: str) -> list[Part]:
    """The labels of a lower-case host, from the right; an address is a single part."""
    if _ADDRESS.fullmatch(host) or ends_in_a_number(host):
        return [Part(host)]
    return [Part(label, LABEL, True) for label in reversed(host.split("."))]


def uri_pattern(text: str) -> tuple[str, ...]:
    """The parts of a URI pattern.

    Raises:
        ValueError: it is malformed.
    """
    parts = uri(text)
    if parts is None:
        raise ValueError(
            f"{text!r} is no pattern of a URI, such as 'spiffe://example.com/ns/%/sa/%'"
        )
    _check_percents(text, parts)
    if "//" in parts[0].text:
        port = next(index for index, part in enumerate(parts) if part.text.startswith(":"))
        _check_labels(text, parts[1:port])
    return tuple(part.text for part in parts)


def mailbox_pattern(text: str) -> tuple[str, ...]:
    """The parts of a pattern for mailboxes and user principal names.

    Raises:
        ValueError: it is malformed.
    """
    parts = mailbox(text)
    if parts is None or not _LOCAL_OF_PATTERN.fullmatch(parts[-1].text):
        raise ValueError(f"{text!r} is no pattern of a mailbox, such as '%@example.com'")
    _check_percents(text, parts)
    _check_labels(text, parts[:-2])
    return tuple(part.text for part in parts)


def _check_percents(text: str, parts: list[Part]) -> None:
    for part in parts:
        if part.text.count("%") > 1:
            raise ValueError(f"{text!r} has more than one '%' in {part.text!r}")
        if "%" in part.text and part.wildcard is None:
            raise ValueError(f"{text!r} has a '%' where none can be: {part.text!r}")


def _check_labels(text: str, labels: list[Part]) -> None:
    for label in labels:
        is_address = label.wildcard is None and _ADDRESS.fullmatch(label.text)
        if not is_address and not (label.text and _LABEL_OF_PATTERN.fullmatch(label.text)):
            raise ValueError(f"{text!r} has a label that no host name has: {label.text!r}")
