"""The data of the front page: authorities, their CAs and their policies."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes

from anchor.authority import RegistrationAuthority
from anchor.ca.signing_ca import Generation, SigningCA
from anchor.policy.description import summary
from anchor.policy.description.summary import RuleDescription, printable
from anchor.timestamps import timestamp
from anchor.web.pages.commands import Way

DAY = datetime.timedelta(days=1)
HOUR = datetime.timedelta(hours=1)
MINUTE = datetime.timedelta(minutes=1)


@dataclass(frozen=True)
class CA:
    """A CA's certificate at one moment.

    Attributes:
        role: ``in use``, ``coming`` or ``former``.
        since: the time from which a coming CA signs; None for the others.
        fingerprint: SHA-256 of the DER encoding.
        not_after: the end of the CA, or of a certificate in its chain if that is earlier.
        time_left: the time until then, in words.
        percent_left: the remaining part of the validity, 0 to 100.
        state: ``good``, ``ending`` if the operator should replace the CA now, or ``ended``.
        alarm: what is wrong, for people; empty if nothing is.
    """

    role: str
    since: datetime.datetime | None
    subject: str
    fingerprint: bytes
    not_after: datetime.datetime
    time_left: str
    percent_left: int
    state: str
    alarm: str


@dataclass(frozen=True)
class PolicySummary:
    """An authority's policy in words.

    Attributes:
        credentials: what a requester authenticates with.
        validity: how long a certificate is valid.
        rules: what the validators require.
        fixups: what the fixups change.
        intermediates: True if the authority signs CA certificates.
    """

    credentials: str
    validity: str
    rules: tuple[RuleDescription, ...]
    fixups: tuple[RuleDescription, ...]
    intermediates: bool

    @classmethod
    def of(cls, authority: RegistrationAuthority) -> PolicySummary:
        """The summary of an authority's policy."""
        conf = authority.conf
        return cls(
            credentials=summary.describe_authentications(
                authenticator.backend for authenticator in authority.methods.authenticators
            ),
            validity=duration(authority.signing_ca.profile.validity),
            rules=summary.describe_validators(authority.policy, conf.get("validators", {})),
            fixups=summary.describe_fixups(authority.policy, conf.get("fixups", {})),
            intermediates=authority.policy.signs_intermediates,
        )


@dataclass(frozen=True)
class Authority:
    """An authority at one moment.

    Attributes:
        schemes: the HTTP authentication schemes that are accepted.
        policy: None if policies are not published.
        renew: the path for renewals without a secret; None if they are switched off.
        est: the path for EST clients; None if they cannot reach the authority.
        acme: the URL of the directory for ACME clients; None without ACME.
        hint: a sentence before the commands; empty for none.
        ways: the ways to get a certificate.
    """

    name: str
    cas: tuple[CA, ...]
    has_chain: bool
    schemes: tuple[str, ...]
    policy: PolicySummary | None
    renew: str | None
    est: str | None
    acme: str | None
    hint: str
    ways: tuple[Way, ...]


UNCERTAIN = "Replace the marked words by what the authority allows."


def cas(signing_ca: SigningCA, now: datetime.datetime) -> Iterator[CA]:
    """The CAs of the trust bundle, the one in use first."""
    generations = {generation.ca.certificate: generation for generation in signing_ca.generations}
    for index, ca in enumerate(signing_ca.trust_bundle(now)):
        yield _ca(generations[ca.certificate], signing_ca, now, in_use=index == 0)


def _ca(
    generation: Generation, signing_ca: SigningCA, now: datetime.datetime, *, in_use: bool
) -> CA:
    ca = generation.ca
    lifetime = ca.not_after - ca.certificate.not_valid_before_utc
    left = max(ca.not_after - now, datetime.timedelta())
    coming = not in_use and generation.since > now
    state, alarm = "good", ""
    if not left:
        state = "ended"
        alarm = "This CA has ended: it signs nothing. Replace it now." if in_use else ""
    elif (in_use or coming) and signing_ca.expiry_monitor.warning(now) is not None:
        state, alarm = "ending", f"This CA ends in {duration(left)}: replace it now."
    return CA(
        role="in use" if in_use else "coming" if coming else "former",
        since=generation.since if coming else None,
        subject=printable(ca.certificate.subject.rfc4514_string()),
        fingerprint=ca.certificate.fingerprint(hashes.SHA256()),
        not_after=ca.not_after,
        time_left=f"{duration(left)} left" if left else "ended",
        percent_left=min(100, int(100 * (left / lifetime))),
        state=state,
        alarm=alarm,
    )


def duration(time: datetime.timedelta) -> str:
    """A time in words: the largest unit that fits at least twice, rounded down."""
    for unit, name in ((DAY, "days"), (HOUR, "hours"), (MINUTE, "minutes")):
        if time >= 2 * unit:
            return f"{time // unit:,} {name}"
    return f"{int(time.total_seconds()):,} seconds"


def as_json(authority: Authority) -> Mapping[str, Any]:
    """The authority in JSON's types."""
    document: dict[str, Any] = {
        "name": authority.name,
        "sign": f"v1/sign/{authority.name}",
        "ca": f"v1/ca/{authority.name}",
        "schemes": list(authority.schemes),
        "certificates": [_ca_as_json(ca) for ca in authority.cas],
    }
    if authority.renew is not None:
        document["renew"] = authority.renew
    if authority.est is not None:
        document["est"] = authority.est
    if authority.acme is not None:
        document["acme"] = authority.acme
    policy = authority.policy
    if policy is not None:
        document["credentials"] = policy.credentials
        document["validity"] = policy.validity
        document["rules"] = [_rule_as_json(rule) for rule in policy.rules]
        document["fixups"] = [_rule_as_json(rule) for rule in policy.fixups]
    return document


def _ca_as_json(ca: CA) -> Mapping[str, Any]:
    return {
        "role": ca.role,
        "since": ca.since and timestamp(ca.since),
        "subject": ca.subject,
        "fingerprint": ca.fingerprint.hex(),
        "not_after": timestamp(ca.not_after),
        "state": ca.state,
    }


def _rule_as_json(rule: RuleDescription) -> Mapping[str, Any]:
    return {"name": rule.name, "sentences": list(rule.sentences)}
