"""Certificates in the files below a directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from anchor.errors import ConfigurationError
from anchor.store.certificate_files import SUFFIX
from anchor.X509.parse_errors import MALFORMED

# No certificate has more bytes.
_MAX_BYTES = 1 << 20


class BrokenFile(Exception):
    """A file contains no certificate, or cannot be read; the message says which and why."""


def find_files(directory: Path) -> Iterator[Path]:
    """The files below a directory whose names end in ``.crt``, without hidden files.

    Raises:
        ConfigurationError: a directory cannot be read.
    """

    def fail(error: OSError) -> None:
        raise ConfigurationError.about("", f"{error.filename}: {error.strerror}")

    for path, _, names in os.walk(directory, onerror=fail):
        for name in names:
            if name.endswith(SUFFIX) and not name.startswith("."):
                yield Path(path, name)


def read_certificate(path: Path) -> x509.Certificate | None:
    """The first certificate in a PEM file; None if the file was just deleted.

    Raises:
        BrokenFile: the file contains no certificate, or cannot be read.
    """
    try:
        # O_NONBLOCK: the path may be a pipe.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(file, "rb") as stream:  # noqa: PTH123  # it is a descriptor
            pem = stream.read(_MAX_BYTES + 1) or b""
    except FileNotFoundError as error:
        # A symbolic link without a target exists.
        if path.is_symlink():
            raise BrokenFile(f"{path}: {error.strerror}") from None
        return None
    except OSError as error:
        raise BrokenFile(f"{path}: {error.strerror}") from None
    if len(pem) > _MAX_BYTES:
        raise BrokenFile(f"{path} is larger than {_MAX_BYTES} bytes: no certificate")
    try:
        return x509.load_pem_x509_certificate(pem)
    except MALFORMED:
        raise BrokenFile(f"{path} contains no certificate in PEM") from None
