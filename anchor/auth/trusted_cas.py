"""The CAs that authentication backends trust."""

from __future__ import annotations

import ssl
from pathlib import Path

from anchor.errors import ConfigurationError


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """A TLS context that verifies servers.

    Args:
        ca_file: a PEM file with the CAs to trust; None for the system's.

    Raises:
        ConfigurationError: the file cannot be read, or has no certificates in PEM.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        reason = "not PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigurationError.about(
            "ca_file", f"{ca_file} is no file of CA certificates: {reason}"
        ) from None
