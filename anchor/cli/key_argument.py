"""A key or a certificate on the command line: its SHA-256, or a file with it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from anchor.errors import ConfigurationError, UnreadableRequest

_FINGERPRINT = re.compile(r"[0-9a-f]{64}", re.ASCII)
_START = re.compile(r"[0-9a-f]{4,64}", re.ASCII)


def key_fingerprint(text: str) -> str:
    """The SHA-256 of a SubjectPublicKeyInfo in hexadecimal.

    Args:
        text: the SHA-256, also with colons; or a file with a key or a certificate in PEM, or a
            request.

    Raises:
        ConfigurationError: the text is neither.
    """
    value = hexadecimal(text)
    return value if _FINGERPRINT.fullmatch(value) else _key_in(Path(text))


def certificate_fingerprint(text: str) -> str:
    """The SHA-256 of a certificate in hexadecimal.

    Args:
        text: the SHA-256, also with colons; or a file with the certificate in PEM.

    Raises:
        ConfigurationError: the text is neither.
    """
    value = hexadecimal(text)
    return value if _FINGERPRINT.fullmatch(value) else _certificate_in(Path(text))


def key_prefix(text: str) -> str:
    """A SHA-256 of at least four digits; a whole one if the text is a file.

    Raises:
        ConfigurationError: the text is neither.
    """
    value = hexadecimal(text)
    return value if _START.fullmatch(value) else _key_in(Path(text))


def hexadecimal(text: str) -> str:
    """A number in hexadecimal without its colons, in lower case."""
    return text.replace(":", "").strip().lower()


def _key_in(path: Path) -> str:
    """The SHA-256 of the SubjectPublicKeyInfo in a file."""
    try:
        public_key_info = _public_key_info(path.read_bytes())
    except OSError as error:
        raise ConfigurationError.about(
            "", f"{path} is neither a SHA-256 in hexadecimal nor a file: {error.strerror}"
        ) from None
    except UnreadableRequest as error:
        raise ConfigurationError.about(
            "", f"{path} holds no public key, certificate or request: {error}"
        ) from error
    except Exception as error:
        # Do not show the text of a parser's error: the file may contain a private key.
        raise ConfigurationError.about(
            "", f"{path} holds no public key, certificate or request"
        ) from error
    return hashlib.sha256(public_key_info).hexdigest()


def _certificate_in(path: Path) -> str:
    """The SHA-256 of the first certificate in a file."""
    # Imported here: a fingerprint needs no parser.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise ConfigurationError.about(
            "", f"{path} is neither a SHA-256 in hexadecimal nor a file: {error.strerror}"
        ) from None
    except Exception as error:
        raise ConfigurationError.about("", f"{path} holds no certificate in PEM") from error
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def _public_key_info(contents: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a request, or of a certificate or public key in PEM."""
    # Imported here: a fingerprint needs no parser.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        PublicFormat,
        load_pem_public_key,
    )

    from anchor.X509 import pem  # noqa: PLC0415
    from anchor.X509.csr_reader import detect_encoding, read_csr  # noqa: PLC0415

    if detect_encoding(contents) == "der":
        return read_csr(contents, "der").public_key_info
    text = pem.as_utf8(contents)
    if b"-----BEGIN CERTIFICATE-----" in text:
        key: Any = x509.load_pem_x509_certificate(text).public_key()
    elif b"-----BEGIN PUBLIC KEY-----" in text or b"-----BEGIN RSA PUBLIC KEY-----" in text:
        key = load_pem_public_key(text)
    else:
        return read_csr(text, "pem").public_key_info
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
