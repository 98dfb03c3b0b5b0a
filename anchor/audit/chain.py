"""The form of a line in the audit file, and the chain that its hashes make.

A line is one JSON object.  It begins with the hash of the line before it and its own number, and
ends with its own hash: the SHA-256 over all of its octets up to there, the previous hash included::

    {"previous":"<64 hex>","number":17,"time":...,"hash":"<64 hex>"}

Both stand at fixed places, so a chain is proved over octets, without anybody's idea of JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

_HASH = b',"hash":"'
_HASH_LENGTH = 64
_TAIL_LENGTH = len(_HASH) + _HASH_LENGTH + len(b'"}')
_HEAD = re.compile(rb'\{"previous":"([0-9a-f]{64})","number":([1-9][0-9]{0,17}),')
# What is not printable ASCII is escaped in JSON, as \uXXXX but for a few.
_WRITTEN = re.compile(rb'(?:[ -\[\]-~]|\\(?:[\\"bfnrt]|u[0-9a-f]{4}))*(?:\\(?:u[0-9a-f]{0,3})?)?')
_TAIL = re.compile(rb',"hash":"([0-9a-f]{64})"\}')


@dataclass(frozen=True)
class Link:
    """A place in the chain: after so many lines, the last of which has this hash."""

    number: int
    hash: str


GENESIS = Link(0, "0" * _HASH_LENGTH)
"""What the first line of all continues."""


@dataclass(frozen=True)
class Line:
    """A line that is whole and agrees with its own hash."""

    previous: str
    link: Link


def write(fields: Mapping[str, Any], after: Link) -> tuple[bytes, Link]:
    """The line, its line break included, that says this after that, and the place it makes."""
    number = after.number + 1
    start = json.dumps({"previous": after.hash, "number": number, **fields}, separators=(",", ":"))
    hashed = start[:-1].encode("ascii")
    digest = hashlib.sha256(hashed).hexdigest()
    return b'%b,"hash":"%b"}\n' % (hashed, digest.encode("ascii")), Link(number, digest)


def read(line: bytes) -> Line | None:
    """The line, given without its line break; None when it is not whole, or not what was hashed."""
    head = _HEAD.match(line)
    if head is None:
        return None
    tail = _TAIL.fullmatch(line, len(line) - _TAIL_LENGTH)
    if tail is None:
        return None
    digest = hashlib.sha256(line[:-_TAIL_LENGTH]).hexdigest()
    if digest.encode("ascii") != tail[1]:
        return None
    return Line(head[1].decode("ascii"), Link(int(head[2]), digest))


def is_torn(octets: bytes, previous: str, number: int) -> bool:
    """True if some bytes are what crashes leave of the line with that number.

    That is the beginning of that line, or several of them, each followed by a line break with which
    the next writer began.  A line that is complete is never torn.
    """
    start = b'{"previous":"%b","number":%d,"time":"' % (previous.encode("ascii"), number)
    return all(_is_beginning(piece, start) for piece in octets.split(b"\n"))


def _is_beginning(piece: bytes, start: bytes) -> bool:
    if len(piece) <= len(start):
        return start.startswith(piece)
    return (
        piece.startswith(start)
        and bool(_WRITTEN.fullmatch(piece))
        and _is_unfinished(piece)
        and not _has_another_hash(piece)
    )


def _is_unfinished(piece: bytes) -> bool:
    """True if a JSON object that has begun is in order so far, and not closed."""
    try:
        json.JSONDecoder().raw_decode(piece.decode("ascii"))
    except RecursionError:
        return False
    except ValueError:
        try:
            from_json(piece, allow_partial=True)
        except ValueError:
            return False
        return True
    return False


def _has_another_hash(piece: bytes) -> bool:
    """True if the line's own hash has begun, and is not the hash of what is before it."""
    start = piece.rfind(_HASH)
    if start < 0:
        return False
    try:
        fields = json.loads(piece[:start] + b"}")
    except ValueError:
        # It is in the middle of an inner object, such as a checkpoint.
        return False
    digest = hashlib.sha256(piece[:start]).hexdigest().encode("ascii")
    return "hash" in fields or not (digest + b'"').startswith(piece[start + len(_HASH) :])


def torn_mark(octets: bytes) -> str:
    """How the line after a torn one, which a crash left unfinished, names those octets."""
    return hashlib.sha256(octets.rstrip(b"\n")).hexdigest()


@dataclass(frozen=True)
class End:
    """Where a file stops.

    Attributes:
        link: the last whole line; None if there is none.
        whole: whether nothing follows it.
        torn: what follows it; empty when a line break is all that is missing.
    """

    link: Link | None
    whole: bool
    torn: bytes = b""


def find_end(octets: bytes) -> End:
    """Where some octets, which begin with a line, stop."""
    end = len(octets)
    while True:
        start = octets.rfind(b"\n", 0, max(end - 1, 0)) + 1 if end else 0
        line = read(octets[start:end].rstrip(b"\n"))
        if line is not None:
            complete = octets[end - 1 : end] == b"\n"
            return End(line.link, complete and end == len(octets), octets[end:])
        if start == 0:
            return End(None, not octets, octets)
        end = start
