"""What the front page says of the authorities, as values."""

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

DAY = datetime.timedelta(days=1)
HOUR = datetime.timedelta(hours=1)
MINUTE = datetime.timedelta(minutes=1)


@dataclass(frozen=True)
class CA:
    """A CA's certificate as of a moment.

    Attributes:
        role: ``in use``, ``coming`` or ``former``.
        since: from when it is used, if it is coming.
        fingerprint: the SHA-256 over its DER encoding.
        ends: when it, or the first certificate of its chain, ends.
        left: how much time that is, in words.
        percent: how much of its life is left.
        soon: whether it is time for another one.
    """

    role: str
    since: datetime.datetime | None
    subject: str
    fingerprint: bytes
    ends: datetime.datetime
    left: str
    percent: int
    soon: bool


@dataclass(frozen=True)
class Demands:
    """What a request must look like, in words.

    Attributes:
        credentials: who may ask.
        validity: how long a certificate is valid.
        rules: what the validators demand.
        fixups: what is changed in a request that has passed.
        intermediates: whether requests have to be for CAs.
    """

    credentials: str
    validity: str
    rules: tuple[RuleDescription, ...]
    fixups: tuple[RuleDescription, ...]
    intermediates: bool

    @classmethod
    def of(cls, authority: RegistrationAuthority) -> Demands:
        """Those of an authority."""
        conf = authority.conf
        return cls(
            summary.describe_authentication(authority.authenticator.backend),
            duration(authority.signing_ca.profile.validity),
            summary.describe_validators(authority.policy, conf.get("validators", {})),
            summary.describe_fixups(authority.policy, conf.get("fixups", {})),
            authority.policy.signs_intermediates,
        )


@dataclass(frozen=True)
class Authority:
    """An authority as of a moment; without its demands if they are not for everyone."""

    name: str
    cas: tuple[CA, ...]
    has_chain: bool
    demands: Demands | None


def cas(signing_ca: SigningCA, now: datetime.datetime) -> Iterator[CA]:
    """Those that a requester should know, the one in use first."""
    of = {generation.ca.certificate: generation for generation in signing_ca.generations}
    for place, ca in enumerate(signing_ca.trust_bundle(now)):
        yield _ca(of[ca.certificate], signing_ca, now, in_use=place == 0)


def _ca(
    generation: Generation, signing_ca: SigningCA, now: datetime.datetime, *, in_use: bool
) -> CA:
    ca = generation.ca
    life = ca.not_after - ca.certificate.not_valid_before_utc
    left = max(ca.not_after - now, datetime.timedelta())
    coming = not in_use and generation.since > now
    monitor = signing_ca.expiry_monitor
    return CA(
        role="in use" if in_use else "coming" if coming else "former",
        since=generation.since if coming else None,
        subject=printable(ca.certificate.subject.rfc4514_string()),
        fingerprint=ca.certificate.fingerprint(hashes.SHA256()),
        ends=ca.not_after,
        left=f"{duration(left)} left" if left else "ended",
        percent=min(100, int(100 * (left / life))),
        soon=left < monitor.validity * monitor.lifetimes,
    )


def duration(time: datetime.timedelta) -> str:
    """A time in words, cut to whole units of which there are at least two."""
    for unit, name in ((DAY, "days"), (HOUR, "hours"), (MINUTE, "minutes")):
        if time >= 2 * unit:
            return f"{time // unit:,} {name}"
    return f"{int(time.total_seconds()):,} seconds"


def as_json(authority: Authority) -> Mapping[str, Any]:
    """The same in JSON's types."""
    shown: dict[str, Any] = {
        "name": authority.name,
        "sign": f"v1/sign/{authority.name}",
        "ca": f"v1/ca/{authority.name}",
        "certificates": [_ca_as_json(ca) for ca in authority.cas],
    }
    demands = authority.demands
    if demands is not None:
        shown["credentials"] = demands.credentials
        shown["validity"] = demands.validity
        shown["rules"] = [_words_as_json(words) for words in demands.rules]
        shown["fixups"] = [_words_as_json(words) for words in demands.fixups]
    return shown


def _ca_as_json(ca: CA) -> Mapping[str, Any]:
    return {
        "role": ca.role,
        "since": ca.since and timestamp(ca.since),
        "subject": ca.subject,
        "fingerprint": ca.fingerprint.hex(),
        "not_after": timestamp(ca.ends),
    }


def _words_as_json(words: RuleDescription) -> Mapping[str, Any]:
    return {"name": words.name, "sentences": list(words.sentences)}
