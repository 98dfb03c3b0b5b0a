"""The section ``acme`` of a registration authority."""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple, Self

import pydantic
from pydantic import PlainValidator

from anchor.acme.validation.networks import never_reached
from anchor.config.file_types import text
from anchor.config.option_types import Network
from anchor.renewal.settings import Hours

ChallengeType = Literal["http-01", "dns-01", "tls-alpn-01", "dns-persist-01"]

# A profile is a member of JSON objects, and certbot takes it from its command line.
_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
Port = Annotated[int, pydantic.Field(ge=1, le=65535)]
Url = Annotated[str, pydantic.StringConstraints(pattern=r"^https?://[!-~]+$", max_length=1024)]
Domain = Annotated[
    str, pydantic.StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)*$", max_length=253)
]


class ProfileSettings(pydantic.BaseModel):
    """A profile that clients can choose."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    description: Annotated[str, pydantic.Field(min_length=1, max_length=1024)] = pydantic.Field(
        description="what the profile is for; clients show it"
    )
    valid_hours: Hours | None = pydantic.Field(
        default=None,
        description="for how many hours a certificate is valid; not more than the CA's "
        "``valid_hours``, which is the default",
    )


class ResolverAddress(NamedTuple):
    """The address of a DNS resolver."""

    host: str
    port: int


def _resolver(value: object) -> ResolverAddress:
    match = _RESOLVER.fullmatch(value) if isinstance(value, str) else None
    try:
        if match is None:
            raise ValueError
        address = ipaddress.ip_address(match["bracketed"] or match["ipv4"] or match["bare"])
        port = int(match["port"] or 53)
        if not 1 <= port <= 65535:
            raise ValueError
    except ValueError:
        raise ValueError(
            "should be an address, which a port may follow, such as '10.0.0.53', '10.0.0.53:5353' "
            "or '[2001:db8::53]:5353'"
        ) from None
    return ResolverAddress(str(address), port)


_RESOLVER = re.compile(
    r"(?:\[(?P<bracketed>[0-9a-f:.]+)\]|(?P<ipv4>[0-9.]+))(?::(?P<port>[0-9]{1,5}))?"
    r"|(?P<bare>[0-9a-f:.]+)",
    re.ASCII | re.IGNORECASE,
)

Resolver = Annotated[
    ResolverAddress,
    PlainValidator(_resolver),
    text("resolver address", examples=["10.0.0.53", "10.0.0.53:5353", "[2001:db8::53]:5353"]),
]


class AcmeSettings(pydantic.BaseModel):
    """Whether and how ACME clients get certificates."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    challenges: tuple[ChallengeType, ...] = pydantic.Field(
        description="the challenges by which a client shows that it controls a name. With ``[]`` "
        "there are none: the account's token and the policy decide which names it gets"
    )
    open: bool = pydantic.Field(
        default=False,
        description="whether anybody may create an account. By default a client needs a token for "
        "that (externalAccountBinding)",
    )
    trust_token_names: bool = pydantic.Field(
        default=False,
        description="whether names that the account's token lists need no challenge",
    )
    profiles: Mapping[str, ProfileSettings] = pydantic.Field(
        default={},
        description="the profiles that clients can choose, by name; the first is the default",
    )
    networks: tuple[Network, ...] = pydantic.Field(
        default=(),
        description="the networks that ``http-01`` and ``tls-alpn-01`` may connect to. The "
        "addresses of Anchor itself, loopback, link-local, multicast and metadata addresses are "
        "never reached",
    )
    resolvers: tuple[Resolver, ...] = pydantic.Field(
        default=(),
        description="the DNS resolvers for challenges and CAA, each an address or "
        "``ADDRESS:PORT``; by default those of the system",
    )
    # Less than the 30 seconds after which gunicorn ends a worker that does not answer.
    challenge_seconds: Annotated[float, pydantic.Field(ge=1, le=25)] = pydantic.Field(
        default=10, description="how many seconds the validation of a challenge may take"
    )
    http_port: Port = pydantic.Field(
        default=80,
        description="the port for ``http-01``; RFC 8555 allows no other one than 80",
    )
    tls_port: Port = pydantic.Field(
        default=443,
        description="the port for ``tls-alpn-01``; RFC 8737 allows no other one than 443",
    )
    caa: bool = pydantic.Field(
        default=False,
        description="whether CAA records (RFC 8659) are checked with each challenge",
    )
    issuer_domain_names: tuple[Domain, ...] = pydantic.Field(
        default=(),
        description="the names of this CA in CAA records and in the records of ``dns-persist-01``",
    )
    order_hours: Hours = pydantic.Field(
        default=24, description="for how many hours an order can be finalized"
    )
    max_duplicates: Annotated[int, pydantic.Field(ge=1, le=10_000)] = pydantic.Field(
        default=5,
        description="how many certificates for the same names an account gets within the validity "
        "of one, as long as the newest need not be renewed. It gets twice as many, or three "
        "if the limit is one, if it revokes them",
    )
    max_pending_orders: Annotated[int, pydantic.Field(ge=1, le=100_000)] = pydantic.Field(
        default=300,
        description="how many orders without a certificate an account may have: those that are "
        "pending or ready, and those that it created in the last hour and that are invalid",
    )
    website: Url | None = pydantic.Field(
        default=None, description="a page about the CA, which clients show"
    )
    terms_of_service: Url | None = pydantic.Field(
        default=None, description="the terms that a client has to agree to for an account"
    )

    @property
    def order_validity(self) -> datetime.timedelta:
        """How long an order can be finalized."""
        return datetime.timedelta(hours=self.order_hours)

    @pydantic.field_validator("profiles")
    @classmethod
    def _check_names(cls, value: Mapping[str, ProfileSettings]) -> Mapping[str, ProfileSettings]:
        for name in value:
            if not _PROFILE.fullmatch(name):
                raise ValueError(
                    f"{name!a} should be 1 to 63 letters, digits, '.', '_' and '-', and begin with "
                    "a letter or a digit"
                )
        return value

    @pydantic.field_validator("networks")
    @classmethod
    def _check_networks(cls, value: tuple[Network, ...]) -> tuple[Network, ...]:
        for network in value:
            reason = never_reached(network.network_address)
            if reason is not None and reason == never_reached(network.broadcast_address):
                raise ValueError(f"{network} is never reached: its addresses are {reason}")
        return value

    @pydantic.model_validator(mode="after")
    def _require_consistency(self) -> Self:
        connecting = {"http-01", "tls-alpn-01"} & set(self.challenges)
        if connecting and not self.networks:
            raise ValueError(
                f"list the 'networks' that {' and '.join(map(repr, sorted(connecting)))} may "
                "connect to"
            )
        if not self.issuer_domain_names and (self.caa or "dns-persist-01" in self.challenges):
            raise ValueError(
                "'caa' and 'dns-persist-01' compare records with the names of this CA: list its "
                "'issuer_domain_names'"
            )
        if self.caa and not self.challenges:
            raise ValueError("'caa' is checked with challenges, and there are none")
        if len(set(self.challenges)) != len(self.challenges):
            raise ValueError("'challenges' has a challenge twice")
        if self.trust_token_names and not self.challenges:
            raise ValueError("'trust_token_names' is of no use without 'challenges'")
        return self
