"""The two kinds of signing backends: a key to sign with, and a function that has it done."""

from __future__ import annotations

import datetime
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

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

# A constructor that has a parameter of this name gets the CA's certificate.
SUPPLIED = frozenset({"certificate"})


class KeyBackend(Protocol):
    """What a class registered as a signing backend offers.

    It may have a method ``ready()`` as well, which returns if the key could sign now, and raises
    an AnchorError if it could not: ``GET /readyz`` asks.
    """

    def private_key(self) -> CertificateIssuerPrivateKeyTypes:
        """The CA's key, or something that signs like one."""


class Signer(Protocol):
    """Turns an approved request into a certificate that is what was approved."""

    def issue(
        self, csr: X509Csr, ca: CACertificate, profile: Profile, now: datetime.datetime
    ) -> x509.Certificate:
        """The certificate; raises SigningError when there is none to be trusted."""


def always_ready() -> None:
    """A key in memory can sign."""


@dataclass(frozen=True)
class KeySigner:
    """Builds certificates here, and signs them with a key."""

    key: CertificateIssuerPrivateKeyTypes
    ready: Callable[[], None] = always_ready

    def issue(
        self, csr: X509Csr, ca: CACertificate, profile: Profile, now: datetime.datetime
    ) -> x509.Certificate:
        """Sign the certificate and verify its encoding against what was approved."""
        template = build_template(csr, ca, profile, now)
        der = template.sign(self.key, profile.signing_hash).public_bytes(Encoding.DER)
        return verify_issued(der, template)

    def check_key(self, certificate: x509.Certificate, signing_hash: SigningHash) -> None:
        """Return if the key signs, and what it signs verifies with the certificate's key.

        Raises:
            ConfigurationError: it does not.
        """
        no_match = "the private key does not match the certificate in 'cert_path'"
        if self.key.public_key() != certificate.public_key():
            raise ConfigurationError.about("", no_match)
        takes_no_hash = isinstance(self.key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
        try:
            # A key in a token may only claim to be that one; a request is signed data that knows
            # how to be verified.
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
    """Has certificates made elsewhere, by a function of a plug-in, and trusts none of them."""

    function: Callable[[X509Csr, Mapping[str, Any]], object]
    conf: Mapping[str, Any]

    def issue(
        self, csr: X509Csr, ca: CACertificate, profile: Profile, now: datetime.datetime
    ) -> x509.Certificate:
        """The certificate that the function answers, if it is one that Anchor would have made."""
        pem = self.function(csr, self.conf)
        if not isinstance(pem, str | bytes):
            raise SigningError("the signing backend did not answer a certificate in PEM")
        encoded = pem.encode("ascii") if isinstance(pem, str) else pem
        certificate = x509.load_pem_x509_certificate(encoded)
        verify_external(certificate, csr, ca, profile, now)
        return certificate


def load_backend(
    own: Mapping[str, Any],
    section: Mapping[str, Any],
    certificate: x509.Certificate | None,
    base: Path,
    *,
    with_key: bool,
) -> Signer | None:
    """What signs, as a section of the configuration describes it.

    Args:
        own: the section's ``backend``, and the options that are the backend's own.
        section: all of it: a function gets it whole, and looks for itself.
        certificate: the CA's, or None if that is no good; then the options are only looked at.
        base: the directory that relative paths start from.
        with_key: whether to get at the key.

    Raises:
        ConfigurationError: the backend, or what it is to sign with, is no good.
    """
    options = dict(own)
    backend = load_plugin(NAMESPACE, options.pop("backend"))
    if not inspect.isclass(backend):
        return FunctionSigner(backend, MappingProxyType(dict(section)))
    signature = plugins.Signature.of(backend, SUPPLIED)
    values = signature.validate(options, base, offline=not with_key)
    if certificate is None or not with_key:
        return None
    if "certificate" in signature.supplied_names:
        values["certificate"] = certificate
    try:
        instance = cast(KeyBackend, backend(**values))
        return KeySigner(instance.private_key(), getattr(instance, "ready", always_ready))
    except ConfigurationError:
        raise
    except ValueError as error:
        raise ConfigurationError.about("", str(error)) from error
    except Exception as error:
        # Its text is not shown: nobody has promised that it holds no secret.
        raise ConfigurationError.about(
            "", f"the signing backend failed: {type(error).__name__}"
        ) from error
