"""Accounts that a directory has disabled, as their entries show it."""

from __future__ import annotations

import datetime
import re

from anchor.auth.ldap_connection import Entry

ATTRIBUTES = (
    "userAccountControl",
    "accountExpires",
    "pwdAccountLockedTime",
    "pwdStartTime",
    "pwdEndTime",
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
# RFC 4517 3.3.13; the fraction is that of a second.
_GENERALIZED_TIME = re.compile(
    r"([0-9]{10})(?:([0-9]{2})(?:([0-9]{2})(?:[.,][0-9]+)?)?)?(Z|[+-][0-9]{2}(?:[0-9]{2})?)",
    re.ASCII,
)
_EPOCH = datetime.datetime(1601, 1, 1, tzinfo=datetime.UTC)


def is_disabled(entry: Entry, now: datetime.datetime) -> bool:
    """Whether the directory would refuse the user in spite of the right password.

    This knows Active Directory's disabled and expired accounts, accounts that an operator has
    locked or limited in time with OpenLDAP's password policy, disabled accounts of 389 Directory
    Server and FreeIPA, and expired ones of FreeIPA, which refuses their binds.  A value that cannot
    be read counts as disabled.

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
        or any(not _has_passed(each, now, unreadable=False) for each in values("pwdStartTime"))
        or any(_has_passed(each, now, unreadable=True) for each in values("pwdEndTime"))
        or any(value.strip().casefold() != "false" for value in values("nsAccountLock"))
        or any(_has_passed(each, now, unreadable=True) for each in values("krbPrincipalExpiration"))
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


def _has_passed(value: str, now: datetime.datetime, *, unreadable: bool) -> bool:
    """Whether a time such as 20261127120000Z has passed; ``unreadable`` if it is no time."""
    match = _GENERALIZED_TIME.fullmatch(value)
    if match is None:
        return unreadable
    hours, minutes, seconds, zone = match.groups()
    offset = zone.ljust(5, "0") if zone != "Z" else zone
    text = f"{hours}{minutes or '00'}{seconds or '00'}{offset}"
    try:
        return datetime.datetime.strptime(text, "%Y%m%d%H%M%S%z") <= now
    except (ValueError, OverflowError):
        return unreadable
