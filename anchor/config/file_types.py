"""Types for options that name a file or contain a secret.

Offline validation reads no secrets, because the configuration may be checked on a machine that does
not have them.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, PlainValidator, SecretStr, ValidationInfo, WithJsonSchema

from anchor.errors import ConfigurationError

__all__ = [
    "FilePath",
    "Private",
    "PrivateFile",
    "Secret",
    "SecretEnv",
    "SecretFile",
    "one_secret",
    "read_private",
    "read_secret",
    "text",
]


# Far more than a secret that a form may contain.
_MAX_SECRET_FILE = 65536
# What shells accept.
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def text(format_: str, **keywords: Any) -> WithJsonSchema:
    """The JSON Schema of a string option.

    Args:
        format_: the kind of string; the reference shows it as the option's type.
        keywords: further keywords of JSON Schema.
    """
    return WithJsonSchema({"type": "string", "format": format_, **keywords})


def resolve(path: Path, info: ValidationInfo) -> Path:
    """The path, with ``~`` expanded and relative to the directory of ``config.json``."""
    base: Path = (info.context or {}).get("base", Path())
    return base / path.expanduser()


FilePath = Annotated[Path, AfterValidator(resolve)]
"""A path, relative to the directory of ``config.json``; ``~`` is the home directory."""

Secret = SecretStr
"""A secret; only ``get_secret_value()`` reveals it."""


def read_private(path: Path, limit: int | None = None, *, others_may_read: bool = False) -> bytes:
    """The contents of a file that only its owner and its group can read.

    Args:
        path: the file.
        limit: the most bytes that it may have.
        others_may_read: True to require only that nobody else can write it.

    Raises:
        ValueError: the file cannot be read, or others can read it, or its group can write it, or it
            is too large.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            # The group may read it, so that a service can use a file that root owns.
            forbidden = 0o022 if others_may_read else 0o027
            if mode & forbidden:
                who = (
                    "neither its group nor others may write it"
                    if others_may_read
                    else "others must not read it, nor the group write it"
                )
                raise ValueError(f"{path} has mode {mode:04o}: {who}")
            contents = file.read() if limit is None else file.read(limit + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if limit is not None and len(contents) > limit:
        raise ValueError(f"{path} is larger than {limit} bytes")
    return contents


@dataclass(frozen=True)
class Private:
    """The path and the contents of a file that others cannot read."""

    path: Path
    contents: bytes = field(repr=False)


def _private(path: Path) -> Private:
    return Private(path, read_private(path))


def read_secret(path: Path) -> Secret:
    """The secret in a private file, without the line break at its end.

    Raises:
        ValueError: as :func:`read_private`, or the file is not UTF-8 text or larger than 64 KiB.
    """
    try:
        return Secret(read_private(path, _MAX_SECRET_FILE).decode("utf-8").rstrip("\r\n"))
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None


def _secret_in_environment(name: Any, info: ValidationInfo) -> Secret:
    if isinstance(name, str) and _is_offline(info):
        return Secret("")
    if isinstance(name, str) and name in os.environ:
        return Secret(os.environ[name])
    if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
        # Not repeated: it may be the secret.
        raise ValueError("should be the name of an environment variable, such as ANCHOR_SECRET")
    raise ValueError(f"the environment variable {name!r} is not set")


def _is_offline(info: ValidationInfo) -> bool:
    return bool((info.context or {}).get("offline"))


def _file_contents(read: Callable[[Path], Any], placeholder: Callable[[Path], Any]) -> Any:
    """A validator that replaces a path by the file's contents, or offline by a placeholder."""

    def validate(value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str):
            raise ValueError("should be a path")
        path = resolve(Path(value), info)
        return placeholder(path) if _is_offline(info) else read(path)

    return PlainValidator(validate)


PrivateFile = Annotated[
    Private, _file_contents(_private, lambda path: Private(path, b"")), text("path")
]
"""The path of a file that others cannot read; it is read at start-up."""

SecretFile = Annotated[Secret, _file_contents(read_secret, lambda _: Secret("")), text("path")]
"""The path of a file with a secret; a line break at its end is removed."""

SecretEnv = Annotated[Secret, PlainValidator(_secret_in_environment), text("environment variable")]
"""The name of an environment variable that contains a secret."""


def one_secret(what: str, *sources: Secret | None) -> str:
    """The secret from the only source that is configured: JSON, file or environment.

    Args:
        what: the option's name; the other two options are ``<what>_file`` and ``<what>_env``.
        sources: the values of the three options.

    Raises:
        ConfigurationError: no source or more than one is configured, or the secret is empty.
    """
    configured = [source for source in sources if source is not None]
    if len(configured) != 1:
        raise ConfigurationError.about(
            "", f"exactly one of {what!r}, '{what}_file' and '{what}_env' is needed"
        )
    revealed = configured[0].get_secret_value()
    if not revealed:
        raise ConfigurationError.about(what, "is empty")
    return revealed
