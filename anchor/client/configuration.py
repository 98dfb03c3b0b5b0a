"""The configured service, its credentials, and the CAs that verify the service.

The options are in ``client.json``, or on the command line of ``anchor request``.
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography import x509

from anchor.client import credential_sources, trust
from anchor.client.credentials import Fixed, Source
from anchor.client.errors import CredentialsRefused
from anchor.client.issued import IssuedCertificate
from anchor.client.service import Service
from anchor.client.settings import ClientSettings
from anchor.client.tracking import CertificateSpec
from anchor.client.transport import URL, Transport
from anchor.client.trust import Untrusted
from anchor.config.diagnostics import Diagnostics
from anchor.config.document import SECTION_NAME, parse_document
from anchor.config.plugins import validate_options
from anchor.errors import ConfigProblem, ConfigurationError
from anchor.X509.parse_errors import MALFORMED

_SIGN_URL = re.compile(r"(.*)/v1/sign/([^/]*)/?")


@dataclass(frozen=True)
class Client:
    """A validated configuration.

    Attributes:
        authority: the registration authority to ask.
        source: the source of the credentials.
        issuers: the CAs that may issue certificates; None for the CAs of the service.
    """

    transport: Transport
    authority: str
    source: Source
    issuers: tuple[x509.Certificate, ...] | None = None

    def identity(self) -> bytes:
        """A hash of the service and the credentials; of a secret_command without running it."""
        fixed = self.source.value if isinstance(self.source, Fixed) else None
        credentials = (fixed.user, fixed.secret) if fixed else self.source
        parts = (self.transport.url.text, self.authority, credentials)
        return hashlib.sha256(repr(parts).encode()).digest()

    def service(
        self, authority: str | None = None, clock: Callable[[], float] = time.time
    ) -> Service:
        """A registration authority of the service; by default the configured one."""
        return Service(self.transport, authority or self.authority, self.issuers, clock)

    def sign(
        self,
        csr: x509.CertificateSigningRequest,
        previous: x509.Certificate | None = None,
        *,
        authority: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> IssuedCertificate:
        """Request a certificate as :meth:`Service.sign`, with the configured credentials.

        The error for refused credentials says what to do about them.
        """
        credentials = self.source.credentials()
        try:
            issued = self.service(authority, clock).sign(csr, credentials, previous)
        except CredentialsRefused as error:
            if not credentials.remedy:
                raise
            raise CredentialsRefused(f"{error}; {credentials.remedy}", error.retry_after) from None
        return replace(issued, credential_warning=credentials.warning)


def find(environment: Mapping[str, str] = os.environ) -> Path:
    """The path of the first ``client.json`` that exists.

    Raises:
        ConfigurationError: there is none.
    """
    if environment.get("ANCHOR_CLIENT_CONF"):
        return Path(environment["ANCHOR_CLIENT_CONF"]).expanduser()
    paths = [Path("~/.config/anchor/client.json").expanduser(), Path("/etc/anchor/client.json")]
    for path in paths:
        if path.is_file():
            return path
    raise ConfigurationError.about(
        "",
        f"there is no client.json in {', '.join(map(str, paths))}; "
        "$ANCHOR_CLIENT_CONF or --config names one elsewhere, and --url replaces it",
    )


def load(path: Path) -> Client:
    """Read and validate a configuration; relative paths start from its directory.

    Raises:
        ConfigurationError: with all problems.
    """
    path = path.absolute()
    document = parse_document(path)
    problems = Diagnostics()
    with problems.at():
        _require_trusted(path)
    return _client(document, path.parent, problems)


def from_options(options: Mapping[str, Any], typed_secret: str | None = None) -> Client:
    """Validate the options of a command line, which has no relative paths.

    Args:
        options: the options, by their names in ``client.json``.
        typed_secret: the secret of ``user`` if it is in no file.

    Raises:
        ConfigurationError: with all problems.
    """
    if "user" in options and "secret_file" not in options and typed_secret is None:
        raise ConfigurationError.about(
            "--user", "its secret was typed in; request the certificate again with --secret-file"
        )
    try:
        return _client(options, Path("/"), Diagnostics(), typed_secret)
    except ConfigurationError as error:
        raise ConfigurationError(
            [
                ConfigProblem(each.path and f"--{each.path.replace('_', '-')}", each.message)
                for each in error.problems
            ]
        ) from None


def load_for(spec: CertificateSpec, typed_secret: str | None = None) -> Client:
    """The configuration with which a certificate is requested and renewed.

    Args:
        spec: the certificate.
        typed_secret: the secret that the user has typed in, if any.

    Raises:
        ConfigurationError: with all problems.
    """
    if spec.client is not None:
        return from_options(spec.client, typed_secret)
    assert spec.config is not None
    return load(spec.config)


def _client(
    options: Mapping[str, Any], base: Path, problems: Diagnostics, typed_secret: str | None = None
) -> Client:
    settings: ClientSettings | None = None
    with problems.at():
        settings = validate_options(ClientSettings, options, base)
    if settings is None:
        problems.raise_if_any()
    assert settings is not None
    transport: Transport | None = None
    source: Source | None = None
    authority = settings.authority
    with problems.at():
        url, authority = _url_and_authority(settings)
        transport = _transport(settings, url)
    with problems.at():
        source = (
            credential_sources.configured_source(settings)
            if typed_secret is None
            else credential_sources.password(settings.user, typed_secret, "user")
        )
    issuers = None
    with problems.at():
        issuers = _issuers(settings.issuer_ca_file)
    problems.raise_if_any()
    assert transport is not None and source is not None
    return Client(transport, authority, source, issuers)


def _url_and_authority(settings: ClientSettings) -> tuple[str, str]:
    """The URL of the service and the authority's name, which may both be in ``url``."""
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


def _require_trusted(path: Path, option: str = "") -> None:
    """Raise ConfigurationError if another user could change the file.

    The file decides which server gets the secret, and which program is run.
    """
    try:
        trust.require(path)
    except Untrusted as error:
        raise ConfigurationError.about(option, str(error)) from None


def _transport(settings: ClientSettings, service_url: str) -> Transport:
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
        _require_trusted(settings.ca_file, "ca_file")
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


def _issuers(path: Path | None) -> tuple[x509.Certificate, ...] | None:
    if path is None:
        return None
    _require_trusted(path, "issuer_ca_file")
    try:
        return tuple(x509.load_pem_x509_certificates(path.read_bytes()))
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except MALFORMED:
        reason = "holds no certificates in PEM"
    raise ConfigurationError.about("issuer_ca_file", f"{path} {reason}")
