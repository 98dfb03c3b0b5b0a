"""From a section of ``signing_ca`` to a CA that was proved to be able to sign."""

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
from anchor.config.option_types import FilePath, Moment
from anchor.config.plugins import validate_options
from anchor.errors import ConfigurationError
from anchor.store import certificate_files
from anchor.store.certificate_files import load_store
from anchor.X509.ca_certificate import CACertificate


class NextSettings(pydantic.BaseModel):
    """The options in ``next``, besides those of the backend."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    start: Moment = pydantic.Field(
        alias="from",
        description="the moment at which it takes over, with its zone, such as "
        "``2031-06-01T00:00:00Z``; the CA must not end before it",
    )
    cert_path: FilePath = pydantic.Field(
        description="the CA's next certificate in PEM; it has to be valid at that moment"
    )
    chain_path: FilePath | None = pydantic.Field(
        None, description="what leads from that to a root, in PEM, its issuer first"
    )


_OF_NEXT = frozenset({"from", "cert_path", "chain_path"})


@dataclass(frozen=True)
class Draft:
    """A generation of a CA as the configuration has it.

    Attributes:
        since: from when it is used.
        valid_at: when its certificate has to be valid.
        paths: of its certificate and its chain; None if they are no good.
        own: its ``backend``, and that one's options.
        section: all that a backend which is a function gets to see.
        with_key: whether it will have to sign.
    """

    since: datetime.datetime
    valid_at: datetime.datetime
    paths: tuple[Path, Path | None] | None
    own: Mapping[str, Any]
    section: Mapping[str, Any]
    with_key: bool

    def load(self, base: Path, profile: Profile | None) -> Generation | None:
        """The generation; None if its certificate or its profile have their problems already.

        Raises:
            ConfigurationError: with everything that is wrong with it.
        """
        problems = Diagnostics()
        ca: CACertificate | None = None
        signer: Signer | None = None
        with problems.at():
            ca = _ca_certificate(self.paths, self.valid_at) if self.paths else None
        with problems.at():
            certificate = ca.certificate if ca else None
            signer = load_backend(self.own, self.section, certificate, base, with_key=self.with_key)
            if certificate and profile and isinstance(signer, KeySigner):
                signer.check_key(certificate, profile.signing_hash)
        problems.raise_if_any()
        return Generation(self.since, ca, signer) if ca and profile else None


def load_signing_ca(
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
    problems = Diagnostics()
    common = {key: section[key] for key in CASettings.model_fields if key in section}
    settings: CASettings | None = None
    store: certificate_files.Store | None = None
    upcoming: NextSettings | None = None
    with problems.at():
        settings = validate_options(CASettings, common, base)
    if settings is not None:
        with problems.at("output_path"):
            store = load_store(settings.output_path if with_key else None)
    following = section.get("next")
    if isinstance(following, dict):
        with problems.at("next"):
            its = {key: following[key] for key in following if key in _OF_NEXT}
            upcoming = validate_options(NextSettings, its, base)
    profile = _profile(settings) if settings else None
    first: Generation | None = None
    second: Generation | None = None
    with problems.at():
        first = _first(section, settings, upcoming, now, with_key).load(base, profile)
    if isinstance(following, dict):
        with problems.at("next"):
            second = _second(section, following, upcoming, now, with_key).load(base, profile)
    if first and second:
        with problems.at("next"):
            _check_succession(first, second)
    problems.raise_if_any()
    assert settings is not None and store is not None and profile is not None and first is not None
    generations = (first, second) if second else (first,)
    watch = ExpiryMonitor(
        f"signing CA {name!r}",
        generations[-1].ca.not_after,
        profile.validity,
        settings.warn_lifetimes,
    )
    return SigningCA(name, generations, profile, store, watch)


def _profile(settings: CASettings) -> Profile:
    """The settings as the certificate's builder wants them."""
    return Profile(
        validity=settings.validity,
        backdate=datetime.timedelta(seconds=settings.backdate_seconds),
        floor=datetime.timedelta(hours=settings.min_valid_hours),
        signing_hash=getattr(hashes, settings.signing_hash.upper())(),
    )


def _first(
    section: Mapping[str, Any],
    settings: CASettings | None,
    upcoming: NextSettings | None,
    now: datetime.datetime,
    with_key: bool,
) -> Draft:
    # Once the next one has taken over, this one may end, and its key may be gone.
    over = upcoming is not None and upcoming.start <= now
    return Draft(
        since=datetime.datetime.min.replace(tzinfo=datetime.UTC),
        valid_at=upcoming.start if upcoming and over else now,
        paths=(settings.cert_path, settings.chain_path) if settings else None,
        own={key: section[key] for key in section if key not in CASettings.model_fields},
        section=section,
        with_key=with_key and not over,
    )


def _second(
    section: Mapping[str, Any],
    following: Mapping[str, Any],
    upcoming: NextSettings | None,
    now: datetime.datetime,
    with_key: bool,
) -> Draft:
    """What does not belong to a certificate or its key is the same as before."""
    kept = CASettings.model_fields.keys() - {"cert_path", "chain_path", "next"}
    backend = {"backend": section["backend"]}
    start = upcoming.start if upcoming else now
    return Draft(
        since=start,
        valid_at=max(start, now),
        paths=(upcoming.cert_path, upcoming.chain_path) if upcoming else None,
        own=backend | {key: following[key] for key in following if key not in _OF_NEXT},
        section=backend
        | {key: section[key] for key in section if key in kept}
        | {key: following[key] for key in following if key != "from"},
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
