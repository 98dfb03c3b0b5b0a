"""Disabled accounts of directories, and filters that match any user name."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldap3.operation.search import parse_filter

from anchor.auth.ldap_accounts import is_disabled
from anchor.auth.ldap_connection import Entry
from anchor.auth.ldap_filters import match_any_user
from tests.support.properties import examples

NOW = datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC)
_EPOCH = datetime.datetime(1601, 1, 1, tzinfo=datetime.UTC)


def ticks(time):
    """A time as Active Directory writes it."""
    return str((time - _EPOCH) // datetime.timedelta(microseconds=1) * 10)


def disabled(**attributes):
    values = {name.lower(): (value,) for name, value in attributes.items()}
    return is_disabled(Entry("cn=alice", values), NOW)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"userAccountControl": "512"},
        {"userAccountControl": "66048", "accountExpires": "0"},
        {"accountExpires": "9223372036854775807"},
        {"accountExpires": ticks(NOW + datetime.timedelta(seconds=1))},
        # After the year 9999.
        {"accountExpires": "9223372036854775000"},
        {"nsAccountLock": "FALSE"},
        {"krbPrincipalExpiration": "20261127000001Z"},
        {"krbPrincipalExpiration": "99991231235959Z", "nsAccountLock": "FALSE"},
        {"pwdStartTime": "20261127000000Z", "pwdEndTime": "20261127000001Z"},
        {"pwdStartTime": "20261126235959.9Z"},
        {"pwdEndTime": "2026112700-0100"},
        {"pwdEndTime": "202611270130+0100"},
        {"pwdEndTime": "20261127000001,5-0000"},
        # Somebody has guessed at the password.
        {"pwdAccountLockedTime": "20261126120000Z"},
    ],
)
def test_an_account_without_a_sign_of_it_is_not_disabled(attributes):
    assert not disabled(**attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        {"userAccountControl": "514"},
        {"userAccountControl": "2"},
        {"userAccountControl": "many"},
        {"accountExpires": ticks(NOW)},
        {"accountExpires": "1"},
        {"accountExpires": "-1"},
        {"accountExpires": "soon"},
        {"accountExpires": "-9223372036854775808"},
        {"accountExpires": ticks(NOW - datetime.timedelta(days=1)), "userAccountControl": "512"},
        {"pwdAccountLockedTime": "000001010000Z"},
        {"pwdStartTime": "20261127000001Z"},
        {"pwdEndTime": "20261127000000Z"},
        {"pwdEndTime": "2026112701+01"},
        # As slapo-ppolicy(5) disables an account.
        {"pwdStartTime": "20250101000000Z", "pwdEndTime": "20250101000000Z"},
        {"pwdStartTime": "soon"},
        {"pwdStartTime": "20261301000000Z"},
        {"pwdStartTime": "2026112600.5Z"},
        {"pwdEndTime": "20261301000000Z"},
        {"pwdEndTime": "00010101000000+2300"},
        {"pwdEndTime": "2026112800"},
        {"nsAccountLock": "TRUE"},
        {"nsAccountLock": "true"},
        {"nsAccountLock": "perhaps"},
        {"krbPrincipalExpiration": "20261127000000Z"},
        {"krbPrincipalExpiration": "20250101000000Z", "nsAccountLock": "FALSE"},
        {"krbPrincipalExpiration": "some day"},
    ],
)
def test_disabled_expired_and_locked_accounts_are_disabled(attributes):
    assert disabled(**attributes)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("(uid={user})", "(uid=*)"),
        ("(mail={user}@example.com)", "(mail=*@example.com)"),
        ("(uid=*{user}*)", "(uid=*)"),
        ("(uid={user}{user})", "(uid=*)"),
        (
            "(&(objectClass=person)(|(uid={user})(mail={user})))",
            "(&(objectClass=person)(|(uid=*)(mail=*)))",
        ),
        ("(uid:caseExactMatch:={user})", "(uid=*)"),
        ("(uid:dn:2.5.13.5:=a{user})", "(uid=*)"),
        ("(uid:={user})", "(uid=*)"),
        ("(:caseExactMatch:={user})", "(objectClass=*)"),
        ("(uid~={user})", "(uid=*)"),
        ("(uid>={user})", "(uid=*)"),
        ("(& (uid = {user}) (a=b))", "(& (uid=*) (a=b))"),
        # Conditions without the user name stay as they are.
        (
            "(&(sAMAccountName={user})(!(userAccountControl:1.2.840.113556.1.4.803:=2)))",
            "(&(sAMAccountName=*)(!(userAccountControl:1.2.840.113556.1.4.803:=2)))",
        ),
        ("(&(uid={user})(cn=\\28a\\29*))", "(&(uid=*)(cn=\\28a\\29*))"),
        ("(&(uid={user})(memberOf=cn=a,ou=b))", "(&(uid=*)(memberOf=cn=a,ou=b))"),
    ],
)
def test_a_filter_matches_any_user_name(template, expected):
    assert match_any_user(template) == expected


ITEMS = st.builds(
    "({}{}{})".format,
    st.sampled_from(["uid", "mail", "cn;lang-de"]),
    st.sampled_from(["=", "~=", ">=", "<=", ":caseExactMatch:=", ":dn:="]),
    st.sampled_from(["{user}", "a{user}", "{user}@b", "*{user}*", "b", "\\2a{user}", "a:=b"]),
)
FILTERS = st.builds(
    lambda operator, items, negated: f"({operator}{''.join(items)}(!{negated}))",
    st.sampled_from("&|"),
    st.lists(ITEMS, max_size=3),
    ITEMS,
)


@given(template=FILTERS)
@settings(max_examples=examples(30))
def test_a_filter_for_any_user_is_a_filter_without_the_user_name(template):
    changed = match_any_user(template)

    assert "{user}" not in changed
    assert changed.count("(") == template.count("(")
    parse_filter(changed, None, True, True, None, False)
