"""The configured service, its credentials, and the CAs that verify the service.

The options are in ``client.json``, or on the command line of ``anchor request``.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography import x509

from anchor.client import connection, credential_sources
from anchor.client.credential_sources import NoSource
from anchor.client.credentials import Fixed, Source
from anchor.client.errors import CredentialsRefused
from anchor.client.issued import IssuedCertificate
from anchor.client.service import Service
from anchor.client.settings import ClientSettings
from anchor.client.tracking import CertificateSpec
from anchor.client.transport import Transport
from anchor.config.diagnostics import Diagnostics
from anchor.config.document import parse_document
from anchor.config.plugins import validate_options
from anchor.errors import ConfigProblem, ConfigurationError


@dataclass(frozen=True)
class Client:
    """A validated configuration.

    Attributes:
        authority: the registration authority to ask.
        source: the source of the credentials.
        issuers: the CAs that may issue certificates; None for the CAs of the service.
        renew_with_certificate: True if a renewal may use the certificate as its credential.
        secret_path: the file with the secret; None if the secret is not in a file that the client
            may delete.
        delete_secret: True if the file is deleted after a renewal with the certificate.
    """

    transport: Transport
    authority: str
    source: Source
    issuers: tuple[x509.Certificate, ...] | None = None
    renew_with_certificate: bool = True
    secret_path: Path | None = None
    delete_secret: bool = False

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


def load(path: Path, *, needs_secret: bool = True) -> Client:
    """Read and validate a configuration; relative paths start from its directory.

    Args:
        path: the ``client.json``.
        needs_secret: False if a missing or unusable secret is an error only when it is used.

    Raises:
        ConfigurationError: with all problems.
    """
    path = path.absolute()
    document = parse_document(path)
    problems = Diagnostics()
    with problems.at():
        connection.require_trusted(path)
    return _client(document, path.parent, problems, needs_secret=needs_secret)


def from_options(
    options: Mapping[str, Any], typed_secret: str | None = None, *, needs_secret: bool = True
) -> Client:
    """Validate the options of a command line, which has no relative paths.

    Args:
        options: the options, by their names in ``client.json``.
        typed_secret: the secret of ``user`` if it is in no file.
        needs_secret: as for :func:`load`.

    Raises:
        ConfigurationError: with all problems.
    """
    was_typed = "user" in options and "secret_file" not in options and typed_secret is None
    not_kept = ConfigurationError.about(
        "--user", "its secret was typed in; request the certificate again with --secret-file"
    )
    if was_typed and needs_secret:
        raise not_kept
    try:
        client = _client(options, Path("/"), Diagnostics(), typed_secret, needs_secret=needs_secret)
    except ConfigurationError as error:
        raise _about_options(error) from None
    if was_typed:
        return replace(client, source=NoSource(not_kept))
    if isinstance(client.source, NoSource):
        return replace(client, source=NoSource(_about_options(client.source.error)))
    return client


def _about_options(error: ConfigurationError) -> ConfigurationError:
    """The error with the options of the command line in the place of those of client.json."""
    return ConfigurationError(
        [
            ConfigProblem(each.path and f"--{each.path.replace('_', '-')}", each.message)
            for each in error.problems
        ]
    )


def load_for(
    spec: CertificateSpec, typed_secret: str | None = None, *, needs_secret: bool = True
) -> Client:
    """The configuration with which a certificate is requested and renewed.

    Args:
        spec: the certificate.
        typed_secret: the secret that the user has typed in, if any.
        needs_secret: as for :func:`load`.

    Raises:
        ConfigurationError: with all problems.
    """
    if spec.client is not None:
        return from_options(spec.client, typed_secret, needs_secret=needs_secret)
    assert spec.config is not None
    return load(spec.config, needs_secret=needs_secret)


def _client(
    options: Mapping[str, Any],
    base: Path,
    problems: Diagnostics,
    typed_secret: str | None = None,
    *,
    needs_secret: bool,
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
        url, authority = connection.url_and_authority(settings)
        transport = connection.transport(settings, url)
    with problems.at():
        source = _source(settings, typed_secret, needs_secret=needs_secret)
    with problems.at():
        _require_deletable(settings)
    issuers = None
    with problems.at():
        issuers = connection.issuers(settings.issuer_ca_file)
    problems.raise_if_any()
    assert transport is not None and source is not None
    return Client(
        transport,
        authority,
        source,
        issuers,
        renew_with_certificate=settings.renew_with_certificate,
        secret_path=settings.secret_file or settings.token_file,
        delete_secret=settings.delete_secret,
    )


def _source(settings: ClientSettings, typed_secret: str | None, *, needs_secret: bool) -> Source:
    try:
        if typed_secret is not None:
            return credential_sources.password(settings.user, typed_secret, "user")
        return credential_sources.configured_source(settings)
    except ConfigurationError as error:
        if needs_secret:
            raise
        return NoSource(error)


def _require_deletable(settings: ClientSettings) -> None:
    """Raise ConfigurationError if there is no file that ``delete_secret`` could delete."""
    if not settings.delete_secret:
        return
    if settings.secret_file is None and settings.token_file is None:
        raise ConfigurationError.about(
            "delete_secret", "deletes the file of 'secret_file' or 'token_file', and needs one"
        )
    if not settings.renew_with_certificate:
        raise ConfigurationError.about(
            "delete_secret", "needs renewals with the certificate (renew_with_certificate)"
        )
