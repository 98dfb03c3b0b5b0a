"""Distinguished names as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor.auth.distinguished_names import escape, first_value, is_below


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CN=Nova,OU=Groups,DC=example,DC=com", "Nova"),
        ("cn = Nova , ou=Groups", "Nova"),
        ("CN=a\\, b,OU=c", "a, b"),
        ("CN=a\\2cb,OU=c", "a,b"),
        ("CN=caf\\c3\\a9,OU=c", "café"),
        ("CN=a=b,OU=c", "a=b"),
        ("CN=a\\=b,OU=c", "a=b"),
        ("CN=a+OU=b,OU=c", "a"),
        ("CN=a\\+b,OU=c", "a+b"),
        ("CN=a\\\\,OU=c", "a\\"),
        ("CN=a\\ ,OU=c", "a "),
        ("CN=\\ a,OU=c", " a"),
        ("CN=a\\20", "a "),
        ("2.5.4.3=Nova,OU=c", "Nova"),
        ("CN=old\\0ADEL:1234,CN=Deleted", "old\nDEL:1234"),
        ("Nova", None),
        ("", None),
        ("=,", None),
        ("CN=", None),
        ("CN=#0c04", None),
        ("CN=a\\", None),
        ("CN=\\ff,OU=c", None),
    ],
)
def test_the_first_value_is_parsed(name, value):
    assert value == first_value(name)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_an_escaped_value_is_a_single_value(value):
    name = f"cn={escape(value)},dc=example"

    assert value == first_value(name)
    assert is_below(name, "dc=example")
    assert name.count(",") == 1


def _other_spelling(value):
    """The value with each byte in hexadecimal."""
    return "".join(f"\\{byte:02X}" for byte in value.encode())


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_base_may_be_escaped_in_another_way_than_the_directory_does_it(value):
    assert is_below(f"cn=a,ou={escape(value)}", f"ou={_other_spelling(value)}")
    assert is_below(f"cn=a,ou={_other_spelling(value)}", f"OU = {escape(value)} ")


@pytest.mark.parametrize(
    ("base", "other"),
    [
        # As OpenLDAP, Active Directory and an operator write it.
        ("ou=Sales\\2C EMEA,dc=example", "OU=Sales\\, EMEA,DC=example"),
        ("OU=\\#1\\+2,DC=example", "ou=\\231\\2b2, dc=example"),
        ("ou=a\\20,dc=example", "ou=a\\ ,dc=example"),
        ("ou=a\\ ,dc=example", "ou=a\\  , dc=example"),
        ("ou=a+cn=b,dc=example", "CN=B + OU=A,dc=example"),
        ("ou=caf\\c3\\a9", "ou=CAFÉ"),
        ("ou=\\ff", "ou=\\FF"),
        ("ou=#0C0141", "ou=#0c0141"),
    ],
)
def test_two_spellings_of_a_base_are_equal(base, other):
    assert is_below(f"cn=Nova,{base}", other)
    assert is_below(other, base)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("cn=a\\,dc=example", "dc=example"),
        ("cn=a\\2Cdc=example", "dc=example"),
        ("ou=a\\+cn=b", "ou=a+cn=b"),
        ("ou=a\\2Bcn\\3Db", "cn=b+ou=a"),
        ("ou=a", "ou=a+cn=b"),
        ("ou=a+cn=b", "ou=a"),
        ("ou=a", "ou=a\\20"),
        ("ou=a\\\\20", "ou=a\\20"),
        ("ou=\\#0c0141", "ou=#0c0141"),
        ("ou=\\fe", "ou=\\ff"),
        ("cn=x,ou=\\ff", "ou=\\udcff"),
        ("ou=a,=,dc=b", "dc=c"),
    ],
)
def test_another_base_is_not_taken_for_the_same(name, base):
    assert not is_below(name, base)


def test_a_name_is_below_its_parent_and_itself():
    assert is_below("CN=Nova,OU=Groups,DC=example", "ou=groups, dc=EXAMPLE")
    assert is_below("OU=Groups,DC=example", "OU=Groups,DC=example")
    assert not is_below("CN=Nova\\,OU=Groups,DC=example", "OU=Groups,DC=example")
    assert not is_below("DC=example", "OU=Groups,DC=example")
    assert not is_below("OU=Groups,DC=example", "")
