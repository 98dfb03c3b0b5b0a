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


def test_a_name_is_below_its_parent_and_itself():
    assert is_below("CN=Nova,OU=Groups,DC=example", "ou=groups, dc=EXAMPLE")
    assert is_below("OU=Groups,DC=example", "OU=Groups,DC=example")
    assert not is_below("CN=Nova\\,OU=Groups,DC=example", "OU=Groups,DC=example")
    assert not is_below("DC=example", "OU=Groups,DC=example")
    assert not is_below("OU=Groups,DC=example", "")
