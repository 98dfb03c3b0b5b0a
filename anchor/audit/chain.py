"""The lines of the audit file, and the chain of their hashes.

A line is one JSON object.  It begins with the hash of the previous line and the line's number, and
ends with the line's hash: the SHA-256 over all bytes before ``,"hash":``::

    {"previous":"<64 hex>","number":17,"time":"...","node":"web1",...,"hash":"<64 hex>"}

These fields are at fixed positions, so verification hashes bytes and needs no JSON parser.  Lines
of older versions have no node.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

NODE_NAME = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
"""The regular expression of a node's name, which needs no escapes in JSON, logs and paths."""

_HASH = b',"hash":"'
_HASH_LENGTH = 64
_TAIL_LENGTH = len(_HASH) + _HASH_LENGTH + len(b'"}')
_HEAD = re.compile(rb'\{"previous":"([0-9a-f]{64})","number":([1-9][0-9]{0,17}),')
# After the time, so that is_torn() need not know the node.  No group: the name is not valid.
_NODE = re.compile(rb'"time":"[^"\\]*","node":(?:"(%b)",)?' % NODE_NAME.encode("ascii"))
# json.dumps escapes all characters that are not printable ASCII.
_JSON_TEXT = re.compile(rb'(?:[ -\[\]-~]|\\(?:[\\"bfnrt]|u[0-9a-f]{4}))*(?:\\(?:u[0-9a-f]{0,3})?)?')
_TAIL = re.compile(rb',"hash":"([0-9a-f]{64})"\}')


@dataclass(frozen=True)
class Link:
    """A position in the chain: the number of a line, and its hash."""

    number: int
    hash: str


GENESIS = Link(0, "0" * _HASH_LENGTH)
"""The link before the first line."""


@dataclass(frozen=True)
class Line:
    """A complete line whose hash is correct."""

    previous: str
    link: Link
    node: str | None = None


def encode_line(fields: Mapping[str, Any], previous: Link) -> tuple[bytes, Link]:
    """Return the next line with these fields, including its line break, and its link."""
    number = previous.number + 1
    start = json.dumps(
        {"previous": previous.hash, "number": number, **fields}, separators=(",", ":")
    )
    hashed = start[:-1].encode("ascii")
    digest = hashlib.sha256(hashed).hexdigest()
    return b'%b,"hash":"%b"}\n' % (hashed, digest.encode("ascii")), Link(number, digest)


def parse_line(line: bytes) -> Line | None:
    """Parse a line without its line break; None if it is not valid."""
    head = _HEAD.match(line)
    if head is None:
        return None
    tail = _TAIL.fullmatch(line, len(line) - _TAIL_LENGTH)
    node = _NODE.match(line, head.end())
    if tail is None or (node is not None and node[1] is None):
        return None
    digest = hashlib.sha256(line[:-_TAIL_LENGTH]).hexdigest()
    if digest.encode("ascii") != tail[1]:
        return None
    return Line(
        head[1].decode("ascii"),
        Link(int(head[2]), digest),
        node[1].decode("ascii") if node else None,
    )


def is_torn(data: bytes, previous: str, number: int) -> bool:
    """True if these bytes are unfinished writes of the line with this number.

    After a crash the file ends with the beginning of a line.  The next writer writes a line break
    first, so after several crashes there are several beginnings.  A complete line is never torn.
    """
    start = b'{"previous":"%b","number":%d,"time":"' % (previous.encode("ascii"), number)
    return all(_is_beginning(piece, start) for piece in data.split(b"\n"))


def _is_beginning(piece: bytes, start: bytes) -> bool:
    if len(piece) <= len(start):
        return start.startswith(piece)
    return (
        piece.startswith(start)
        and bool(_JSON_TEXT.fullmatch(piece))
        and _is_unfinished(piece)
        and not _has_another_hash(piece)
    )


def _is_unfinished(piece: bytes) -> bool:
    """True if this is the valid beginning of a JSON object that is not closed."""
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
    """True if the line's hash field has begun, and its hash is wrong."""
    start = piece.rfind(_HASH)
    if start < 0:
        return False
    try:
        fields = json.loads(piece[:start] + b"}")
    except ValueError:
        # This is the hash of an inner object, such as a checkpoint.
        return False
    digest = hashlib.sha256(piece[:start]).hexdigest().encode("ascii")
    return "hash" in fields or not (digest + b'"').startswith(piece[start + len(_HASH) :])


def torn_digest(data: bytes) -> str:
    """The field ``torn`` of the line after unfinished ones: the SHA-256 over their bytes."""
    return hashlib.sha256(data.rstrip(b"\n")).hexdigest()


@dataclass(frozen=True)
class FileEnd:
    """The end of an audit file.

    Attributes:
        link: the last complete line; None if there is none.
        whole: True if the file ends with that line and its line break.
        torn: the bytes after that line; empty if only the line break is missing.
    """

    link: Link | None
    whole: bool
    torn: bytes = b""


def find_end(data: bytes) -> FileEnd:
    """Find the last complete line in bytes that begin with a line."""
    end = len(data)
    while True:
        start = data.rfind(b"\n", 0, max(end - 1, 0)) + 1 if end else 0
        line = parse_line(data[start:end].rstrip(b"\n"))
        if line is not None:
            complete = data[end - 1 : end] == b"\n"
            return FileEnd(line.link, complete and end == len(data), data[end:])
        if start == 0:
            return FileEnd(None, not data, data)
        end = start
