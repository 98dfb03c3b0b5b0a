"""The service that the options name, and the CAs that verify it."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

from cryptography import x509

from anchor.client import trust
from anchor.client.settings import ClientSettings
from anchor.client.transport import URL, Transport
from anchor.client.trust import Untrusted
from anchor.config.document import SECTION_NAME
from anchor.errors import ConfigurationError
from anchor.X509.parse_errors import MALFORMED

_SIGN_URL = re.compile(r"(.*)/v1/sign/([^/]*)/?")


def url_and_authority(settings: ClientSettings) -> tuple[str, str]:
    """The URL of the service and the authority's name, which may both be in ``url``.

    Raises:
        ConfigurationError: they do not fit each other.
    """
    match = _SIGN_URL.fullmatch(settings.url)
    if match is None:
        return settings.url, settings.authority
    url, authority = match.groups()
    if not SECTION_NAME.fullmatch(authority):
        raise ConfigurationError.about(
            "url", f"should have the name of a registration authority at its end: {authority!a}"
        )
    if "authority" in settings.model_fields_set and settings.authority != authority:
        raise ConfigurationError.about(
            "url",
            f"is that of the authority {authority!r}, but 'authority' is {settings.authority!r}",
        )
    return url, authority


def require_trusted(path: Path, option: str = "") -> None:
    """Raise ConfigurationError if another user could change the file.

    The file decides which server gets the secret, and which program is run.
    """
    try:
        trust.require(path)
    except Untrusted as error:
        raise ConfigurationError.about(option, str(error)) from None


def transport(settings: ClientSettings, service_url: str) -> Transport:
    """The connection to the service, with the CAs that verify it.

    Raises:
        ConfigurationError: the URL or the CAs cannot be used.
    """
    try:
        url = URL.parse(service_url)
    except ValueError as error:
        raise ConfigurationError.about("url", str(error)) from None
    if url.scheme == "http":
        if not settings.allow_http:
            raise ConfigurationError.about(
                "url",
                "is plain http, which shows the secret to the network: use https, or set "
                "'allow_http' (--allow-http on the command line)",
            )
        return Transport(url, None, settings.timeout)
    if settings.ca_file:
        require_trusted(settings.ca_file, "ca_file")
    try:
        tls = ssl.create_default_context(cafile=settings.ca_file)
    except ssl.SSLError:
        raise ConfigurationError.about(
            "ca_file", f"{settings.ca_file} holds no certificates in PEM"
        ) from None
    except OSError as error:
        raise ConfigurationError.about(
            "ca_file", f"{settings.ca_file} cannot be read: {error.strerror}"
        ) from None
    return Transport(url, tls, settings.timeout)


def issuers(path: Path | None) -> tuple[x509.Certificate, ...] | None:
    """The CAs that may issue certificates; None for the CAs of the service.

    Raises:
        ConfigurationError: the file cannot be used.
    """
    if path is None:
        return None
    require_trusted(path, "issuer_ca_file")
    try:
        return tuple(x509.load_pem_x509_certificates(path.read_bytes()))
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except MALFORMED:
        reason = "holds no certificates in PEM"
    raise ConfigurationError.about("issuer_ca_file", f"{path} {reason}")
