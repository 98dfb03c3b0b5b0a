"""Name patterns with placeholders, which stand for values of the requester."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anchor.X509.name_patterns import NamePattern, parse_address
from anchor.X509.name_templates import NameTemplate, TemplateSet
from anchor.X509.pattern_set import PatternSet
from anchor.X509.requested_names import NameKind, RequestedName
from anchor.X509.requester_values import RequesterValues
from tests.support.pace import assert_cpu_below
from tests.support.properties import examples

LDH = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


def kind_of(text):
    if re.match(r"[a-z]+:", text, re.IGNORECASE):
        return NameKind.URI
    return NameKind.MAIL if "@" in text else NameKind.DNS


def requested(text, kind=None):
    kind = kind or kind_of(text)
    return RequestedName(kind, text, parse_address(text), text)


def allows(pattern, name, username=None, *, groups=(), claims=None, wildcards=False, kind=None):
    templates = TemplateSet([NameTemplate.parse(pattern)])
    values = RequesterValues(username, groups, claims or {})
    return templates.has(requested(name, kind), wildcards=wildcards, values=values)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("{username}.example.com", "web1.example.com", True),
        ("{username}.example.com", "WEB1.Example.com.", True),
        ("{username}.example.com", "web2.example.com", False),
        ("{username}.example.com", "a.web1.example.com", False),
        ("{username}.example.com", "web1.example.com.evil.org", False),
        ("{username}.example.com", "web1.example.comx", False),
        ("{username}.example.com", "xweb1.example.com", False),
        ("{username}.example.com", "*.example.com", False),
        ("{username}.example.com", "example.com", False),
        ("{username}-%.example.com", "web1-a.example.com", True),
        ("{username}-%.example.com", "web1-a-b.example.com", True),
        ("{username}-%.example.com", "web1.example.com", False),
        ("{username}-%.example.com", "web1-.example.com", False),
        ("{username}-%.example.com", "web2-a.example.com", False),
        ("%-{username}.example.com", "a-web1.example.com", True),
        ("%-{username}.example.com", "-web1.example.com", False),
        ("%x-{username}-y.example.com", "ax-web1-y.example.com", True),
        ("%x-{username}-y.example.com", "x-web1-y.example.com", False),
        ("www-{username}-db.example.com", "www-web1-db.example.com", True),
        ("www-{username}-db.example.com", "www-web2-db.example.com", False),
        ("%.{username}.example.com", "a.web1.example.com", True),
        ("%.{username}.example.com", "web1.web1.example.com", True),
        ("*.{username}.example.com", "*.web1.example.com", True),
        ("*.{username}.example.com", "a.web1.example.com", False),
        ("*.{username}.example.com", "*.web2.example.com", False),
        ("{username}", "web1", True),
        ("example.{username}", "example.web1", True),
        ("{username:name}.example.com", "web1.example.com", True),
        ("{username:name}.example.com", "a.web1.example.com", False),
        ("spiffe://example.com/user/{username}", "spiffe://EXAMPLE.com/user/web1", True),
        ("spiffe://example.com/user/{username}", "spiffe://example.com/user/WEB1", False),
        ("spiffe://example.com/user/{username}", "spiffe://example.com/user/web1/x", False),
        ("spiffe://example.com/user/{username}", "spiffe://example.com/user/web1?x", False),
        ("spiffe://example.com/user/{username}", "spiffe://example.com/user/%77eb1", False),
        ("spiffe://{username}.example.com/%", "spiffe://Web1.example.com/a", True),
        ("spiffe://{username}.example.com/%", "spiffe://web2.example.com/a", False),
        ("https://{username:name}:8443/", "https://web1:8443/", True),
        ("https://{username:name}:8443/", "https://web1/", False),
        ("urn:example:{username}", "urn:example:web1", True),
        ("urn:example:{username}", "urn:example:web2", False),
        ("{username}@example.com", "web1@EXAMPLE.com", True),
        ("{username}@example.com", "web2@example.com", False),
        ("{username}@example.com", "web1+x@example.com", False),
        ("root@{username}.example.com", "root@web1.example.com", True),
        ("root@{username:name}", "root@web1", True),
        ("www.example.com", "www.example.com", True),
        ("%.example.com", "www.example.com", True),
    ],
)
def test_a_placeholder_stands_for_the_value(pattern, name, expected):
    assert allows(pattern, name, "web1") is expected


@pytest.mark.parametrize(
    "username",
    [
        *("%", "*", "", "-", "-a", "a-", "a.b", ".", "a.", ".a", "a_b", "a b", " a", "a\n", "\n"),
        *("a\x00", "{username}", "{", "a}", "a\u3002b", "\uff41", "\u212a", "\xe9", "a/b", "a:b"),
        *("a@b", "a" * 64, "%61", "a%", "*a"),
    ],
)
@pytest.mark.parametrize("suffix", [".example.com", "@example.com"])
def test_a_value_that_is_not_one_label_allows_nothing(username, suffix):
    for name in (username, username.lower(), username.casefold(), "a", "k", "ab", "a.b", "b", "*"):
        assert not allows(f"{{username}}{suffix}", f"{name}{suffix}", username)


@pytest.mark.parametrize(
    "username", ["a", "A", "a1", "1", "a--b", "xn--bcher-kva", "a" * 63, "A-B"]
)
def test_a_value_that_is_one_label_allows_its_name(username):
    assert allows("{username}.example.com", f"{username}.example.com", username)
    assert allows("{username}.example.com", f"{username.swapcase()}.example.com", username)


def test_the_value_and_the_text_beside_it_make_a_label_of_at_most_63_characters():
    assert allows("web-{username}.example.com", f"web-{'a' * 59}.example.com", "a" * 59)
    assert not allows("web-{username}.example.com", f"web-{'a' * 60}.example.com", "a" * 60)
    assert not allows("{username}-%.example.com", f"{'a' * 60}-bcd.example.com", "a" * 60)


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        ("web1.example.com", "web1.example.com", True),
        ("Web1.Example.com", "WEB1.example.com", True),
        ("web1", "web1", True),
        ("web1.example.com.", "web1.example.com", False),
        (".example.com", "a.example.com", False),
        ("web1..example.com", "web1..example.com", False),
        ("*.example.com", "*.example.com", False),
        ("%.example.com", "a.example.com", False),
        ("-a.example.com", "-a.example.com", False),
        ("192.0.2.1", "192.0.2.1", False),
        ("192.0.2.1", "192.0.2.1.", False),
        ("127.1", "127.1", False),
        ("example.123", "example.123", False),
        ("2001:db8::1", "2001:db8::1", False),
        ("a" * 64 + ".example.com", "a" * 64 + ".example.com", False),
        ("a." * 126 + "b", "a." * 126 + "b", True),
        ("a." * 127 + "b", "a." * 127 + "b", False),
    ],
)
def test_a_marked_placeholder_stands_for_a_name_of_several_labels(value, name, expected):
    assert allows("{claim:host:name}", name, claims={"host": value}) is expected
    uri = f"spiffe://{name}/x"
    if ":" not in value and not name.endswith("."):
        assert allows("spiffe://{claim:host:name}/x", uri, claims={"host": value}) is expected
    assert not allows("{claim:host}", name, claims={"host": value}) or "." not in name


def test_an_address_is_never_the_value_of_a_placeholder():
    for name, kind in (("192.0.2.5", NameKind.COMMON_NAME), ("192.0.2.5", NameKind.ADDRESS)):
        assert not allows("192.0.2.{username}", name, "5", kind=kind)
        assert not allows("{username:name}", name, "192.0.2.5", kind=kind)
    assert not allows("spiffe://{username:name}/x", "spiffe://192.0.2.5/x", "192.0.2.5")
    assert not allows("root@{username:name}", "root@192.0.2.5", "192.0.2.5")


def test_a_local_part_can_have_dots_only_if_the_placeholder_is_marked():
    assert allows("{username:name}@example.com", "alice.smith@example.com", "alice.smith")
    assert not allows("{username}@example.com", "alice.smith@example.com", "alice.smith")


def test_a_group_is_any_of_the_groups():
    groups = ["Web", "db", "Domain Users", "%", "a.b"]
    assert allows("{group}.svc.example.com", "web.svc.example.com", groups=groups)
    assert allows("{group}.svc.example.com", "db.svc.example.com", groups=groups)
    assert allows("{group:name}.svc.example.com", "a.b.svc.example.com", groups=groups)
    assert not allows("{group}.svc.example.com", "a.b.svc.example.com", groups=groups)
    assert not allows("{group}.svc.example.com", "mail.svc.example.com", groups=groups)
    assert not allows("{group}.svc.example.com", "web.svc.example.com", groups=[])


def test_a_group_may_end_at_any_of_several_hyphens():
    for groups in (["a"], ["a-b"]):
        assert allows("{group}-%.example.com", "a-b-c.example.com", groups=groups)
    assert not allows("{group}-%.example.com", "a-b-c.example.com", groups=["a-b-c", "b"])


def test_placeholders_in_different_labels_are_independent():
    pattern = "{username}.{claim:project}.ci.example.com"
    claims = {"project": "shop"}
    assert allows(pattern, "web1.shop.ci.example.com", "web1", claims=claims)
    assert not allows(pattern, "web1.other.ci.example.com", "web1", claims=claims)
    assert not allows(pattern, "shop.web1.ci.example.com", "web1", claims=claims)


@pytest.mark.parametrize("claims", [{}, {"project": ""}, {"Project": "a"}, {"project": None}])
def test_a_missing_claim_allows_nothing(claims):
    for name in ("a.ci.example.com", "ci.example.com", ".ci.example.com", "none.ci.example.com"):
        assert not allows("{claim:project}.ci.example.com", name, claims=claims)


def test_values_of_other_types_allow_nothing():
    assert not allows("{username}.example.com", "1.example.com", 1)
    assert not allows("{group}.example.com", "1.example.com", groups=[1, None, ["1"]])
    assert not allows("{claim:a}.example.com", "1.example.com", claims={"a": 1})


def test_a_wildcard_is_never_the_value_of_a_placeholder():
    for value in ("*", "%", "x"):
        assert not allows("{username}.example.com", "*.example.com", value, wildcards=True)
    assert allows("%.{username}.example.com", "*.web1.example.com", "web1", wildcards=True)
    assert not allows("%.{username}.example.com", "*.web1.example.com", "web1")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("{username}{group}.example.com", "two placeholders in one label"),
        ("{username}-{claim:env}.example.com", "two placeholders in one label"),
        ("spiffe://example.com/{username}-{group}", "two placeholders in one label"),
        ("{username}.{username}.example.com", "more than once"),
        ("{username}.{username:name}.example.com", "more than once"),
        ("{username}%.example.com", "right beside {username}"),
        ("%{username}.example.com", "right beside {username}"),
        ("{username}@%{group}.example.com", "right beside {group}"),
        ("{username}.2.3.4", "ends in a number"),
        ("{username}/24", "does not appear to be"),
        ("{username}:443", "does not appear to be"),
        ("2001:db8::{username}", "does not appear to be"),
        ("https://{username}.2.3.4/", "no host name has"),
        ("root@{username}.2.3.4", "no pattern of a DNS name"),
        ("{{username}}.example.com", "belongs to no placeholder"),
        ("{username.example.com", "belongs to no placeholder"),
        ("username}.example.com", "belongs to no placeholder"),
        ("{user{group}name}.example.com", "belongs to no placeholder"),
        ("{}.example.com", "no placeholder: use"),
        ("{user}.example.com", "no placeholder: use"),
        ("{USERNAME}.example.com", "no placeholder: use"),
        ("{username:fqdn}.example.com", "no placeholder: use"),
        ("{claim:}.example.com", "no placeholder: use"),
        ("{claim:a b}.example.com", "no placeholder: use"),
        ("*.{username}.*.example.com", "not its whole left-most label"),
        ("*{username}.example.com", "not its whole left-most label"),
        ("{username}..example.com", "empty label"),
        ("www-{username:name}.example.com", "beside other text"),
        ("spiffe://example.com/a-{username:name}", "beside other text"),
        ("{username:name}.{claim:a:name}.example.com", "':name' more than once"),
        ("Example {username} CA", "no pattern of a DNS name"),
        ("{username}@a@b", "no pattern of a DNS name"),
        ("{username}://example.com/", "in its scheme"),
        ("{username}\u3002example.com", "punycode"),
        ("{username}\n.example.com", "printable"),
        ("{user\nname}.example.com", r"{user\nname}"),
        ("{username}." + "a." * 130 + "com", "longer than"),
    ],
)
def test_an_ambiguous_or_malformed_pattern_is_rejected_at_start_up(pattern, reason):
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        NameTemplate.parse(pattern)
    message = str(caught.value)
    assert message.isascii()
    assert message.isprintable()
    assert "placeholder0" not in message


def test_a_pattern_that_contains_the_parsers_mark_is_no_problem():
    pattern = "placeholder0z.{username}.placeholderx0z.com"
    assert allows(pattern, "placeholder0z.web1.placeholderx0z.com", "web1")
    assert not allows(pattern, "web1.web1.placeholderx0z.com", "web1")


def test_the_expanded_patterns_are_listed_once():
    templates = TemplateSet(
        map(
            NameTemplate.parse,
            ("{username}.x", "{group}.x", "{group:name}.y", "{claim:a}.z", "%.q"),
        )
    )
    values = RequesterValues("web", ["web", "db.eu", "%"])
    assert list(templates.expand(values)) == ["web.x", "web.y", "db.eu.y", "%.q"]


def test_placeholders_without_a_usable_value_are_explained():
    templates = TemplateSet(
        map(NameTemplate.parse, ("{username}.x", "{group}.x", "{claim:a}.y", "{claim:b:name}.z"))
    )
    assert list(templates.unusable(RequesterValues("a b", ["a", "x y"], {"b": "1.2.3.4"}))) == [
        "{username} is not one label of letters, digits, inner hyphens: a b",
        "{claim:a} has no value",
        "{claim:b:name} is not labels of letters, digits, inner hyphens: 1.2.3.4",
    ]


HOSTILE = st.text(st.sampled_from("abK1-.%*{}_/:@ \n\x00\u3002\u212a\xe9\uff0e"), max_size=6)
PATTERNS = [
    *("{username}.example.com", "{username}-%.example.com", "%-{username}.example.com"),
    *("a{username}b.%.example.com", "*.{username}.example.com", "%.{username}.example.com"),
    *("{username}", "{username}.%", "b.{username}.a", "a-{username}-%b.example.com"),
]


@settings(max_examples=examples(500))
@given(st.sampled_from(PATTERNS), HOSTILE, HOSTILE, st.booleans())
def test_an_allowed_name_is_the_pattern_with_the_value_as_one_label(pattern, value, extra, star):
    for filler in (extra, "x", "*", value):
        name = pattern.replace("{username}", value).replace("%", filler)
        for text in (name, name.upper(), f"{name}.", f"{filler}.{name}"):
            if not allows(pattern, text, value, wildcards=star):
                continue
            assert LDH.fullmatch(value.lower())
            assert value.isascii()
            labels, of_pattern = text.lower().removesuffix(".").split("."), pattern.split(".")
            assert len(labels) == len(of_pattern)
            for label, expected in zip(labels, of_pattern, strict=True):
                literal = expected.replace("{username}", value.lower())
                before, percent, after = literal.partition("%")
                if percent:
                    assert len(label) > len(before) + len(after) or label == "*"
                    assert label == "*" or (label.startswith(before) and label.endswith(after))
                else:
                    assert label == literal


@settings(max_examples=examples(500))
@given(
    st.sampled_from(PATTERNS),
    # With a number in its place, the pattern may be that of an address.
    st.from_regex(r"[a-z]([a-z0-9-]{0,9}[a-z0-9])?", fullmatch=True),
    st.from_regex(r"[a-z0-9_-]{1,5}", fullmatch=True),
    st.booleans(),
)
def test_a_pattern_with_the_value_written_out_allows_the_same_names(pattern, value, filler, star):
    """The rules are those of ``whitelist_names``."""
    written_out = PatternSet([NamePattern.parse(pattern.replace("{username}", value))])
    for inserted in (value, f"{value}x", "x", value[1:] or "y"):
        for text in ("*", filler):
            name = requested(pattern.replace("{username}", inserted).replace("%", text))
            template = TemplateSet([NameTemplate.parse(pattern)])
            has = template.has(name, wildcards=star, values=RequesterValues(value))
            assert has == written_out.has(name, wildcards=star)


@settings(max_examples=examples(500))
@given(st.text(max_size=40) | st.text(st.sampled_from("{}usernamegroupcl:%*.-@/ a1"), max_size=40))
def test_no_text_crashes_the_parser(text):
    placeholders, message = (), ""
    try:
        placeholders = NameTemplate.parse(text).placeholders
    except ValueError as error:
        message = str(error)
    assert message.isprintable()
    assert all(str(placeholder) in text for placeholder in placeholders)


@pytest.mark.slow
def test_ten_thousand_groups_and_a_hundred_patterns_cost_little():
    templates = TemplateSet(
        NameTemplate.parse(pattern)
        for number in range(25)
        for pattern in (
            f"{{group}}.s{number}.example.com",
            f"{{group}}-%.s{number}.example.com",
            f"n{number}-{{group}}.example.com",
            f"{{group:name}}.t{number}.example.com",
        )
    )
    groups = [f"team-{number}" for number in range(10_000)]
    names = [requested(f"team-{number}-x.s{number % 25}.example.com") for number in range(100)]
    names += [requested(f"{'a.' * 100}t{number % 25}.example.com") for number in range(25)]

    def look_up():
        values = RequesterValues("web", groups)
        return [templates.has(name, wildcards=False, values=values) for name in names]

    assert look_up() == [True] * 100 + [False] * 25
    assert_cpu_below(0.05, look_up)


@pytest.mark.slow
def test_long_parts_cost_little():
    templates = TemplateSet(
        map(
            NameTemplate.parse,
            ("{group:name}.x", "spiffe://a/{username}-%", "spiffe://a/%-{username}"),
        )
    )
    values = RequesterValues("a", ["a.b"])
    names = [
        requested("a." * 125 + "x"),
        requested("spiffe://a/" + "a-" * 30_000 + "/"),
        requested("spiffe://a/" + "a-" * 30_000 + "."),
    ]
    assert_cpu_below(
        0.05, lambda: [templates.has(name, wildcards=False, values=values) for name in names]
    )
