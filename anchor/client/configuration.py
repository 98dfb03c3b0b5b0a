"""``client.json``: the service, the credentials, and the CAs that verify the service."""

from __future__ import annotations

import hashlib
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pydantic
from cryptography import x509

from anchor.client import trust
from anchor.client.credentials import Command, Credentials, Fixed, KeystoneToken, Source
from anchor.client.service import Service
from anchor.client.transport import URL, Transport
from anchor.client.trust import Untrusted
from anchor.config.diagnostics import Diagnostics
from anchor.config.document import parse_document
from anchor.config.file_types import FilePath, SecretFile
from anchor.config.plugins import validate_options
from anchor.errors import ConfigurationError
from anchor.X509.parse_errors import MALFORMED

AuthorityName = Annotated[str, pydantic.Field(pattern=r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\z")]


class KeystoneSettings(pydantic.BaseModel):
    """The ``keystone`` section."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    cloud: str | None = pydantic.Field(
        None, description="the cloud's name in clouds.yaml; without it the OS_* environment is used"
    )


class ClientSettings(pydantic.BaseModel):
    """The keys of ``client.json``."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    url: str = pydantic.Field(description="where the service is")
    authority: AuthorityName = pydantic.Field(
        "default", description="the registration authority to ask"
    )
    user: str = pydantic.Field("", description="the user name to give")
    secret_file: SecretFile | None = pydantic.Field(
        None, description="a file that others cannot read, with the secret in it"
    )
    secret_command: tuple[str, ...] | None = pydantic.Field(
        None, description="a program and its arguments, which prints the secret"
    )
    keystone: KeystoneSettings | None = pydantic.Field(
        None, description="have the secret be a token of Keystone's"
    )
    ca_file: FilePath | None = pydantic.Field(
        None,
        description="the CA certificates, in PEM, that vouch for the service's TLS certificate",
    )
    issuer_ca_file: FilePath | None = pydantic.Field(
        None,
        description="the CA certificates, in PEM, that a certificate from the service must lead to",
    )
    allow_http: bool = pydantic.Field(False, description="whether a service without TLS will do")
    timeout: Annotated[float, pydantic.Field(gt=0, le=600)] = pydantic.Field(
        30, description="how many seconds an answer may take"
    )


@dataclass(frozen=True)
class Client:
    """A validated configuration.

    Attributes:
        path: the configuration file.
        source: the source of the credentials.
        issuers: the CAs that may issue certificates; None for the CAs of the service.
    """

    path: Path
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
        "$ANCHOR_CLIENT_CONF or --config names one elsewhere",
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
    settings: ClientSettings | None = None
    with problems.at():
        settings = validate_options(ClientSettings, document, path.parent)
    if settings is None:
        problems.raise_if_any()
    assert settings is not None
    transport: Transport | None = None
    source: Source | None = None
    with problems.at():
        transport = _transport(settings)
    with problems.at():
        source = _source(settings)
    issuers = None
    with problems.at():
        issuers = _issuers(settings.issuer_ca_file)
    problems.raise_if_any()
    assert transport is not None and source is not None
    return Client(path, transport, settings.authority, source, issuers)


def _require_trusted(path: Path, option: str = "") -> None:
    """Raise ConfigurationError if another user could change the file.

    The file decides which server gets the secret, and which program is run.
    """
    try:
        trust.require(path)
    except Untrusted as error:
        raise ConfigurationError.about(option, str(error)) from None


def _transport(settings: ClientSettings) -> Transport:
    try:
        url = URL.parse(settings.url)
    except ValueError as error:
        raise ConfigurationError.about("url", str(error)) from None
    if url.scheme == "http":
        if not settings.allow_http:
            raise ConfigurationError.about(
                "url", "is plain http, which shows the secret to the network; see allow_http"
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


def _source(settings: ClientSettings) -> Source:
    configured = [
        name
        for name in ("secret_file", "secret_command", "keystone")
        if getattr(settings, name) is not None
    ]
    if len(configured) != 1:
        raise ConfigurationError.about(
            "", "exactly one of 'secret_file', 'secret_command' and 'keystone' is needed"
        )
    if settings.keystone is not None:
        return KeystoneToken(settings.user, settings.keystone.cloud, settings.timeout)
    if not settings.user:
        raise ConfigurationError.about("", "missing option 'user'")
    if settings.secret_command is not None:
        if not settings.secret_command:
            raise ConfigurationError.about("secret_command", "is empty")
        try:
            trust.require_command(settings.secret_command)
        except Untrusted as error:
            raise ConfigurationError.about("secret_command", str(error)) from None
        return Command(settings.user, settings.secret_command, settings.timeout)
    assert settings.secret_file is not None
    secret = settings.secret_file.get_secret_value()
    if not secret:
        raise ConfigurationError.about("secret_file", "is empty")
    return Fixed(Credentials(settings.user, secret))
