"""The paths of EST below ``/.well-known/est/`` (RFC 7030 section 3.2.2)."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

from anchor.errors import UnknownPath

DEFAULT_LABEL = "default"
"""The authority of a path without a label."""

# RFC 7030 section 3.2.2: a label is never the name of an operation, even if that is not offered.
RESERVED = frozenset(
    {"cacerts", "simpleenroll", "simplereenroll", "fullcmc", "serverkeygen", "csrattrs"}
)


class Operation(enum.StrEnum):
    """The operations that are offered."""

    CA_CERTIFICATES = "cacerts"
    CSR_ATTRIBUTES = "csrattrs"
    ENROLL = "simpleenroll"
    REENROLL = "simplereenroll"

    @property
    def is_read(self) -> bool:
        """True if the operation is a GET."""
        return self in (Operation.CA_CERTIFICATES, Operation.CSR_ATTRIBUTES)


class EstPath(NamedTuple):
    """The label, which names a registration authority, and the operation."""

    label: str
    operation: Operation


def parse_path(segments: Sequence[str]) -> EstPath:
    """The label and the operation of a path.

    Args:
        segments: the segments after ``/.well-known/est/``.

    Raises:
        UnknownPath: it is no path of EST.
    """
    match segments:
        case [operation]:
            label = DEFAULT_LABEL
        case [label, operation]:
            if label in RESERVED:
                raise UnknownPath(
                    f"an EST label cannot be {label!r}, which is the name of an operation "
                    "(RFC 7030 section 3.2.2)"
                )
        case _:
            raise UnknownPath(_USAGE)
    try:
        return EstPath(label, Operation(operation))
    except ValueError:
        raise UnknownPath(_USAGE) from None


def label_path(authority: str) -> str | None:
    """The path of an authority, relative to the service's URL; None if EST cannot reach it."""
    return None if authority in RESERVED else f".well-known/est/{authority}"


_USAGE = (
    "the paths of EST are /.well-known/est/OPERATION and /.well-known/est/AUTHORITY/OPERATION, "
    f"with the operations {', '.join(Operation)}"
)
