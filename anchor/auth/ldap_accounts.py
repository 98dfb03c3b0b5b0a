"""Accounts that a directory has disabled, as their entries show it."""

from __future__ import annotations

import datetime

from anchor.auth.ldap_connection import Entry

ATTRIBUTES = (
    "userAccountControl",
    "accountExpires",
    "pwdAccountLockedTime",
    "nsAccountLock",
    "krbPrincipalExpiration",
)
"""The attributes that :func:`is_disabled` needs; some of them are operational."""

# Active Directory, ADS_USER_FLAG_ENUM.
_ACCOUNTDISABLE = 0x2
# Active Directory's accountExpires: 100 ns since 1601; these two mean never.
_NEVER = (0, 2**63 - 1)
# draft-behera-ldap-password-policy: other values are locks after wrong passwords.  These do not
# count: anyone who guesses at a password could stop a machine that needs none.
_LOCKED_BY_OPERATOR = "000001010000Z"
_EPOCH = datetime.datetime(1601, 1, 1, tzinfo=datetime.UTC)


def is_disabled(entry: Entry, now: datetime.datetime) -> bool:
    """Whether the directory would refuse the user in spite of the right password.

    This knows Active Directory's disabled and expired accounts, accounts that an operator has
    locked with OpenLDAP's password policy, disabled accounts of 389 Directory Server and FreeIPA,
    and expired ones of FreeIPA, which refuses their binds.  A value that cannot be read counts as
    disabled.

    Args:
        entry: the user's entry.
        now: the time, in UTC.
    """

    def values(name: str) -> tuple[str, ...]:
        return entry.attributes.get(name.lower(), ())

    return (
        any(_has_flag(value, _ACCOUNTDISABLE) for value in values("userAccountControl"))
        or any(_is_past(value, now) for value in values("accountExpires"))
        or _LOCKED_BY_OPERATOR in values("pwdAccountLockedTime")
        or any(value.strip().casefold() != "false" for value in values("nsAccountLock"))
        or any(_has_ended(value, now) for value in values("krbPrincipalExpiration"))
    )


def _has_flag(value: str, flag: int) -> bool:
    try:
        return bool(int(value) & flag)
    except ValueError:
        return True


def _is_past(value: str, now: datetime.datetime) -> bool:
    try:
        ticks = int(value)
        return ticks not in _NEVER and _EPOCH + datetime.timedelta(microseconds=ticks // 10) <= now
    except ValueError:
        return True
    except OverflowError:
        # After the year 9999, or before the year 1.
        return ticks < 0


def _has_ended(value: str, now: datetime.datetime) -> bool:
    """Whether a time of Kerberos, such as 20261127120000Z, is past."""
    try:
        end = datetime.datetime.strptime(value, "%Y%m%d%H%M%SZ")
    except ValueError:
        return True
    return end.replace(tzinfo=datetime.UTC) <= now
