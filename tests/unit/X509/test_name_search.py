"""Searches by key find exactly the names that the comparison of names accepts."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anchor.X509.name_matching import matches, overlaps
from anchor.X509.name_search import MAX_KEY, is_name, query_overlapping, query_valid_for, search_key

_hosts = st.from_regex(r"(a|b|ab|a-b)(\.(a|b|ab)){0,3}", fullmatch=True)
_wildcards = st.from_regex(r"(\*|a\*|\*b|a\*b)(\.(a|b|ab)){1,3}", fullmatch=True)
_domains = st.from_regex(r"(\.(a|b|ab)){1,3}", fullmatch=True)
_others = st.sampled_from(["192.0.2.1", "2001:db8::1", "a@b.a", "https://a.b/x", "*", "a.*.b"])
_names = st.lists(st.one_of(_hosts, _wildcards, _others), max_size=20)
_long = st.integers(200, 300).map(lambda length: ("a" * 50 + ".") * (length // 51) + "b" * 9)

# The first names take long on a busy machine, since they import tables of characters.
_patient = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


def found(query, names):
    """The names that a database finds."""
    return [
        name
        for name in names
        if any(first <= search_key(name) <= last for first, last in query.ranges)
        and query.accepts(name)
    ]


@_patient
@given(_names, st.one_of(_hosts, _wildcards.filter(lambda name: name.startswith("*."))))
def test_a_search_for_a_host_finds_the_names_that_match_it(names, wanted):
    expected = [name for name in names if matches(name, wanted)]

    assert found(query_valid_for(wanted), names) == expected


@_patient
@given(_names, _domains)
def test_a_search_for_a_domain_finds_the_domain_and_the_names_below(names, domain):
    hosts = [name for name in names if not set(name) & set("@:/")]
    expected = [name for name in hosts if f".{name}".endswith(domain)]

    assert found(query_valid_for(domain), hosts) == expected


@_patient
@given(_names, st.one_of(_hosts, _wildcards, _domains))
def test_a_search_for_a_ban_finds_the_names_that_overlap_with_it(names, banned):
    hosts = [name for name in names if not set(name) & set("@:/")]
    expected = [name for name in hosts if overlaps(banned, name)]

    assert found(query_overlapping(banned), hosts) == expected


@_patient
@given(st.lists(_long), _long)
def test_names_that_are_longer_than_a_key_are_compared(names, wanted):
    names = [*names, f"x.{wanted}", f"y{wanted}", wanted]
    assert all(len(search_key(name)) <= MAX_KEY for name in names)

    for banned in (wanted, f"*.{wanted}", f".{wanted}"):
        expected = [name for name in names if overlaps(banned, name)]
        assert found(query_overlapping(banned), names) == expected


@_patient
@given(
    st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)),
    st.integers(0, 128),
    st.lists(st.ip_addresses(), max_size=20),
    st.integers(0, 300),
)
def test_a_search_for_a_network_finds_the_addresses_in_it(address, length, others, offset):
    network = ip_network(f"{address}/{min(length, address.max_prefixlen)}", strict=False)
    near = [(int(network[0]) + offset) % 2**address.max_prefixlen, int(network[-1])]
    addresses = [*others, *(type(address)(number) for number in near)]
    expected = [str(each) for each in addresses if each in network]

    names = [*map(str, addresses), "a.example.com", "ip4:", "192.0.2.1@b"]
    assert found(query_valid_for(str(network)), names) == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("192.0.2.77/24", "192.0.2.1"),
        (" .Example.com ", "www.example.com"),
        (".example.com", "example.com"),
        ("WWW.Example.com.", "www.example.com"),
        ("Alice@Example.com", "alice@example.com"),
        ("DNS:www.example.com", "www.example.com"),
        ("IP:2001:DB8::1", "2001:db8::1"),
        (" URI:urn:uuid:1 ", "urn:uuid:1"),
        ("spiffe://example.com/ns/x", "spiffe://example.com/ns/x"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_a_name_is_found_in_every_spelling(text, name):
    assert found(query_valid_for(text), [name]) == [name]
    assert found(query_valid_for(text), ["other.example.net", "198.51.100.1", "::1"]) == []


@pytest.mark.parametrize(
    ("text", "is_understood"),
    [
        *[(text, True) for text in ("www.example.com", ".example.com", "IP:192.0.2.0/24", "::1")],
        *[(text, False) for text in ("", ".", "192.0.2.0/33", "[::1]", "a b", ".192.0.2.1")],
    ],
)
def test_a_text_that_is_only_compared_is_recognized(text, is_understood):
    assert is_name(text) == is_understood
