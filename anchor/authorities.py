"""Registration authorities, loaded from ``config.json``.

All problems of a configuration are reported at once.  The running service never reads it again.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import pydantic

from anchor.acme.services import AcmeByAuthority, AcmeServices
from anchor.acme.settings import AcmeSettings
from anchor.audit.sinks import AuditSink, load_audit_sink
from anchor.auth.authenticator import Authenticator
from anchor.auth.circuit_breaker import SharedSlots
from anchor.auth.loading import load_authenticator
from anchor.auth.methods import AuthenticationMethod, AuthenticationMethods
from anchor.auth.throttle import SharedFailures, Throttle
from anchor.authority import RegistrationAuthority
from anchor.ca.loading import load_signing_ca
from anchor.ca.signing_ca import SigningCA
from anchor.config.diagnostics import Diagnostics
from anchor.config.document import Document, read_document
from anchor.config.plugins import validate_options
from anchor.config.suggestions import did_you_mean
from anchor.errors import ConfigProblem
from anchor.policy.policy import Policy, load_policy
from anchor.renewal.authentication import RenewalAuthentication
from anchor.renewal.settings import RenewalSettings
from anchor.store.ban_file import BanSettings
from anchor.store.bans import BanStore, NoBans
from anchor.store.database.bans import Bans
from anchor.store.database.certificates import Inventory
from anchor.store.database.engine import Database
from anchor.store.database.failures import Failures
from anchor.store.database.settings import locate_database
from anchor.store.database.tokens import Tokens
from anchor.timestamps import utc_now


class AuthoritySettings(pydantic.BaseModel):
    """The keys of a registration authority's section."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    authentication: str | Annotated[tuple[str, ...], pydantic.Field(min_length=1)] = pydantic.Field(
        description="the name of the authentication, or a list of names, at most one for each kind "
        "of credential: password, token and JWT. The form of a credential decides which "
        "authentication checks it, and no other one gets it. Keystone's tokens count as passwords"
    )
    signing_ca: str = pydantic.Field(description="the name of the CA that signs")
    validators: dict[str, dict[str, Any]] = pydantic.Field(
        description="the options of each validator, by its name. A request has to pass all of "
        "them; with ``{}`` only the mandatory checks apply"
    )
    fixups: dict[str, dict[str, Any]] = pydantic.Field(
        {}, description="the options of each fixup, by its name, in the order of application"
    )
    allowed_rsa_exponents: list[Annotated[int, pydantic.Field(ge=3)]] = pydantic.Field(
        [65537], description="the public exponents that RSA keys may have"
    )
    max_failures: Annotated[int, pydantic.Field(ge=0, le=1_000_000)] = pydantic.Field(
        10,
        description="how often a user may fail to authenticate from one address; after that the "
        "response is 429 with ``Retry-After``, and the secret is not checked. 0 means "
        "no limit. A success resets the count. Other addresses of the same user are "
        "not affected. Failures at "
        "all authorities with the same ``authentication`` count together, and so do all spellings "
        "of a user name",
    )
    max_address_failures: Annotated[int, pydantic.Field(ge=0, le=1_000_000)] = pydantic.Field(
        100,
        description="how often one address may fail, with all user names together; 0 means no "
        "limit. All IPv6 addresses in one /64 network count as one address",
    )
    failure_window_seconds: Annotated[float, pydantic.Field(gt=0, le=86400)] = pydantic.Field(
        300, description="for how many seconds failures count, from the first one on"
    )

    renewal: RenewalSettings = pydantic.Field(
        RenewalSettings(), description="renewal without a secret: which certificates are accepted"
    )
    acme: AcmeSettings | None = pydantic.Field(
        None, description="how ACME clients get certificates; without it they get none"
    )

    @property
    def authentications(self) -> tuple[str, ...]:
        """The names of the authentications."""
        names = self.authentication
        return (names,) if isinstance(names, str) else names


@dataclass(frozen=True)
class LoadedConfiguration:
    """A validated configuration.

    Attributes:
        path: the configuration file.
        authorities: the registration authorities by name.
        acme: those that have a section ``acme``, by name.
        database: the database, to which nothing has connected yet.
        ban_file: a ban file of an earlier version, which need not exist.
        warnings: conditions that will soon be problems, such as a CA certificate that expires.
    """

    path: Path
    authorities: Mapping[str, RegistrationAuthority]
    acme: AcmeByAuthority
    database: Database
    ban_file: Path
    warnings: tuple[ConfigProblem, ...] = ()


def load_authorities(
    path: Path,
    *,
    offline: bool = False,
    with_bans: bool = True,
    clock: Callable[[], datetime.datetime] = utc_now,
) -> LoadedConfiguration:
    """Read and validate a configuration.

    Args:
        path: the path of ``config.json``.
        offline: do not use keys, secrets, backends, and the directories for certificates and
            events, which only the service's machine has.  The authorities can then evaluate
            requests, but sign nothing.
        with_bans: False to evaluate requests without the bans in the database.
        clock: the time, in UTC.

    Raises:
        ConfigurationError: with all problems of the configuration.
    """
    problems = Diagnostics()
    document = read_document(path, problems)
    section_problems = Diagnostics()
    database: Database | None = None
    with section_problems.at("database"):
        database = Database(locate_database(document.database, document.base, offline=offline))
        if not offline:
            database.require_usable()
    services = {"tokens": Tokens(database, clock)} if database else {}
    authenticators: dict[str, Authenticator] = {}
    shared_slots = None if offline else SharedSlots.of(path)
    for name, section in document.authentication.items():
        with section_problems.at("authentication", name):
            authenticators[name] = load_authenticator(
                name,
                section,
                document.base,
                offline=offline,
                shared_slots=shared_slots,
                services=services,
            )
    signing_cas: dict[str, SigningCA] = {}
    for name, section in document.signing_ca.items():
        with section_problems.at("signing_ca", name):
            signing_cas[name] = load_signing_ca(
                name, section, document.base, clock(), with_key=not offline
            )
    audit: AuditSink | None = None
    with section_problems.at("audit"):
        ca_keys = [key for signing_ca in signing_cas.values() for key in signing_ca.public_keys()]
        audit = load_audit_sink(document.audit, document.base, ca_keys, offline=offline)
    ban_file: Path | None = None
    with section_problems.at("bans"):
        ban_file = validate_options(BanSettings, document.bans, document.base).path
    # Offline nothing is created, also no database.
    has_bans = with_bans and database is not None and (not offline or database.exists())
    bans = Bans(database) if database and has_bans else NoBans()
    authorities: dict[str, RegistrationAuthority] = {}
    acme: dict[str, AcmeServices] = {}
    shared_failures = (
        {name: SharedFailures(name, Failures(database)) for name in authenticators}
        if database
        else {}
    )
    for name, section in document.registration_authority.items():
        with section_problems.at("registration_authority", name):
            settings, policy = _load_authority(section, document, signing_cas, bans, clock)
            if (
                authenticators.keys() >= set(settings.authentications)
                and settings.signing_ca in signing_cas
                and audit is not None
                and database is not None
            ):
                methods = _methods(settings, authenticators, shared_failures)
                signing_ca, inventory = signing_cas[settings.signing_ca], Inventory(database)
                authorities[name] = RegistrationAuthority(
                    name=name,
                    methods=methods,
                    renewals=RenewalAuthentication(
                        authority=name,
                        settings=settings.renewal,
                        methods=methods,
                        signing_ca=signing_ca,
                        inventory=inventory,
                    ),
                    policy=policy,
                    signing_ca=signing_ca,
                    inventory=inventory,
                    audit=audit,
                    conf=MappingProxyType(section),
                    clock=clock,
                )
                if settings.acme is not None:
                    acme[name] = AcmeServices.of(
                        authorities[name], settings.acme, database, clock, shared_slots
                    )
    problems.extend(section_problems, document.as_written)
    problems.raise_if_any()
    assert database is not None and ban_file is not None
    warnings = (
        ConfigProblem(document.as_written(f"signing_ca.{name}"), warning)
        for name, ca in signing_cas.items()
        if (warning := ca.expiry_monitor.warning(clock())) is not None
    )
    return LoadedConfiguration(
        path=path,
        authorities=MappingProxyType(authorities),
        acme=MappingProxyType(acme),
        database=database,
        ban_file=ban_file,
        warnings=tuple(warnings),
    )


def _methods(
    settings: AuthoritySettings,
    authenticators: Mapping[str, Authenticator],
    shared_failures: Mapping[str, SharedFailures],
) -> AuthenticationMethods:
    """The ways to authenticate at an authority, each with its limits on failures."""
    return AuthenticationMethods(
        AuthenticationMethod(
            authenticators[name],
            Throttle(
                settings.max_failures,
                settings.max_address_failures,
                settings.failure_window_seconds,
                shared=shared_failures[name],
            ),
        )
        for name in settings.authentications
    )


def _load_authority(
    section: Mapping[str, Any],
    document: Document,
    signing_cas: Mapping[str, SigningCA],
    bans: BanStore,
    clock: Callable[[], datetime.datetime],
) -> tuple[AuthoritySettings, Policy]:
    problems = Diagnostics()
    settings: AuthoritySettings | None = None
    with problems.at():
        settings = validate_options(AuthoritySettings, section, document.base)
    for key in ("authentication", "signing_ca"):
        names = section.get(key)
        for name in names if isinstance(names, list) else [names]:
            if isinstance(name, str) and name not in document.declared[key]:
                known = document.declared[key]
                problems.add(key, f"there is no {key} {name!r}{did_you_mean(name, known)}")
    ca = signing_cas.get(settings.signing_ca) if settings else None
    policy: Policy | None = None
    with problems.at():
        # Validate the plug-ins' options even if other keys of the section are wrong.
        policy = load_policy(
            _objects(section.get("validators")),
            _objects(section.get("fixups")),
            frozenset(settings.allowed_rsa_exponents if settings else ()),
            ca.public_keys() if ca else frozenset(),
            document.base,
            bans=bans,
            clock=clock,
            issuer=(lambda: ca.at(clock())) if ca else None,
        )
    if ca and policy and policy.signs_intermediates and not ca.may_issue_intermediates():
        problems.add(
            "validators.ca_status.ca_requested",
            "the pathLenConstraint of the CA, or of its chain, leaves no room for an intermediate",
        )
    problems.raise_if_any()
    assert settings is not None and policy is not None
    return settings, policy


def _objects(value: Any) -> dict[str, Any]:
    """The members that are objects; another check reports the others."""
    if not isinstance(value, dict):
        return {}
    return {name: options for name, options in value.items() if isinstance(options, dict)}
