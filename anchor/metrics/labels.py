"""The labels of the counters; the configuration determines all of them."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping

from anchor import errors
from anchor.auth.results import CredentialKind
from anchor.authority import RegistrationAuthority
from anchor.ca.signing_ca import SigningCA

Key = tuple[str, ...]

# The first matching class decides; an error of no class is FAILED, a fault of Anchor's.
OUTCOMES: Mapping[str, type[Exception]] = {
    "refused": errors.ValidationFailed,
    "unauthenticated": errors.NotAuthenticated,
    "throttled": errors.TooManyAttempts,
    "unavailable": errors.BackendUnavailable,
    "database_unavailable": errors.DatabaseUnavailable,
    "malformed": errors.RequestError,
}
ISSUED, FAILED = "issued", "failed"
AUTHENTICATION_OUTCOMES = ("unauthenticated", "throttled", "unavailable")
OTHER_CHECK = "other"
NO_AUTHENTICATION = "none"

BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def counter_keys(
    authorities: Collection[RegistrationAuthority],
    cas: Iterable[SigningCA],
    acme: Container[str],
) -> Iterator[Key]:
    """The keys of all counters: the name of the counter, and its labels.

    Args:
        authorities: the registration authorities.
        cas: the CAs.
        acme: the names of the authorities with ACME.
    """
    for authority in authorities:
        for outcome in (ISSUED, *OUTCOMES, FAILED):
            yield "requests", authority.name, outcome
        checks = [check.name for check in authority.policy.checks]
        fixups = [fixup.name for fixup in authority.policy.fixups]
        for check in dict.fromkeys((*checks, *fixups, OTHER_CHECK)):
            yield "refusals", authority.name, check
    for authentication, credential in sorted(_authentications(authorities, acme)):
        yield "authenticated", authentication, credential
    names = {refusing(authority) for authority in authorities}
    for authority in authorities:
        names.update(each.name for each in authority.methods.authenticators)
    for authentication in sorted(names):
        for kind in AUTHENTICATION_OUTCOMES:
            yield "authentication", authentication, kind
    for ca in cas:
        yield "issued", ca.name
        yield "signing_sum", ca.name
        for bucket in range(len(BUCKETS_SECONDS) + 1):
            yield "signing", ca.name, str(bucket)


def _authentications(
    authorities: Iterable[RegistrationAuthority], acme: Container[str]
) -> set[tuple[str, str]]:
    """The authentications, each with every kind of credential that it can accept."""
    pairs: set[tuple[str, str]] = set()
    for authority in authorities:
        has_acme = authority.name in acme
        if has_acme:
            # An account without a token; it may be older than the present configuration.
            pairs.add((NO_AUTHENTICATION, CredentialKind.ACME))
        for authenticator in authority.methods.authenticators:
            pairs.add((authenticator.name, authenticator.credential))
            if authority.renewals.settings.enabled:
                pairs.add((authenticator.name, CredentialKind.CERTIFICATE))
            if has_acme and authenticator.credential is CredentialKind.TOKEN:
                pairs.add((authenticator.name, CredentialKind.ACME))
    return pairs


def outcome_of(error: Exception) -> str:
    """The outcome of a request with an error."""
    return next((name for name, kind in OUTCOMES.items() if isinstance(error, kind)), FAILED)


def refusing(authority: RegistrationAuthority, error: Exception | None = None) -> str:
    """The authentication that an error is counted for; ``none`` if the request chose none."""
    authenticators = authority.methods.authenticators
    default = authenticators[0].name if len(authenticators) == 1 else NO_AUTHENTICATION
    return getattr(error, "authentication", "") or default
