"""Distinguished names as text (RFC 4514), as far as users and groups need them."""

from __future__ import annotations

import re

_RDN = re.compile(r"(?:\\.|[^\\,])+", re.DOTALL)
_FIRST_VALUE = re.compile(r"\s*[A-Za-z0-9.-]+\s*=\s*((?:\\.|[^\\+,])*)(?:[+,]|\Z)", re.DOTALL)
_ESCAPED = re.compile(rb"\\([0-9A-Fa-f]{2}|.)", re.DOTALL)
_SPECIAL = frozenset('"+,;<=>\\#')


def escape(value: str) -> str:
    """A value that can stand in a name's template, and is one value there whatever is in it."""
    # RFC 4514 2.4: any octet may be written in hexadecimal; spaces matter only at the ends.
    escaped = "".join(
        "".join(f"\\{octet:02x}" for octet in character.encode())
        if character in _SPECIAL or not character.isprintable()
        else character
        for character in value
    )
    if escaped.endswith(" "):
        escaped = escaped[:-1] + "\\20"
    return "\\20" + escaped[1:] if escaped.startswith(" ") else escaped


def first_value(name: str) -> str | None:
    """The value of the first relative name, unescaped: ``Staff`` of ``CN=Staff,OU=Groups,...``.

    None when there is no such thing, or when it is written as hexadecimal BER.
    """
    match = _FIRST_VALUE.match(name)
    if match is None or match[1].startswith("#"):
        return None
    try:
        return _ESCAPED.sub(_unescape, _strip(match[1]).encode()).decode() or None
    except UnicodeError:
        return None


def is_below(name: str, base: str) -> bool:
    """Whether an entry is one under the other, or is it."""
    parts, ending = _normalised(name), _normalised(base)
    return bool(ending) and parts[-len(ending) :] == ending


def _normalised(name: str) -> list[str]:
    return [re.sub(r"\s*=\s*", "=", rdn.strip().casefold(), count=1) for rdn in _RDN.findall(name)]


def _strip(value: str) -> str:
    """Without the white space around it, except what is escaped."""
    stripped = value.strip()
    return stripped + " " if re.search(r"(?<!\\)(?:\\\\)*\\$", stripped) else stripped


def _unescape(match: re.Match[bytes]) -> bytes:
    escaped = match[1]
    return bytes.fromhex(escaped.decode()) if len(escaped) == 2 else escaped
