"""The two kinds of signing backends: classes with a key, and functions that sign."""

from __future__ import annotations

import datetime
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, cast, get_args

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from anchor.ca.profile import Profile
from anchor.ca.template import build_template
from anchor.ca.verify_issued import verify_external, verify_issued
from anchor.config import plugins
from anchor.config.plugins import load_plugin
from anchor.errors import ConfigurationError, SigningError
from anchor.X509.ca_certificate import CACertificate
from anchor.X509.signatures import SigningHash
from anchor.X509.signing_request import X509Csr

NAMESPACE = "anchor.signing_backends"

# The constructor of a backend can have a parameter for the CA's certificate.
SUPPLIED = frozenset({"certificate"})


class KeyBackend(Protocol):
    """The interface of a class that is registered as a signing backend.

    It may also have a method ``ready()``, for ``GET /readyz``, which raises an AnchorError if the
    key cannot sign at the moment.
    """

    def private_key(self) -> CertificateIssuerPrivateKeyTypes:
        """The CA's key, or an object with the same interface."""


class Signer(Protocol):
    """Signs the certificate for an approved request."""

    def issue(
        self, csr: X509Csr, ca: CACertificate, profile: Profile, now: datetime.datetime
    ) -> x509.Certificate:
        """Sign and verify the certificate; raise SigningError if either fails."""


def always_ready() -> None:
    """Return, since a key in memory can always sign."""


@dataclass(frozen=True)
class KeySigner:
    """Builds certificates and signs them with a key."""

    key: CertificateIssuerPrivateKeyTypes
    ready: Callable[[], None] = always_ready

    def issue(
        self, csr: X509Csr, ca: CACertificate, profile: Profile, now: datetime.datetime
    ) -> x509.Certificate:
        """Sign the certificate and verify it against the approved template."""
        template = build_template(csr, ca, profile, now)
        certificate = template.sign(self.key, profile.signing_hash)
        verify_issued(certificate, template)
        return certificate

    def check_key(self, certificate: x509.Certificate, signing_hash: SigningHash) -> None:
        """Require that the key can sign, and that the certificate's key verifies its signature.

        Raises:
            ConfigurationError: the key cannot sign, or does not match.
        """
        no_match = "the private key does not match the certificate in 'cert_path'"
        if self.key.public_key() != certificate.public_key():
            raise ConfigurationError.about("", no_match)
        takes_no_hash = isinstance(self.key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
        try:
            # The public key of a key in a token comes from the certificate, so only a signature
            # shows whether they match. A signed request can verify its signature.
            signed = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(
                self.key, None if takes_no_hash else signing_hash
            )
        except SigningError as error:
            raise ConfigurationError.about("", f"the key does not sign: {error}") from error
        except Exception as error:
            raise ConfigurationError.about(
                "", f"the key does not sign: {type(error).__name__}"
            ) from error
        if not signed.is_signature_valid:
            raise ConfigurationError.about("", no_match)


@dataclass(frozen=True)
class FunctionSigner:
    """Calls a plug-in's function that signs, and verifies each certificate that it returns."""

    function: Callable[[X509Csr, Mapping[str, Any]], object]
    conf: Mapping[str, Any]

    def issue(
        self, csr: X509Csr, ca: CACertificate, profile: Profile, now: datetime.datetime
    ) -> x509.Certificate:
        """Return the function's certificate if it is what was approved."""
        pem = self.function(csr, self.conf)
        if not isinstance(pem, str | bytes):
            raise SigningError("the signing backend did not answer a certificate in PEM")
        encoded = pem.encode("ascii") if isinstance(pem, str) else pem
        certificate = x509.load_pem_x509_certificate(encoded)
        verify_external(certificate, csr, ca, profile, now)
        return certificate


def load_backend(
    backend_section: Mapping[str, Any],
    ca_section: Mapping[str, Any],
    certificate: x509.Certificate | None,
    base: Path,
    *,
    with_key: bool,
) -> Signer | None:
    """Load the signing backend from a section of the configuration.

    Args:
        backend_section: the option ``backend``, and the options of that backend.
        ca_section: all options of the CA, which a function gets as they are.
        certificate: the CA's certificate; None if it is invalid. Then the options are only
            validated.
        base: the directory of relative paths.
        with_key: False to validate the options only, without the key.

    Returns:
        None if the options were only validated.

    Raises:
        ConfigurationError: the backend or its key cannot be used.
    """
    options = dict(backend_section)
    backend = load_plugin(NAMESPACE, options.pop("backend"))
    if not inspect.isclass(backend):
        try:
            inspect.signature(backend).bind("csr", "conf")
        except TypeError:
            raise ConfigurationError.about(
                "", "the function does not take the arguments csr and conf"
            ) from None
        return FunctionSigner(backend, MappingProxyType(dict(ca_section)))
    signature = plugins.Signature.of(backend, SUPPLIED)
    values = signature.validate(options, base, offline=not with_key)
    if certificate is None or not with_key:
        return None
    if "certificate" in signature.supplied_names:
        values["certificate"] = certificate
    try:
        instance = cast(KeyBackend, backend(**values))
        key = instance.private_key()
    except ConfigurationError:
        raise
    except ValueError as error:
        raise ConfigurationError.about("", str(error)) from error
    except (Exception, SystemExit) as error:
        # Only the type: the text of a plug-in's error may contain a secret.
        raise ConfigurationError.about(
            "", f"the signing backend failed: {type(error).__name__}"
        ) from error
    if not isinstance(key, get_args(CertificateIssuerPrivateKeyTypes)):
        raise ConfigurationError.about(
            "", f"private_key() of the signing backend returned no private key, but {type(key)!r}"
        )
    return KeySigner(key, getattr(instance, "ready", always_ready))
