"""What the ACME resources of one registration authority use."""

from __future__ import annotations

import datetime
import re
import secrets
from base64 import b32encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anchor.acme.settings import AcmeSettings
from anchor.auth.circuit_breaker import SharedSlots
from anchor.auth.results import CredentialKind
from anchor.authority import RegistrationAuthority
from anchor.config.diagnostics import Diagnostics
from anchor.store.database.acme_accounts import AcmeAccounts
from anchor.store.database.acme_orders import AcmeOrders
from anchor.store.database.bans import Bans
from anchor.store.database.engine import Database
from anchor.timestamps import utc_now

if TYPE_CHECKING:
    from anchor.acme.validation.validator import Validator


@dataclass(frozen=True, kw_only=True)
class AcmeServices:
    """A registration authority with a section ``acme``.

    Attributes:
        authority: the authority.
        settings: the section.
        accounts: the accounts of all authorities.
        orders: the orders of all authorities.
        bans: the bans, for certificates that clients revoke.
        validator: validates challenges; None for an authority without them.
        clock: the time, in UTC.
    """

    authority: RegistrationAuthority
    settings: AcmeSettings
    accounts: AcmeAccounts
    orders: AcmeOrders
    bans: Bans
    validator: Validator | None = None
    clock: Callable[[], datetime.datetime] = utc_now

    @classmethod
    def of(
        cls,
        authority: RegistrationAuthority,
        settings: AcmeSettings,
        database: Database,
        clock: Callable[[], datetime.datetime],
        shared_slots: SharedSlots | None = None,
    ) -> AcmeServices:
        """The services of an authority, with their rows in a database.

        Raises:
            ConfigurationError: with all problems of the section that concern other sections.
        """
        problems = Diagnostics()
        kinds = {each.credential for each in authority.methods.authenticators}
        if not settings.open and CredentialKind.TOKEN not in kinds:
            problems.add(
                "acme",
                "accounts are bound to tokens, and the authority accepts none: add one with "
                '{"backend": "token"} to "authentication" and name it here, or write '
                '"open": true if anybody may create an account',
            )
        hours = authority.signing_ca.profile.validity.total_seconds() / 3600
        for name, profile in settings.profiles.items():
            if profile.valid_hours is not None and profile.valid_hours > hours:
                problems.add(
                    f"acme.profiles.{name}.valid_hours",
                    f"is more than the {hours:g} hours of the CA's 'valid_hours'",
                )
        validator = None
        if settings.challenges:
            try:
                validator = _load_validator(settings, shared_slots)
            except ImportError as error:
                problems.add("acme.challenges", str(error))
        problems.raise_if_any()
        return cls(
            authority=authority,
            settings=settings,
            accounts=AcmeAccounts(database),
            orders=AcmeOrders(database, clock),
            bans=Bans(database),
            validator=validator,
            clock=clock,
        )


def _load_validator(settings: AcmeSettings, shared_slots: SharedSlots | None) -> Validator:
    # It needs a package that is installed for challenges only.
    from anchor.acme.validation.validator import Validator  # noqa: PLC0415

    return Validator(settings, shared_slots)


AcmeByAuthority = Mapping[str, AcmeServices]


_ID = re.compile(r"[a-z2-7]{25}", re.ASCII)


def new_id() -> str:
    """An identifier of 125 random bits for a URL, so that nobody guesses it (section 10.5)."""
    return b32encode(secrets.token_bytes(16)).decode("ascii").rstrip("=").lower()[:25]


def is_id(text: str) -> bool:
    """True if a text has the form of an identifier; databases reject some other texts."""
    return _ID.fullmatch(text) is not None
