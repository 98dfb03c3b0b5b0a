"""The validation of one challenge, within its time."""

from __future__ import annotations

import datetime
from urllib.parse import urlsplit

from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.acme.settings import AcmeSettings
from anchor.acme.validation import caa, dns_01, dns_persist_01, http_01, tls_alpn_01
from anchor.acme.validation.account_slots import AccountSlots
from anchor.acme.validation.attempt import Attempt
from anchor.acme.validation.connections import Connector
from anchor.acme.validation.failures import ChallengeFailed
from anchor.acme.validation.networks import ReachableNetworks
from anchor.acme.validation.resolver import Resolver
from anchor.acme.validation.time_limit import TimeLimit
from anchor.auth.circuit_breaker import CircuitBreaker, SharedSlots, default_limits
from anchor.errors import BackendUnavailable
from anchor.runtime import server

# For servers that do not say how many requests they serve at once.
_MAX_AT_ONCE = 16


class Validator:
    """Validates challenges, a limited number at once.

    A worker waits while a machine answers slowly; the limit keeps one free for other requests.  An
    account has half of the limit at most, so that it cannot keep out the others.

    Args:
        settings: the section ``acme`` of the authority.
        shared_slots: where the processes of the service count the validations.
    """

    def __init__(self, settings: AcmeSettings, shared_slots: SharedSlots | None = None):
        self._settings = settings
        self._networks = ReachableNetworks(settings.networks)
        limit, process_limit = default_limits(server.capacity())
        # It only counts: a failed validation pauses nothing.
        limit = limit or _MAX_AT_ONCE
        # Rounded up: with three, clients that validate two names at once are not refused.
        share = (min(limit, process_limit or limit) + 1) // 2
        self._account_slots = AccountSlots(share, shared_slots)
        self._slots = CircuitBreaker(
            limit,
            process_limit=process_limit,
            shared_slots=shared_slots,
            # All authorities share the workers.
            name="acme challenges",
        )

    def validate(self, attempt: Attempt, now: datetime.datetime) -> ChallengeFailed | None:
        """Why a challenge failed; None if it succeeded.

        Args:
            attempt: the response to the challenge.
            now: the time, in UTC.

        Raises:
            AcmeProblem: too many validations are running, for the account or for all.
        """
        try:
            with self._account_slots.hold(attempt.account_url), self._slots.call():
                outcome = self._outcome(attempt, now)
        except BackendUnavailable as error:
            raise AcmeProblem(
                ProblemType.RATE_LIMITED,
                "too many challenges are being validated: send the same request again later",
                retry_after=error.retry_after,
            ) from None
        if outcome is not None and not isinstance(outcome, ChallengeFailed):
            raise outcome
        return outcome

    def _outcome(self, attempt: Attempt, now: datetime.datetime) -> Exception | None:
        try:
            self._validate(attempt, now)
        except TimeoutError:
            return ChallengeFailed(
                ProblemType.CONNECTION,
                f"the validation of {attempt.identifier} took longer than "
                f"{self._settings.challenge_seconds:g} seconds",
            )
        except Exception as error:  # noqa: BLE001  # validate raises it
            return error
        return None

    def _validate(self, attempt: Attempt, now: datetime.datetime) -> None:
        settings = self._settings
        limit = TimeLimit(settings.challenge_seconds)
        resolver = Resolver(settings.resolvers, limit)
        own_host = urlsplit(attempt.account_url).hostname or ""
        connector = Connector(self._networks, resolver, limit, own_host)
        match attempt.type:
            case "http-01":
                http_01.validate(attempt, settings, connector, limit)
            case "tls-alpn-01":
                tls_alpn_01.validate(attempt, settings, connector, limit)
            case "dns-01":
                dns_01.validate(attempt, resolver)
            case "dns-persist-01":
                dns_persist_01.validate(attempt, settings.issuer_domain_names, resolver, now)
            case _:
                raise ValueError(f"{attempt.type!a} is no type of challenge")
        if settings.caa and attempt.identifier.type == "dns":
            caa.require_permitted(attempt, settings.issuer_domain_names, resolver)
