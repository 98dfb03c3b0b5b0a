"""The name of a node, which is in each line of its record."""

from __future__ import annotations

import contextlib
import re
import socket
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from anchor.audit import heads, rotation
from anchor.audit.chain import NODE_NAME
from anchor.config.file_types import text
from anchor.errors import ConfigurationError


def check_name(name: str) -> str:
    """Return the name of a node; raise ValueError if it is not valid."""
    if not re.fullmatch(NODE_NAME, name):
        raise ValueError(
            "should be up to 64 ASCII letters, digits, '.', '-' and '_', without '.' or '-' at "
            "the beginning"
        )
    return name


NodeName = Annotated[str, AfterValidator(check_name), text("node name", pattern=f"^{NODE_NAME}$")]
"""The name of a node, as an option."""


def choose_name(record: Path, configured: str | None) -> str:
    """The name of this node: the configured one, that in its record, or the host name.

    Raises:
        ConfigurationError: the record is that of another node than the configured one.
    """
    recorded = _name_in(record)
    if configured and recorded and configured != recorded:
        raise ConfigurationError.about(
            "node",
            f"{record} is the record of node {recorded}, not {configured}: keep that name, or move "
            "the file, its rotated files and its head file away, so that a new record begins",
        )
    return configured or recorded or _host_name()


def _name_in(record: Path) -> str | None:
    """The name of the node that a record belongs to; None if there is none that can be read."""
    with contextlib.suppress(heads.HeadDamaged, OSError):
        if head := heads.find(record):
            return head.node or None
    # A damaged rotated file is the concern of verification, and does not stop the service.
    with contextlib.suppress(OSError):
        for path in reversed(rotation.files_of(record)):
            if line := rotation.last_line(path):
                return line.node
    return None


def _host_name() -> str:
    """The host name, without characters that are not allowed in the name of a node."""
    name = re.sub("[^A-Za-z0-9_.-]", "-", socket.gethostname()).lstrip(".-")
    return name[:64] or "localhost"
