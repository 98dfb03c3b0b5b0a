"""``config.json``: read, proved, and turned into registration authorities.

A configuration is either good, or refused with everything that is wrong with it.  Nothing of it is
read again while the service runs.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import pydantic

from anchor.audit.sinks import AuditSink, load_audit_sink
from anchor.auth.authenticator import Authenticator, load_authenticator
from anchor.auth.circuit_breaker import SharedSlots
from anchor.auth.throttle import Failures, Throttle
from anchor.authority import RegistrationAuthority
from anchor.ca.loading import load_signing_ca
from anchor.ca.signing_ca import SigningCA
from anchor.config.diagnostics import Diagnostics
from anchor.config.document import Document, read_document
from anchor.config.plugins import validate_options
from anchor.errors import ConfigProblem
from anchor.policy.policy import Policy, load_policy
from anchor.store.ban_file import BanFile, BanSettings, load_bans
from anchor.timestamps import utc_now


class AuthoritySettings(pydantic.BaseModel):
    """The keys of a registration authority's section."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    authentication: str = pydantic.Field(description="the authentication to ask, by its name")
    signing_ca: str = pydantic.Field(description="the CA to sign with, by its name")
    validators: dict[str, dict[str, Any]] = pydantic.Field(
        description="options by the validator's name; every one of them has to agree, and with "
        "``{}`` only the rules that nothing switches off apply"
    )
    fixups: dict[str, dict[str, Any]] = pydantic.Field(
        {}, description="options by the fixup's name, in the order in which they work"
    )
    allowed_rsa_exponents: list[Annotated[int, pydantic.Field(ge=3)]] = pydantic.Field(
        [65537], description="the public exponents that RSA keys may have"
    )
    max_failures: Annotated[int, pydantic.Field(ge=0, le=1_000_000)] = pydantic.Field(
        10,
        description="how often a user may fail to authenticate from one address; after that the "
        "answer is 429 with ``Retry-After``, and no secret is tried. 0 for any number. A success "
        "is a new start. The same user at another address is not concerned. Failures at all "
        "authorities with the same ``authentication`` count, and all spellings of a user's name "
        "count as one",
    )
    max_address_failures: Annotated[int, pydantic.Field(ge=0, le=1_000_000)] = pydantic.Field(
        100,
        description="how often one address may fail, with any names together; 0 for any number. An "
        "IPv6 address stands for its network of 64 bits",
    )
    failure_window_seconds: Annotated[float, pydantic.Field(gt=0, le=86400)] = pydantic.Field(
        300, description="for how many seconds failures count, from the first of them on"
    )


@dataclass(frozen=True)
class LoadedConfiguration:
    """A proved configuration.

    Attributes:
        path: the file it was read from.
        authorities: the registration authorities by name, ready to work.
        warnings: what will soon be wrong, though nothing is yet.
    """

    path: Path
    authorities: Mapping[str, RegistrationAuthority]
    warnings: tuple[ConfigProblem, ...] = ()


def load_authorities(
    path: Path,
    *,
    offline: bool = False,
    clock: Callable[[], datetime.datetime] = utc_now,
) -> LoadedConfiguration:
    """Read and prove a configuration.

    Args:
        path: of ``config.json``.
        offline: whether to do without what only the service's own machine has: keys, secrets,
            backends, and a place for certificates and events.  What is loaded so tells what would
            be signed, and signs nothing.
        clock: tells the time, in UTC.

    Raises:
        ConfigurationError: with everything that is wrong with it.
    """
    problems = Diagnostics()
    document = read_document(path, problems)
    proving = Diagnostics()
    authenticators: dict[str, Authenticator] = {}
    shared_slots = None if offline else SharedSlots.of(path)
    for name, section in document.authentication.items():
        with proving.at("authentication", name):
            authenticators[name] = load_authenticator(
                name, section, document.base, offline=offline, shared_slots=shared_slots
            )
    signing_cas: dict[str, SigningCA] = {}
    for name, section in document.signing_ca.items():
        with proving.at("signing_ca", name):
            signing_cas[name] = load_signing_ca(
                name, section, document.base, clock(), with_key=not offline
            )
    trail: AuditSink | None = None
    with proving.at("audit"):
        ca_keys = [key for signing_ca in signing_cas.values() for key in signing_ca.public_keys()]
        trail = load_audit_sink(document.audit, document.base, ca_keys, offline=offline)
    ban_file: BanFile | None = None
    with proving.at("bans"):
        ban_file = load_bans(validate_options(BanSettings, document.bans, document.base), clock)
    authorities: dict[str, RegistrationAuthority] = {}
    failures = {name: Failures() for name in authenticators}
    for name, section in document.registration_authority.items():
        with proving.at("registration_authority", name):
            settings, its_policy = _load_authority(section, document, signing_cas, ban_file, clock)
            if (
                settings.authentication in authenticators
                and settings.signing_ca in signing_cas
                and trail is not None
            ):
                authorities[name] = RegistrationAuthority(
                    name=name,
                    authenticator=authenticators[settings.authentication],
                    policy=its_policy,
                    signing_ca=signing_cas[settings.signing_ca],
                    audit=trail,
                    conf=MappingProxyType(section),
                    clock=clock,
                    throttle=Throttle(
                        settings.max_failures,
                        settings.max_address_failures,
                        settings.failure_window_seconds,
                        shared=failures[settings.authentication],
                    ),
                )
    problems.extend(proving, document.as_written)
    problems.raise_if_any()
    warnings = (
        ConfigProblem(document.as_written(f"signing_ca.{name}"), warning)
        for name, ca in signing_cas.items()
        if (warning := ca.expiry_monitor.warning(clock())) is not None
    )
    return LoadedConfiguration(path, MappingProxyType(authorities), tuple(warnings))


def _load_authority(
    section: Mapping[str, Any],
    document: Document,
    signing_cas: Mapping[str, SigningCA],
    ban_file: BanFile | None,
    clock: Callable[[], datetime.datetime],
) -> tuple[AuthoritySettings, Policy]:
    problems = Diagnostics()
    settings: AuthoritySettings | None = None
    with problems.at():
        settings = validate_options(AuthoritySettings, section, document.base)
    for key in ("authentication", "signing_ca"):
        name = section.get(key)
        if isinstance(name, str) and name not in document.declared[key]:
            problems.add(key, f"there is no {key} {name!r}")
    ca = signing_cas.get(settings.signing_ca) if settings else None
    its_policy: Policy | None = None
    with problems.at():
        # Even when other keys of the section are wrong, its plug-ins' options are looked at.
        its_policy = load_policy(
            _objects(section.get("validators")),
            _objects(section.get("fixups")),
            frozenset(settings.allowed_rsa_exponents if settings else ()),
            ca.public_keys() if ca else frozenset(),
            document.base,
            bans=ban_file,
            issuer=(lambda: ca.at(clock())) if ca else None,
        )
    if ca and its_policy and its_policy.signs_intermediates and not ca.may_issue_intermediates():
        problems.add(
            "validators.ca_status.ca_requested",
            "the pathLenConstraint of the CA, or of its chain, leaves no room for an intermediate",
        )
    problems.raise_if_any()
    assert settings is not None and its_policy is not None
    return settings, its_policy


def _objects(value: Any) -> dict[str, Any]:
    """The members of a section that are sections themselves; others have their problem."""
    if not isinstance(value, dict):
        return {}
    return {name: options for name, options in value.items() if isinstance(options, dict)}
