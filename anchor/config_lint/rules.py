"""The lint rules, and the advice that ``anchor check`` prints.

The service does not import this package.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from anchor.config_lint import (
    access,
    acme,
    certificates,
    contents,
    database,
    names,
    oidc,
    records,
    renewals,
    requesters,
    sources,
    tokens,
)
from anchor.config_lint.review import ConfigUnderReview, LintFunction
from anchor.errors import ConfigProblem

PAGE = "reference/advice.html"


class Level(enum.IntEnum):
    """The severity of advice.

    NOTICE: worth knowing.  WARNING: fix it before others depend on the service.  DANGER: attackers
    can get secrets or certificates.
    """

    NOTICE = 1
    WARNING = 2
    DANGER = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Rule:
    """A lint rule; the meaning of an identifier never changes."""

    identifier: str
    level: Level
    check: LintFunction


@dataclass(frozen=True)
class Advice:
    """One piece of advice.

    Attributes:
        path: the path of the option, in the form of the file.
        message: a sentence with the reason.
        documentation_url: the configured URL of the documentation, if there is one.
    """

    identifier: str
    level: Level
    path: str
    message: str
    documentation_url: str | None = None

    @property
    def link(self) -> str:
        """The section of the documentation about this advice: a URL, or a path in it."""
        section = f"{PAGE}#{self.identifier}"
        return f"{self.documentation_url}/{section}" if self.documentation_url else section

    @property
    def reference(self) -> str:
        """What the reader follows: the URL, or a command that prints the section."""
        return self.link if self.documentation_url else f"anchor docs {self.identifier}"

    def __str__(self) -> str:
        return f"{self.level}: {ConfigProblem(self.path, self.message)} [{self.reference}]"


RULES = (
    Rule("sample-credentials", Level.DANGER, access.sample_credentials),
    Rule("static-secret", Level.NOTICE, access.static_secret),
    Rule("short-secret", Level.WARNING, access.short_secret),
    Rule("directory-without-tls", Level.DANGER, access.directory_without_tls),
    Rule("directory-not-verified", Level.DANGER, access.directory_not_verified),
    Rule("keystone-without-tls", Level.DANGER, access.keystone_without_tls),
    Rule("public-issuer", Level.DANGER, oidc.public_issuer),
    Rule("any-token", Level.WARNING, oidc.any_token),
    Rule("issuer-without-tls", Level.WARNING, oidc.issuer_without_tls),
    Rule("common-audience", Level.WARNING, oidc.common_audience),
    Rule("groups-of-anyone", Level.NOTICE, access.groups_of_anyone),
    Rule("served-without-tls", Level.WARNING, access.served_without_tls),
    Rule("forged-addresses", Level.DANGER, access.forged_addresses),
    Rule("address-of-a-proxy", Level.NOTICE, sources.address_of_a_proxy),
    Rule("metrics-for-everyone", Level.NOTICE, access.metrics_for_everyone),
    Rule("open-accounts", Level.DANGER, acme.open_accounts),
    Rule("acme-without-tls", Level.WARNING, acme.acme_without_tls),
    Rule("challenge-ports", Level.WARNING, acme.challenge_ports),
    Rule("any-target", Level.WARNING, acme.any_target),
    Rule("no-est-label", Level.WARNING, access.no_est_label),
    Rule("unlimited-failures", Level.WARNING, access.unlimited_failures),
    Rule("no-source-limit", Level.NOTICE, sources.no_source_limit),
    Rule("networks-of-a-trial", Level.NOTICE, sources.networks_of_a_trial),
    Rule("any-source", Level.WARNING, sources.any_source),
    Rule("any-name", Level.WARNING, names.any_name),
    Rule("unchecked-names", Level.WARNING, names.unchecked_names),
    Rule("every-name-listed", Level.WARNING, names.every_name_listed),
    Rule("any-requester", Level.WARNING, requesters.any_requester),
    Rule("undefined-claim", Level.WARNING, requesters.undefined_claim),
    Rule("overlapping-names", Level.NOTICE, requesters.overlapping_names),
    Rule("users-of-any-domain", Level.NOTICE, requesters.users_of_any_domain),
    Rule("standards-not-required", Level.WARNING, names.standards_not_required),
    Rule("signs-intermediates", Level.NOTICE, names.signs_intermediates),
    Rule("dsa-keys", Level.WARNING, names.dsa_keys),
    Rule("small-exponents", Level.NOTICE, names.small_exponents),
    Rule("subject-attributes-dropped", Level.NOTICE, contents.subject_attributes_dropped),
    Rule("any-extended-usage", Level.WARNING, contents.any_extended_usage),
    Rule("powerful-usage", Level.NOTICE, contents.powerful_usage),
    Rule("outside-name-constraints", Level.WARNING, contents.outside_name_constraints),
    Rule("ca-ends-soon", Level.WARNING, certificates.ca_ends_soon),
    Rule("long-validity", Level.WARNING, certificates.long_validity),
    Rule("weak-ca-key", Level.DANGER, certificates.weak_ca_key),
    Rule("broken-signature", Level.WARNING, certificates.broken_signature),
    Rule("expired-trust", Level.WARNING, certificates.expired_trust),
    Rule("weak-signing-hash", Level.NOTICE, certificates.weak_signing_hash),
    Rule("online-root", Level.NOTICE, certificates.online_root),
    Rule("secrets-readable", Level.DANGER, records.secrets_readable),
    Rule("secrets-in-configuration", Level.NOTICE, records.secrets_in_configuration),
    Rule("writable-by-others", Level.DANGER, records.writable_by_others),
    Rule("database-writable-by-others", Level.DANGER, database.database_writable_by_others),
    Rule("database-not-verified", Level.DANGER, database.database_not_verified),
    Rule("database-on-a-network", Level.WARNING, database.database_on_a_network),
    Rule("database-beside-configuration", Level.NOTICE, database.database_beside_configuration),
    Rule("renewals-without-end", Level.WARNING, renewals.renewals_without_end),
    Rule("tokens-without-end", Level.WARNING, tokens.tokens_without_end),
    Rule("audit-in-log-only", Level.NOTICE, records.audit_in_log_only),
    Rule("unused-section", Level.NOTICE, records.unused_section),
)


def lint(review: ConfigUnderReview) -> list[Advice]:
    """All advice on the configuration, the most severe first."""
    return sorted(_findings(review), key=lambda advice: -advice.level)


def _findings(review: ConfigUnderReview) -> Iterator[Advice]:
    for rule in RULES:
        for problem in rule.check(review):
            path = review.document.as_written(problem.path)
            url = review.web.documentation_url
            yield Advice(rule.identifier, rule.level, path, problem.message, url)
