"""The parts of RFC 4514 (distinguished names as text) that users and groups need."""

from __future__ import annotations

import re

_RDN = re.compile(r"(?:\\.|[^\\,])+", re.DOTALL)
_PAIR = re.compile(r"(?:\\.|[^\\+])+", re.DOTALL)
_FIRST_VALUE = re.compile(r"\s*[A-Za-z0-9.-]+\s*=\s*((?:\\.|[^\\+,])*)(?:[+,]|\Z)", re.DOTALL)
_ESCAPED = re.compile(rb"\\([0-9A-Fa-f]{2}|.)", re.DOTALL)
_SPECIAL = frozenset('"+,;<=>\\#')


def escape(value: str) -> str:
    """Escape an attribute's value for a distinguished name (RFC 4514 2.4)."""
    # Every byte may be written in hexadecimal; spaces need that only at the ends.
    escaped = "".join(
        "".join(f"\\{byte:02x}" for byte in character.encode())
        if character in _SPECIAL or not character.isprintable()
        else character
        for character in value
    )
    if escaped.endswith(" "):
        escaped = escaped[:-1] + "\\20"
    return "\\20" + escaped[1:] if escaped.startswith(" ") else escaped


def first_value(name: str) -> str | None:
    """The unescaped value of the first RDN: ``Staff`` for ``CN=Staff,OU=Groups,...``.

    Returns:
        None if there is no such value, or if it is written as hexadecimal BER.
    """
    match = _FIRST_VALUE.match(name)
    if match is None or match[1].startswith("#"):
        return None
    try:
        return _ESCAPED.sub(_unescape, _strip(match[1]).encode()).decode() or None
    except UnicodeError:
        return None


def is_below(name: str, base: str) -> bool:
    """Whether a DN is equal to a base DN, or below it."""
    rdns, base_rdns = _normalized(name), _normalized(base)
    return bool(base_rdns) and rdns[-len(base_rdns) :] == base_rdns


def _normalized(name: str) -> list[frozenset[tuple[str, str | bytes]]]:
    """The RDNs, each as its types and values, without escapes and in lower case."""
    return [frozenset(map(_type_and_value, _PAIR.findall(rdn))) for rdn in _RDN.findall(name)]


def _type_and_value(pair: str) -> tuple[str, str | bytes]:
    kind, _, escaped = pair.partition("=")
    kind, escaped = kind.strip().casefold(), _strip(escaped)
    if escaped.startswith("#"):
        # BER in hexadecimal: no value in text is equal to these bytes.
        return kind, escaped.casefold().encode("utf-8", "surrogatepass")
    value = _ESCAPED.sub(_unescape, escaped.encode("utf-8", "surrogatepass"))
    try:
        return kind, value.decode().casefold()
    except UnicodeDecodeError:
        return kind, value


def _strip(value: str) -> str:
    """The value without surrounding white space, unless that is escaped."""
    stripped = value.strip()
    return stripped + " " if re.search(r"(?<!\\)(?:\\\\)*\\$", stripped) else stripped


def _unescape(match: re.Match[bytes]) -> bytes:
    escaped = match[1]
    return bytes.fromhex(escaped.decode()) if len(escaped) == 2 else escaped
