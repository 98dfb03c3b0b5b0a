"""Loading a CA from its section of the configuration, and checking that it can sign."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
from cryptography.hazmat.primitives import hashes

from anchor.ca import chain as certificates
from anchor.ca.backends import KeySigner, Signer, load_backend
from anchor.ca.expiry import ExpiryMonitor
from anchor.ca.profile import Profile
from anchor.ca.settings import CASettings
from anchor.ca.signing_ca import Generation, SigningCA
from anchor.config.diagnostics import Diagnostics
from anchor.config.file_types import FilePath
from anchor.config.option_types import Moment
from anchor.config.plugins import validate_options
from anchor.config.suggestions import suggesting
from anchor.errors import ConfigurationError
from anchor.store import certificate_files
from anchor.store.certificate_files import load_store
from anchor.X509.ca_certificate import CACertificate


class NextSettings(pydantic.BaseModel):
    """The options in ``next``, besides those of the backend."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    start: Moment = pydantic.Field(
        alias="from",
        description="the time from which the next CA signs, with a time zone, such as "
        "``2031-06-01T00:00:00Z``. The present CA must not end before it",
    )
    cert_path: FilePath = pydantic.Field(
        description="the certificate of the next CA in PEM. It has to be valid at that time"
    )
    chain_path: FilePath | None = pydantic.Field(
        None, description="the certificates between that one and a root, in PEM, its issuer first"
    )


_NEXT_OPTIONS = frozenset({"from", "cert_path", "chain_path"})


@dataclass(frozen=True)
class GenerationConfig:
    """The configuration of one generation of a CA.

    Attributes:
        since: when the CA starts to use it.
        valid_at: when its certificate has to be valid.
        paths: the paths of its certificate and its chain; None if these options are invalid.
        backend_section: the option ``backend``, and the options of that backend.
        ca_section: all options that a backend gets if it is a function.
        with_key: False if it will not have to sign.
    """

    since: datetime.datetime
    valid_at: datetime.datetime
    paths: tuple[Path, Path | None] | None
    backend_section: Mapping[str, Any]
    ca_section: Mapping[str, Any]
    with_key: bool

    def load(self, base: Path, profile: Profile | None) -> Generation | None:
        """Load the generation; return None if its paths or the profile are invalid.

        Raises:
            ConfigurationError: with all problems of the generation.
        """
        problems = Diagnostics()
        ca: CACertificate | None = None
        signer: Signer | None = None
        with problems.at():
            ca = _ca_certificate(self.paths, self.valid_at) if self.paths else None
        with problems.at(), suggesting(CASettings):
            certificate = ca.certificate if ca else None
            signer = load_backend(
                self.backend_section, self.ca_section, certificate, base, with_key=self.with_key
            )
            if certificate and profile and isinstance(signer, KeySigner):
                signer.check_key(certificate, profile.signing_hash)
        problems.raise_if_any()
        return Generation(self.since, ca, signer) if ca and profile else None


def load_signing_ca(
    name: str, section: Mapping[str, Any], base: Path, now: datetime.datetime, *, with_key: bool
) -> SigningCA:
    """Load a signing CA from its section of the configuration.

    Args:
        name: the CA's name in the configuration.
        section: the options of the CA and of its backend.
        base: the directory of relative paths.
        now: when its certificates have to be valid.
        with_key: False to load the CA without its key, so that it cannot sign.

    Raises:
        ConfigurationError: with all problems of the section.
    """
    problems = Diagnostics()
    common = {key: section[key] for key in CASettings.model_fields if key in section}
    settings: CASettings | None = None
    store: certificate_files.Store | None = None
    next_settings: NextSettings | None = None
    with problems.at():
        settings = validate_options(CASettings, common, base)
    if settings is not None:
        with problems.at("output_path"):
            store = load_store(settings.output_path if with_key else None)
    next_section = section.get("next")
    if isinstance(next_section, dict):
        with problems.at("next"):
            options = {key: next_section[key] for key in next_section if key in _NEXT_OPTIONS}
            next_settings = validate_options(NextSettings, options, base)
    profile = _profile(settings) if settings else None
    first: Generation | None = None
    second: Generation | None = None
    with problems.at():
        first = _first_generation(
            section, settings, next_settings=next_settings, now=now, with_key=with_key
        ).load(base, profile)
    if isinstance(next_section, dict):
        with problems.at("next"):
            second = _second_generation(
                section, next_section, next_settings=next_settings, now=now, with_key=with_key
            ).load(base, profile)
    if first and second:
        with problems.at("next"):
            _check_succession(first, second)
    problems.raise_if_any()
    assert settings is not None and store is not None and profile is not None and first is not None
    generations = (first, second) if second else (first,)
    expiry_monitor = ExpiryMonitor(
        name=f"signing CA {name!r}",
        not_after=generations[-1].ca.not_after,
        validity=profile.validity,
        lifetimes=settings.warn_lifetimes,
    )
    return SigningCA(
        name=name,
        generations=generations,
        profile=profile,
        store=store,
        expiry_monitor=expiry_monitor,
    )


def _profile(settings: CASettings) -> Profile:
    return Profile(
        validity=settings.validity,
        backdate=datetime.timedelta(seconds=settings.backdate_seconds),
        min_validity=min(datetime.timedelta(hours=settings.min_valid_hours), settings.validity),
        signing_hash=getattr(hashes, settings.signing_hash.upper())(),
    )


def _first_generation(
    section: Mapping[str, Any],
    settings: CASettings | None,
    *,
    next_settings: NextSettings | None,
    now: datetime.datetime,
    with_key: bool,
) -> GenerationConfig:
    # After the next generation has started, this one may expire, and its key may be deleted.
    replaced = next_settings is not None and next_settings.start <= now
    return GenerationConfig(
        since=datetime.datetime.min.replace(tzinfo=datetime.UTC),
        valid_at=next_settings.start if next_settings and replaced else now,
        paths=(settings.cert_path, settings.chain_path) if settings else None,
        backend_section={
            key: section[key] for key in section if key not in CASettings.model_fields
        },
        ca_section=section,
        with_key=with_key and not replaced,
    )


def _second_generation(
    section: Mapping[str, Any],
    next_section: Mapping[str, Any],
    *,
    next_settings: NextSettings | None,
    now: datetime.datetime,
    with_key: bool,
) -> GenerationConfig:
    """The next generation; it shares all options except those of its certificate and key."""
    shared = CASettings.model_fields.keys() - {"cert_path", "chain_path", "next"}
    backend = {"backend": section["backend"]}
    start = next_settings.start if next_settings else now
    return GenerationConfig(
        since=start,
        valid_at=max(start, now),
        paths=(next_settings.cert_path, next_settings.chain_path) if next_settings else None,
        backend_section=backend
        | {key: next_section[key] for key in next_section if key not in _NEXT_OPTIONS},
        ca_section=backend
        | {key: section[key] for key in section if key in shared}
        | {key: next_section[key] for key in next_section if key != "from"},
        with_key=with_key,
    )


def _check_succession(first: Generation, second: Generation) -> None:
    if first.ca.certificate == second.ca.certificate:
        raise ConfigurationError.about("cert_path", "is the certificate that is in use already")
    if first.ca.not_after < second.since:
        raise ConfigurationError.about(
            "from", f"is after the end of the CA, or of its chain, at {first.ca.not_after}"
        )


def _ca_certificate(paths: tuple[Path, Path | None], now: datetime.datetime) -> CACertificate:
    cert_path, chain_path = paths
    try:
        certificate = certificates.read_ca(cert_path, now)
    except ValueError as error:
        raise ConfigurationError.about("cert_path", str(error)) from error
    if chain_path is None:
        return CACertificate.of(certificate, ())
    try:
        chain = certificates.read_chain(chain_path, certificate, now)
    except ValueError as error:
        raise ConfigurationError.about("chain_path", str(error)) from error
    return CACertificate.of(certificate, chain)
