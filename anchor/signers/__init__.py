"""Signing CAs: a certificate, a profile, and a backend that signs."""

from __future__ import annotations

import datetime
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Protocol, cast

import pydantic
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from anchor import issuance, plugins, storage
from anchor.complaints import Complaints
from anchor.errors import AnchorError, ConfigurationError, SigningError
from anchor.issuance import Blank, CACertificate, Profile
from anchor.options import FilePath
from anchor.signers import certificates
from anchor.X509.signing_request import X509Csr

NAMESPACE = "anchor.signing_backends"

Hours = Annotated[float, pydantic.Field(gt=0, le=24 * 366 * 10)]


class KeyBackend(Protocol):
    """What a class registered as a signing backend offers.

    It may have a method ``ready()`` as well, which returns if the key could sign now, and raises
    an AnchorError if it could not: ``GET /readyz`` asks.
    """

    def private_key(self) -> CertificateIssuerPrivateKeyTypes:
        """The CA's key, or something that signs like one."""


class CASettings(pydantic.BaseModel):
    """The options that every signing CA has, whatever its backend."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    cert_path: FilePath = pydantic.Field(description="the CA's certificate, in PEM")
    chain_path: FilePath | None = pydantic.Field(
        None, description="what leads from it to a root, in PEM, its issuer first"
    )
    output_path: FilePath | None = pydantic.Field(
        None, description="the directory in which issued certificates are stored"
    )
    signing_hash: Literal["sha224", "sha256", "sha384", "sha512"] = pydantic.Field(
        "sha256", description="the hash for signatures with keys that take one"
    )
    valid_hours: Hours = pydantic.Field(24, description="how long a certificate is valid")
    backdate_seconds: Annotated[int, pydantic.Field(ge=0, le=86400)] = pydantic.Field(
        60, description="how much notBefore is set back, for clocks that lag"
    )
    min_valid_hours: Hours = pydantic.Field(
        1, description="the least validity to issue when the CA itself is about to end"
    )

    def profile(self) -> Profile:
        """The same, as the certificate's builder wants it; fractions of a second are dropped."""
        return Profile(
            validity=datetime.timedelta(seconds=max(1, round(self.valid_hours * 3600))),
            backdate=datetime.timedelta(seconds=self.backdate_seconds),
            floor=datetime.timedelta(hours=self.min_valid_hours),
            signing_hash=getattr(hashes, self.signing_hash.upper())(),
        )


@dataclass(frozen=True)
class Issued:
    """A certificate that was signed, read back and compared; ``der`` is its encoding."""

    certificate: x509.Certificate
    der: bytes


class Signer(Protocol):
    """Turns an approved request into a certificate that is what was approved."""

    def issue(
        self, csr: X509Csr, ca: CACertificate, profile: Profile, now: datetime.datetime
    ) -> Issued:
        """The certificate; raises SigningError when there is none to be trusted."""


def _always() -> None:
    """A key in memory can sign."""


@dataclass(frozen=True)
class KeySigner:
    """Builds certificates here, and signs them with a key."""

    key: CertificateIssuerPrivateKeyTypes
    ready: Callable[[], None] = _always

    def issue(
        self, csr: X509Csr, ca: CACertificate, profile: Profile, now: datetime.datetime
    ) -> Issued:
        """The certificate, read back from its encoding and compared with what was approved."""
        blank = issuance.fill_in(csr, ca, profile, now)
        der = blank.sign(self.key, profile.signing_hash).public_bytes(Encoding.DER)
        certificate = x509.load_der_x509_certificate(der)
        issuance.prove(certificate, blank, ca)
        return Issued(certificate, der)


@dataclass(frozen=True)
class FunctionSigner:
    """Has certificates made elsewhere, by a function of a plug-in, and trusts none of them."""

    function: Callable[[X509Csr, Mapping[str, Any]], object]
    conf: Mapping[str, Any]

    def issue(
        self, csr: X509Csr, ca: CACertificate, profile: Profile, now: datetime.datetime
    ) -> Issued:
        """The certificate that the function answers, if it is one that Anchor would have made."""
        pem = self.function(csr, self.conf)
        if not isinstance(pem, str | bytes):
            raise SigningError("the signing backend did not answer a certificate in PEM")
        encoded = pem.encode("ascii") if isinstance(pem, str) else pem
        certificate = x509.load_pem_x509_certificate(encoded)
        issuance.prove_foreign(certificate, csr, ca, profile, now)
        return Issued(certificate, certificate.public_bytes(Encoding.DER))


@dataclass(frozen=True)
class SigningCA:
    """A CA that is ready to sign, or that was loaded without its key."""

    name: str
    ca: CACertificate
    profile: Profile
    store: storage.Store
    signer: Signer | None

    def fill_in(self, csr: X509Csr, now: datetime.datetime) -> Blank:
        """What the certificate for an approved request would say; no key is needed for that.

        Raises:
            SigningError: there could be no such certificate.
        """
        try:
            return issuance.fill_in(csr, self.ca, self.profile, now)
        except SigningError:
            raise
        except Exception as error:
            raise SigningError(f"the signing CA {self.name!r} failed") from error

    def ready(self) -> None:
        """Return if the key could sign now, as far as its backend can tell.

        Raises:
            AnchorError: it could not.
        """
        if self.signer is None:
            raise SigningError(f"the signing CA {self.name!r} was loaded without its key")
        try:
            getattr(self.signer, "ready", _always)()
        except AnchorError:
            raise
        except Exception as error:
            raise SigningError(f"the signing CA {self.name!r} is not ready") from error

    def issue(self, csr: X509Csr, now: datetime.datetime) -> Issued:
        """The certificate for an approved request.

        Raises:
            SigningError: it cannot be signed, or is not what was approved.
        """
        if self.signer is None:
            raise SigningError(f"the signing CA {self.name!r} was loaded without its key")
        try:
            return self.signer.issue(csr, self.ca, self.profile, now)
        except SigningError:
            raise
        except Exception as error:
            raise SigningError(f"the signing CA {self.name!r} failed to sign") from error


def configure(
    name: str, section: Mapping[str, Any], base: Path, now: datetime.datetime, *, with_key: bool
) -> SigningCA:
    """The signing CA that a section of the configuration describes.

    Args:
        name: its name in the configuration.
        section: its options, those of its backend included.
        base: the directory that relative paths start from.
        now: when its certificates have to be valid.
        with_key: whether to get at its key; without it, it cannot sign.

    Raises:
        ConfigurationError: with everything that is wrong with it.
    """
    complaints = Complaints()
    common = {key: section[key] for key in CASettings.model_fields if key in section}
    own = {key: section[key] for key in section if key not in CASettings.model_fields}
    settings: CASettings | None = None
    ca: CACertificate | None = None
    store: storage.Store | None = None
    signer: Signer | None = None
    with complaints.at():
        settings = plugins.prove(CASettings, common, base)
    if settings is not None:
        with complaints.at():
            ca = _ca_certificate(settings, now)
        with complaints.at("output_path"):
            store = storage.configure(settings.output_path if with_key else None)
    with complaints.at():
        signer = _signer(own, section, base, with_key=with_key)
    if (
        ca is not None
        and isinstance(signer, KeySigner)
        and signer.key.public_key() != ca.certificate.public_key()
    ):
        complaints.add("", "the private key does not match the certificate in 'cert_path'")
    complaints.raise_if_any()
    assert settings is not None and ca is not None and store is not None
    return SigningCA(name, ca, settings.profile(), store, signer)


def _ca_certificate(settings: CASettings, now: datetime.datetime) -> CACertificate:
    try:
        certificate = certificates.read_ca(settings.cert_path, now)
    except ValueError as error:
        raise ConfigurationError.about("cert_path", str(error)) from error
    if settings.chain_path is None:
        return CACertificate.of(certificate, ())
    try:
        chain = certificates.read_chain(settings.chain_path, certificate, now)
    except ValueError as error:
        raise ConfigurationError.about("chain_path", str(error)) from error
    return CACertificate.of(certificate, chain)


def _signer(
    own: Mapping[str, Any], section: Mapping[str, Any], base: Path, *, with_key: bool
) -> Signer | None:
    """The backend with its own options; a function gets the whole section, and looks for itself."""
    options = dict(own)
    backend = plugins.load(NAMESPACE, options.pop("backend"))
    if not inspect.isclass(backend):
        return FunctionSigner(backend, MappingProxyType(dict(section)))
    values = plugins.Signature.of(backend).prove(options, base, offline=not with_key)
    if not with_key:
        return None
    try:
        instance = cast(KeyBackend, backend(**values))
        return KeySigner(instance.private_key(), getattr(instance, "ready", _always))
    except ValueError as error:
        raise ConfigurationError.about("", str(error)) from error
