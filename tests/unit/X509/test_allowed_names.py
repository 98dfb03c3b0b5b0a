"""The names that a credential is limited to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor.X509.allowed_names import AllowedNames, LiteralName, parse_allowed_name


@pytest.mark.parametrize(
    ("text", "kind", "canonical"),
    [
        ("web1.example.com", "name", "web1.example.com"),
        ("WEB1.Example.com.", "name", "web1.example.com"),
        ("*.example.com", "name", "*.example.com"),
        ("localhost", "name", "localhost"),
        ("Example Intermediate CA", "name", "example intermediate ca"),
        ("10.0.0.1", "address", "10.0.0.1"),
        ("::ffff:10.0.0.1", "address", "10.0.0.1"),
        ("2001:DB8:0::1", "address", "2001:db8::1"),
        ("SPIFFE://Example.com/ns/A", "URI", "spiffe://example.com/ns/A"),
        ("urn:Example:a", "URI", "urn:Example:a"),
        ("Alice@Example.com", "mailbox", "Alice@example.com"),
    ],
)
def test_a_name_has_one_canonical_form(text, kind, canonical):
    assert parse_allowed_name(text) == LiteralName(kind, canonical)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        (" ", "is empty"),
        (" web1.example.com", "a space at its beginning"),
        ("web1.example.com\n", "a space at its beginning or end"),
        ("web1\x00.example.com", "not in printable ASCII"),
        ("web\t1.example.com", "not in printable ASCII"),
        ("b\xfccher.example.com", "written in punycode"),
        ("web1\u3002example.com", "written in punycode"),
        ("%.example.com", "no pattern"),
        ("{username}.example.com", "no pattern"),
        ("https://example.com/%41", "no pattern"),
        ("fe80::1%eth0", "no pattern"),
        ("10.0.0.0/8", "is a range"),
        ("10.0.0.1/32", "is a range"),
        ("2001:db8::/32", "is a range"),
        ("10.0.0.1-10.0.0.9", "is not a DNS name"),
        ("127.1", "is not a DNS name"),
        ("*", "is not a DNS name"),
        ("web*.example.com", "is not a DNS name"),
        ("web.*.example.com", "is not a DNS name"),
        ("web1..example.com", "is not a DNS name"),
        ("web1.example.com:443", "is not a DNS name"),
        ("web1/example.com", "is not a DNS name"),
        ("spiffe://example.com/../x", "is not a DNS name"),
        ("a." * 127 + "com", "is not a DNS name"),
        ("spiffe://example.com/" + "a" * 2048, "longer than 2048"),
    ],
)
def test_other_texts_are_no_names(text, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        parse_allowed_name(text)
    message = str(caught.value)
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 400


@given(st.text(max_size=300))
def test_no_text_is_a_pattern_or_crashes(text):
    try:
        name = parse_allowed_name(text)
    except ValueError:
        return
    assert not set("%{}") & set(name.text)
    assert parse_allowed_name(name.text) == name


def test_one_bad_name_makes_the_list_bad():
    with pytest.raises(ValueError, match="is a range"):
        AllowedNames.parse(["web1.example.com", "10.0.0.0/8"])


def test_a_list_has_the_names_in_any_spelling_and_no_others():
    names = AllowedNames.parse(["web1.example.com", "WEB1.example.com."])
    assert list(names) == [LiteralName("name", "web1.example.com")]
    assert LiteralName("URI", "web1.example.com") not in names
