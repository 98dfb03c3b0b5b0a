"""The validators of names: which names they accept, and that they reject doubtful ones."""

from __future__ import annotations

import unicodedata

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.support import der
from tests.support.pki import make_csr, shared_key
from tests.support.policies import config_errors, make_policy, refusals


def several_common_names(*names, alternative=()):
    """A request with several common names, each in a separate RDN."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    builder = x509.CertificateSigningRequestBuilder(subject)
    if alternative:
        names = x509.SubjectAlternativeName([x509.DNSName(name) for name in alternative])
        builder = builder.add_extension(names, False)
    return builder.sign(shared_key(), hashes.SHA256()).public_bytes(Encoding.PEM)


OTHER_NAMES = [
    x509.RFC822Name("alice@www.example.com"),
    x509.UniformResourceIdentifier("https://www.example.com/"),
    x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "www.example.com")])),
    x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")),
    x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01a"),
]


def allowed_by_whitelist(csr, names, **options):
    everything = {"allow_cn_id": True, "allow_dns_id": True, "allow_ip_id": True}
    a_policy = make_policy({"whitelist_names": {"names": names, **everything, **options}})
    return refusals(a_policy, csr) == {}


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("www.example.com", "www.example.com", True),
        ("www.example.com", "WWW.Example.COM", True),
        ("WWW.example.com", "www.example.com", True),
        ("www.example.com", "www.example.com.", True),
        ("www.example.com.", "www.example.com", True),
        ("www.example.com", "www.example.com..", False),
        ("www.example.com", "www.example.comx", False),
        ("www.example.com", "wwwXexample.com", False),
        ("www.example.com", "a.www.example.com", False),
        ("%.example.com", "www.example.com", True),
        ("%.example.com", "WWW.EXAMPLE.com", True),
        ("%.example.com", "example.com", False),
        ("%.example.com", ".example.com", False),
        ("%.example.com", "a.b.example.com", False),
        ("%.example.com", "www.example.com.evil.org", False),
        ("%.example.com", "www.exampleXcom", False),
        ("%.example.com", "w w.example.com", False),
        ("%.example.com", "evil.org/.example.com", False),
        ("%.example.com", "evil/x.example.com", False),
        ("%.%.example.com", "a.b.example.com", True),
        ("%.%.example.com", "b.example.com", False),
        ("partial-%.example.com", "partial-1.example.com", True),
        ("partial-%.example.com", "partial-a-b.example.com", True),
        ("partial-%.example.com", "partial-.example.com", False),
        ("partial-%.example.com", "partial.example.com", False),
        ("partial-%.example.com", "other-1.example.com", False),
        ("%-db.example.com", "eu-db.example.com", True),
        ("a%z.example.com", "abcz.example.com", True),
        ("a%z.example.com", "az.example.com", False),
        ("a%a.example.com", "a.example.com", False),
        ("a%.%b.example.com", "a1.2b.example.com", True),
        ("www.%.com", "www.example.com", True),
        ("%.example.%", "www.example.com", True),
        ("%", "localhost", True),
        ("%", "a.b", False),
        ("Alice Smith", "alice smith", True),
        ("%.%.%.%", "10.0.0.1", False),
        ("%.%.%", "127.0.1", False),
        ("%", "2130706433", False),
        ("%.example.com", "*.example.com", False),
        ("*.example.com", "*.example.com", True),
        ("*.example.com", "www.example.com", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.4", False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", True),
        ("::/0", "10.1.2.3", False),
        ("2001:db8::/32", "2001:db8::1", True),
        ("2001:db8::1", "2001:0DB8:0:0::1", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("0.0.0.0/0", "www.example.com", False),
    ],
)
@pytest.mark.parametrize("name_type", ["common name", "alternative name"])
def test_a_whitelist_pattern_matches_exactly_its_names(pattern, name, expected, name_type):
    csr = make_csr(name) if name_type == "common name" else make_csr(None, name)

    assert expected == allowed_by_whitelist(csr, [pattern])


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("%.example.com", "*.example.com", True),
        ("%.%.example.com", "*.a.example.com", True),
        ("%.%.example.com", "a.*.example.com", False),
        ("partial-%.example.com", "partial-*.example.com", False),
        ("%.example.com", "f*.example.com", False),
        ("%.example.com", "**.example.com", False),
        ("www.example.com", "*.example.com", False),
        ("%", "*", True),
    ],
)
def test_with_allow_wildcard_a_percent_matches_a_wildcard_label(pattern, name, expected):
    assert expected == allowed_by_whitelist(make_csr(None, name), [pattern], allow_wildcard=True)


@pytest.mark.parametrize("name", OTHER_NAMES, ids=lambda name: type(name).__name__)
@pytest.mark.parametrize(
    "validators",
    [
        {"whitelist_names": {"names": ["%.example.com"], "allow_dns_id": True}},
        {"alternative_names": {"allowed_domains": [".example.com"]}},
        {
            "alternative_names_ip": {
                "allowed_domains": [".example.com"],
                "allowed_networks": ["0.0.0.0/0", "::/0"],
            }
        },
    ],
    ids=lambda validators: next(iter(validators)),
)
def test_a_name_of_another_type_is_rejected(validators, name):
    a_policy = make_policy(validators)

    assert refusals(a_policy, make_csr(None, "www.example.com")) == {}
    assert set(validators) == set(refusals(a_policy, make_csr(None, "www.example.com", name)))


@pytest.mark.parametrize(
    ("option", "csr"),
    [
        ("allow_cn_id", make_csr("a.example.com")),
        ("allow_dns_id", make_csr(None, "a.example.com")),
        ("allow_ip_id", make_csr(None, "10.0.0.1")),
    ],
)
def test_each_name_type_must_be_allowed(option, csr):
    names = {"names": ["a.example.com", "10.0.0.1"]}

    assert {} == refusals(make_policy({"whitelist_names": {**names, option: True}}), csr)
    others = {"allow_cn_id": True, "allow_dns_id": True, "allow_ip_id": True} | {option: False}
    assert refusals(make_policy({"whitelist_names": {**names, **others}}), csr)


# Letters that str.lower or re.IGNORECASE treats as k and s.
@pytest.mark.parametrize("letter", ["\N{KELVIN SIGN}", "\N{LATIN SMALL LETTER LONG S}"])
def test_only_ascii_letters_match_in_both_cases(letter):
    plain = {"\N{KELVIN SIGN}": "k", "\N{LATIN SMALL LETTER LONG S}": "s"}[letter]
    csr = make_csr(f"{letter}-1.example.com")

    for name in (f"{plain}-1.example.com", "%.example.com", f"{plain}-%.example.com"):
        assert not allowed_by_whitelist(csr, [name])
    group = {"server_group": {"group_prefixes": {"G": plain}}}
    assert refusals(make_policy(group), csr, "G")
    domain = {"common_name": {"allowed_domains": [".example.com"]}}
    assert refusals(make_policy(domain), csr)
    widely = {"blacklist_names": {"domains": [f".{plain}-1.example.com"]}}
    assert refusals(make_policy(widely), csr)


def test_a_request_without_names_is_rejected():
    organisation = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example")])
    nameless = x509.CertificateSigningRequestBuilder(organisation).sign(
        shared_key(), hashes.SHA256()
    )
    validators = {
        "whitelist_names": {
            "names": ["%.example.com"],
            "allow_cn_id": True,
            "allow_dns_id": True,
        },
        "common_name": {"allowed_domains": [".example.com"]},
        "server_group": {"group_prefixes": {"Nova": "nv"}},
    }

    found = refusals(make_policy(validators), nameless.public_bytes(Encoding.PEM), "Nova")

    assert {*validators, "a_name"} == set(found)


def test_every_name_is_checked():
    a_policy = make_policy(
        {"whitelist_names": {"names": ["%.example.com"], "allow_cn_id": True, "allow_dns_id": True}}
    )

    csr = make_csr("a.example.com", "b.example.com", "c.example.org", "d.example.net")
    reason = refusals(a_policy, csr)["whitelist_names"]

    assert "c.example.org" in reason
    assert "d.example.net" in reason
    assert "a.example.com" not in reason


def test_the_first_offending_names_are_shown_and_the_others_counted():
    a_policy = make_policy({"alternative_names": {"allowed_domains": [".example.com"]}})

    csr = make_csr("x", *(f"n{number}.example.org" for number in range(500)))
    reason = refusals(a_policy, csr)["alternative_names"]

    assert "n4.example.org" in reason
    assert "n5.example.org" not in reason
    assert "495" in reason


@pytest.mark.parametrize(
    "validators",
    [
        {"whitelist_names": {"allow_cn_id": True, "allow_dns_id": True, "allow_ip_id": True}},
        {"whitelist_names": {"names": ["a.example.com", "10.0.0.1"]}},
        {"common_name": {}},
        {"common_name": {"allowed_domains": [], "allowed_networks": []}},
        {"extensions": {}, "alternative_names": {}},
        {"alternative_names_ip": {}, "common_name": {"allowed_domains": []}},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["a.example.com", "10.0.0.1"])
def test_an_empty_or_missing_allow_list_rejects_every_name(validators, name):
    assert refusals(make_policy(validators), make_csr(name, name))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("www.example.com", True),
        ("a.b.EXAMPLE.com", True),
        ("www.example.com.", True),
        ("*.example.com", True),
        ("example.com", False),
        (".example.com", False),
        ("..example.com", False),
        ("www.example.com.evil.org", False),
        ("wwwexample.com", False),
        ("evil.org/.example.com", False),
        ("a b.example.com", False),
        ("bücher.example.com", False),
        ("alice@www.example.com", False),
        ("10.1.2.3", True),
        ("10.1.2", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:a01:203", True),
        ("11.1.2.3", False),
        ("010.1.2.3", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("fe80::1%x.example.com", False),
        ("www", False),
    ],
)
def test_a_common_name_is_checked_as_a_name_or_an_address(name, expected):
    options = {
        "allowed_domains": [".example.com"],
        "allowed_networks": ["10.0.0.0/8", "2001:db8::/32"],
    }

    assert expected == (refusals(make_policy({"common_name": options}), make_csr(name)) == {})


def test_a_single_common_name_or_an_alternative_name_is_required():
    a_policy = make_policy({"common_name": {"allowed_domains": [".example.com"]}})

    assert refusals(a_policy, make_csr(None, "www.example.org")) == {}
    assert refusals(a_policy, several_common_names("a.example.com", "b.example.com"))
    assert refusals(a_policy, several_common_names("a.example.com", "a.example.com"))
    organisation = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example")])
    nameless = x509.CertificateSigningRequestBuilder(organisation).sign(
        shared_key(), hashes.SHA256()
    )
    assert "common_name" in refusals(a_policy, nameless.public_bytes(Encoding.PEM))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("www.example.com", (True, True)),
        ("example.com", (False, False)),
        ("10.1.2.3", (False, True)),
        ("::ffff:10.1.2.3", (False, True)),
        ("11.1.2.3", (False, False)),
        (x509.DNSName("10.1.2.3"), (False, False)),
    ],
)
def test_alternative_names_can_be_addresses_only_if_configured(name, expected):
    domains, networks = {"allowed_domains": [".example.com"]}, {"allowed_networks": ["10.0.0.0/8"]}

    without = make_policy({"alternative_names": domains})
    with_addresses = make_policy({"alternative_names_ip": domains | networks})

    csr = make_csr("x", name)
    assert expected == (refusals(without, csr) == {}, refusals(with_addresses, csr) == {})


def test_the_root_domain_allows_every_dns_name_and_no_address():
    a_policy = make_policy({"alternative_names": {"allowed_domains": ["."]}})

    assert refusals(a_policy, make_csr("x", "anything.example.org", "localhost")) == {}
    assert refusals(a_policy, make_csr("x", "10.0.0.1"))
    assert refusals(a_policy, make_csr("x", x509.DNSName("10.0.0.1")))


@pytest.mark.parametrize("name", ["www.*.com", "*.*.com", "w*.example.com", "a.b.*", "*www.com"])
@pytest.mark.parametrize("domain", [".", ".com", ".example.com"])
def test_a_wildcard_must_be_the_whole_leftmost_label(name, domain):
    domains = {"allowed_domains": [domain]}
    by_domain = {
        "common_name": domains,
        "alternative_names": domains,
        "alternative_names_ip": domains,
    }
    patterns = ["%.%.%", "%.%.com", "%.example.com", "%.com", "%www.com"]
    allow = {"allow_cn_id": True, "allow_dns_id": True, "allow_wildcard": True}
    by_name = {"whitelist_names": {"names": patterns, **allow}}

    refused = refusals(make_policy({**by_domain, **by_name}), make_csr(name, name))

    assert set(refused) == {*by_domain, *by_name}
    a_wildcard = make_csr("*.www.example.com", "*.www.example.com")
    assert {} == refusals(make_policy(by_domain), a_wildcard)


REFUSED = {"domains": [".evil.example"], "networks": ["10.0.0.0/8", "2001:db8::/32"]}


@pytest.mark.parametrize(
    "name",
    [
        "www.evil.example",
        "WWW.EVIL.EXAMPLE",
        "www.evil.example.",
        "evil.example",
        "*.evil.example",
        "*.example",
        "a.*.example",
        "10.9.9.9%.evil.example",
        "10.1.2.3",
        "::ffff:10.1.2.3",
        "2001:db8::1",
        x509.DNSName("10.1.2.3"),
        x509.DNSName("10.66051"),
        x509.DNSName("0x0a010203"),
        x509.RFC822Name("alice@www.evil.example"),
        x509.RFC822Name("alice@evil.example"),
        x509.UniformResourceIdentifier("https://www.evil.example:8443/"),
        x509.UniformResourceIdentifier("https://good.example@www.evil.example/"),
        x509.UniformResourceIdentifier("https://[::ffff:10.1.2.3]/"),
        x509.UniformResourceIdentifier("https:\\\\www.evil.example/"),
        x509.UniformResourceIdentifier("https://[broken"),
        x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.evil.example")])),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")),
        x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01a"),
    ],
    ids=str,
)
def test_a_blacklisted_name_is_rejected_in_every_spelling(name):
    for options in (
        REFUSED,
        {"allowed_domains": REFUSED["domains"], "allowed_networks": REFUSED["networks"]},
    ):
        assert refusals(make_policy({"blacklist_names": options}), make_csr("good.example", name))


@pytest.mark.parametrize(
    "name",
    [
        "a.evil.example",
        " a.evil.example ",
        "a.evil\N{IDEOGRAPHIC FULL STOP}example",
        "a.evil.e\N{FULLWIDTH LATIN SMALL LETTER X}ample",
        "10.1.2.3",
        "10.66051",
        "[2001:db8::1]",
        "2001:db8::1%eth0",
        "\N{SNOWMAN}.evil.example",
        "*.evil.example",
    ],
)
def test_a_blacklisted_common_name_is_rejected_in_every_spelling(name):
    assert refusals(make_policy({"blacklist_names": REFUSED}), make_csr(name))


@pytest.mark.parametrize(
    "name",
    [
        "www.good.example",
        "notevil.example",
        "evil.example.com",
        "11.1.2.3",
        "2001:db9::1",
        x509.RFC822Name("alice@good.example"),
        x509.UniformResourceIdentifier("spiffe://good.example/www.evil.example"),
        x509.UniformResourceIdentifier("urn:uuid:0e6b4c3a-0000-4000-8000-000000000000"),
    ],
    ids=str,
)
def test_a_name_that_is_not_blacklisted_passes(name):
    assert {} == refusals(make_policy({"blacklist_names": REFUSED}), make_csr("Jürgen", name))


def test_an_address_within_a_refused_ipv6_range_is_rejected_in_its_mapped_form():
    a_policy = make_policy({"blacklist_names": {"networks": ["::/0"]}})

    assert refusals(a_policy, make_csr("good.example", "::ffff:192.0.2.1"))
    assert refusals(a_policy, make_csr("::ffff:192.0.2.1"))
    assert {} == refusals(a_policy, make_csr("192.0.2.1"))


GROUPS = {"server_group": {"group_prefixes": {"Nova": "nv", "Glance": "gl"}}}


@pytest.mark.parametrize(
    ("csr", "groups", "expected"),
    [
        (make_csr("nv-compute1.domain"), ["Nova"], True),
        (make_csr("NV-compute1.domain"), ["Nova"], True),
        (make_csr("nv-a-b.domain"), ["Nova"], True),
        (make_csr("gl-api1.domain"), ["Nova"], False),
        (make_csr("gl-api1.domain"), ["Nova", "Glance"], True),
        (make_csr("gl-api1.domain"), [], False),
        (make_csr("sw-proxy1.domain"), ["Nova", "Glance"], False),
        (make_csr("nv-compute1.domain"), ["nova"], False),
        (make_csr("nvx-compute1.domain"), ["Nova"], False),
        (make_csr("master.domain"), [], True),
        (make_csr("master.my-domain"), [], True),
        (make_csr("nv.domain"), [], True),
        (make_csr("-nv.domain"), ["Nova"], False),
        (make_csr("10.0.0.1", "10.0.0.1"), [], True),
        (make_csr("*.domain"), ["Nova"], False),
        (make_csr("n*.domain"), ["Nova"], False),
        (make_csr("nv-*.domain"), ["Nova"], True),
        (make_csr("nv-1.domain", "nv-1.domain", "nv-2.domain"), ["Nova"], True),
        (make_csr("nv-1.domain", "gl-1.domain"), ["Nova"], False),
        (make_csr("master.domain", "gl-1.domain"), ["Nova"], False),
        (make_csr(None, "nv-1.domain"), ["Nova"], True),
        (make_csr(None, "gl-1.domain"), ["Nova"], False),
        (make_csr("nv-1.domain", *OTHER_NAMES[:1]), ["Nova"], False),
        (several_common_names("nv-1.domain", "gl-1.domain"), ["Nova"], False),
        (several_common_names("nv-1.domain", "nv-2.domain"), ["Nova"], False),
    ],
)
def test_a_prefixed_name_requires_membership_in_its_group(csr, groups, expected):
    assert expected == (refusals(make_policy(GROUPS), csr, *groups) == {})


# The planes above the first two have only ideographs, tags and characters for private use.
DASHES = [
    character
    for character in map(chr, range(0x20, 0x20000))
    if unicodedata.category(character) == "Pd"
    or unicodedata.normalize("NFKC", character) in {"-", "\N{MINUS SIGN}"}
    or character in "\N{MODIFIER LETTER MINUS SIGN}\N{HYPHEN BULLET}\N{HEAVY MINUS SIGN}"
]


@pytest.mark.parametrize("dash", DASHES, ids=unicodedata.name)
def test_every_dash_like_character_ends_a_prefix(dash):
    a_policy = make_policy(GROUPS)

    for name in (f"gl{dash}api1.domain", f"gl{dash}api1\N{IDEOGRAPHIC FULL STOP}domain"):
        assert "server_group" in refusals(a_policy, make_csr(name), "Nova")
    assert {} == refusals(a_policy, make_csr(f"master.my{dash}domain"), "Nova")


@pytest.mark.parametrize("name", ["\N{FULLWIDTH LATIN SMALL LETTER N}v-1.domain", "Jürgen-Server"])
def test_a_prefix_in_another_script_belongs_to_no_group(name):
    assert refusals(make_policy(GROUPS), make_csr(name), "Nova")
    assert {} == refusals(make_policy(GROUPS), make_csr("Jürgen"), "Nova")


def test_without_configured_prefixes_every_prefix_is_rejected():
    assert refusals(make_policy({"server_group": {}}), make_csr("nv-1.domain"), "Nova")
    assert {} == refusals(make_policy({"server_group": {}}), make_csr("master.domain"))


@pytest.mark.parametrize(
    ("validator", "options", "path"),
    [
        ("whitelist_names", {"names": ["%%.example.com"]}, "names.0"),
        ("whitelist_names", {"names": ["a", "a%b%.example.com"]}, "names.1"),
        ("whitelist_names", {"names": ["10.0.0.%"]}, "names.0"),
        ("whitelist_names", {"names": ["10.%.0.1"]}, "names.0"),
        ("whitelist_names", {"names": ["10.0.%.0/24"]}, "names.0"),
        ("whitelist_names", {"names": ["2001:db8::%"]}, "names.0"),
        ("whitelist_names", {"names": ["10.0.0.1/8"]}, "names.0"),
        ("whitelist_names", {"names": ["10.0.0.0/33"]}, "names.0"),
        ("whitelist_names", {"names": ["10.0.0.256"]}, "names.0"),
        ("whitelist_names", {"names": ["10.0.0.1-10.0.0.9"]}, "names.0"),
        ("whitelist_names", {"names": ["example.com/24"]}, "names.0"),
        ("whitelist_names", {"names": [""]}, "names.0"),
        ("whitelist_names", {"names": [".example.com"]}, "names.0"),
        ("whitelist_names", {"names": ["a..example.com"]}, "names.0"),
        ("whitelist_names", {"names": ["www.*.com"]}, "names.0"),
        ("whitelist_names", {"names": ["bücher.example"]}, "names.0"),
        ("whitelist_names", {"names": ["a b%.example.com"]}, "names.0"),
        ("whitelist_names", {"names": ["www.example.com\n"]}, "names.0"),
        ("whitelist_names", {"names": "www.example.com"}, "names"),
        ("whitelist_names", {"names": [1]}, "names.0"),
        ("whitelist_names", {"names": [], "allow_cn_id": "yes"}, "allow_cn_id"),
        ("whitelist_names", {"name": []}, ""),
        ("common_name", {"allowed_domains": ["example.com"]}, "allowed_domains.0"),
        ("common_name", {"allowed_domains": [".%.com"]}, "allowed_domains.0"),
        ("common_name", {"allowed_domains": [".*.com"]}, "allowed_domains.0"),
        ("common_name", {"allowed_domains": ["..com"]}, "allowed_domains.0"),
        ("common_name", {"allowed_domains": [""]}, "allowed_domains.0"),
        ("common_name", {"allowed_networks": ["10.0.0.1/8"]}, "allowed_networks.0"),
        ("alternative_names", {"allowed_domains": ["example.com"]}, "allowed_domains.0"),
        ("alternative_names", {"allowed_networks": []}, ""),
        ("alternative_names_ip", {"allowed_networks": ["ten"]}, "allowed_networks.0"),
        ("blacklist_names", {"domains": ["example.com"]}, "domains.0"),
        ("blacklist_names", {"networks": ["10.0.0.1/8"]}, "networks.0"),
        ("blacklist_names", {"allowed_domains": ["example.com"]}, "allowed_domains.0"),
        ("server_group", {"group_prefixes": {"A": "nv", "B": "NV"}}, "group_prefixes"),
        ("server_group", {"group_prefixes": {"A": "nv-"}}, "group_prefixes"),
        ("server_group", {"group_prefixes": {"A": ""}}, "group_prefixes"),
        ("server_group", {"group_prefixes": {"": "nv"}}, "group_prefixes"),
        ("server_group", {"group_prefixes": {"A": 1}}, "group_prefixes.A"),
        ("server_group", {"group_prefixes": []}, "group_prefixes"),
    ],
)
def test_invalid_options_are_rejected(validator, options, path):
    where = f"validators.{validator}" + (f".{path}" if path else "")

    assert config_errors({validator: options}).startswith(f"{where}: ")


@pytest.mark.parametrize(
    "kind", [NameOID.EMAIL_ADDRESS, x509.ObjectIdentifier("0.9.2342.19200300.100.1.3")]
)
@pytest.mark.parametrize(
    "validators",
    [
        {
            "whitelist_names": {
                "names": ["%.example.com"],
                "allow_dns_id": True,
                "allow_cn_id": True,
            }
        },
        {"alternative_names": {"allowed_domains": [".example.com"]}},
        {"alternative_names_ip": {"allowed_domains": [".example.com"]}},
        {"server_group": {}},
    ],
    ids=lambda validators: next(iter(validators)),
)
def test_a_mail_address_in_the_subject_is_checked_as_a_name(validators, kind):
    values = {key: ["%"] for key in ["emailAddress", "0.9.2342.19200300.100.1.3", "O"]}
    a_policy = make_policy(validators | {"subject_attributes": {"allowed": values}})

    def with_attribute(oid, value):
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, "a.example.com"),
                x509.NameAttribute(oid, value),
            ]
        )
        builder = x509.CertificateSigningRequestBuilder(subject)
        return builder.sign(shared_key(), hashes.SHA256()).public_bytes(Encoding.PEM)

    [reason] = refusals(a_policy, with_attribute(kind, "alice@a.example.com")).values()
    assert "email:alice@a.example.com" in reason
    assert {} == refusals(
        a_policy, with_attribute(NameOID.ORGANIZATION_NAME, "alice@a.example.com")
    )


def upn(text):
    return x509.OtherName(
        x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), der.tlv(der.UTF8, text.encode())
    )


ALLOW = {
    "allow_uri_id": x509.UniformResourceIdentifier,
    "allow_email_id": x509.RFC822Name._init_without_validation,
    "allow_upn_id": upn,
}

URI_PATTERNS = [
    ("spiffe://example.com/ns/%/sa/%", "spiffe://example.com/ns/prod/sa/web", True),
    ("spiffe://example.com/ns/%/sa/%", "SPIFFE://Example.COM/ns/prod/sa/web", True),
    ("spiffe://example.com/ns/%/sa/%", "spiffe://example.com/NS/prod/sa/web", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe://example.com/ns/prod/sa/web/", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe://example.com/ns/prod/sa/web/x", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe://example.com/ns/prod/sa/", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe://example.com/ns//sa/web", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe://example.com/ns/a/b/sa/web", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe://example.com/ns/../sa/web", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe://example.com/ns/./sa/web", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe://example.com/ns/a%2Fb/sa/web", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe://example.com/ns/%2e%2e/sa/web", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe://example.com/ns/a\\b/sa/web", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe://example.com/ns/prod/sa/web?x=y", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe://example.com/ns/prod/sa/web#x", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe://example.com:8443/ns/prod/sa/web", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe://a@example.com/ns/prod/sa/web", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe://evil.example/ns/prod/sa/web", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe://example.com.evil/ns/prod/sa/web", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe://www.example.com/ns/prod/sa/web", False),
    ("spiffe://example.com/ns/%/sa/%", "https://example.com/ns/prod/sa/web", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe:/example.com/ns/prod/sa/web", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe:example.com/ns/prod/sa/web", False),
    ("spiffe://example.com/ns/%/sa/%", "spiffe:///example.com/ns/prod/sa/web", False),
    ("spiffe://example.com/ns/prod-%", "spiffe://example.com/ns/prod-eu", True),
    ("spiffe://example.com/ns/prod-%", "spiffe://example.com/ns/prod-", False),
    ("spiffe://example.com/x", "spiffe://example.com/x", True),
    ("spiffe://example.com/x", "spiffe://example.com/X", False),
    ("spiffe://example.com", "spiffe://example.com", True),
    ("spiffe://example.com", "spiffe://example.com/", False),
    ("https://%.example.com:8443/", "https://WWW.example.com:8443/", True),
    ("https://%.example.com:8443/", "https://www.example.com/", False),
    ("https://%.example.com/", "https://a.b.example.com/", False),
    ("https://%.example.com/", "https://*.example.com/", False),
    ("https://%/", "https://com:/", False),
    ("https://%.%.%.%/", "https://10.0.0.1/", False),
    ("https://10.0.0.1/%", "https://10.0.0.1/x", True),
    ("https://[2001:db8::1]/%", "https://[2001:DB8::1]/x", True),
    ("urn:uuid:%", "URN:uuid:0e6b4c3a-0000-4000-8000-000000000000", True),
    ("urn:uuid:%", "urn:uuid:a:b", False),
    ("sip:%@example.com", "sip:alice@example.com", True),
    ("sip:%@example.com", "sip:alice@evil.example;x@example.com", False),
]

MAILBOX_PATTERNS = [
    ("%@example.com", "alice@example.com", True),
    ("%@example.com", "Alice.B+tag@EXAMPLE.com", True),
    ("%@example.com", "pc1$@example.com", True),
    ("%@example.com", "@example.com", False),
    ("%@example.com", "alice@example.com.evil", False),
    ("%@example.com", "alice@www.example.com", False),
    ("%@example.com", "alice@evil.example@example.com", False),
    ("%@example.com", "alice", False),
    ("%@example.com", "example.com", False),
    ("%@example.com", "a b@example.com", False),
    ("%@example.com", "host/www.evil.example@example.com", False),
    ("%@example.com", '"a"@example.com', False),
    ("%@example.com", "a%b@example.com", False),
    ("%@example.com", "alice@example.com.", False),
    ("alice@example.com", "alice@example.COM", True),
    ("alice@example.com", "Alice@example.com", False),
    ("alice@example.com", "bob@example.com", False),
    ("svc-%@%.example.com", "svc-x@a.example.com", True),
    ("svc-%@%.example.com", "x@a.example.com", False),
    ("svc-%@%.example.com", "svc-x@a.b.example.com", False),
    ("%@%.%", "a@10.1", False),
]


@pytest.mark.parametrize(
    ("option", "pattern", "text", "expected"),
    [
        *(("allow_uri_id", *case) for case in URI_PATTERNS),
        *(("allow_email_id", *case) for case in MAILBOX_PATTERNS),
        *(("allow_upn_id", *case) for case in MAILBOX_PATTERNS),
    ],
)
def test_uris_mailboxes_and_principals_match_patterns_if_allowed(option, pattern, text, expected):
    csr = make_csr(None, ALLOW[option](text))
    others = {other: True for other in ALLOW if other != option}
    everything = {"allow_cn_id": True, "allow_dns_id": True, "allow_ip_id": True, **others}

    def allowed(**options):
        return not refusals(make_policy({"whitelist_names": {"names": [pattern], **options}}), csr)

    assert allowed(**{option: True}) == expected
    assert not allowed(**everything)


@pytest.mark.parametrize("option", ALLOW)
def test_a_pattern_of_host_names_allows_no_name_of_another_type(option):
    policy = {"whitelist_names": {"names": ["%.example.com", "%", "10.0.0.0/8"], option: True}}

    for text in (
        "https://www.example.com/",
        "alice@www.example.com",
        "www.example.com",
        "10.0.0.1",
    ):
        assert refusals(make_policy(policy), make_csr(None, ALLOW[option](text)))


def test_mail_addresses_in_the_subject_are_allowed_by_pattern():
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "Alice"),
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, "alice@example.com"),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder(subject)
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.RFC822Name("alice@example.com")]), False
    )
    csr = builder.sign(shared_key(), hashes.SHA256()).public_bytes(Encoding.PEM)

    def refused(*names, **options):
        allow = {"allow_cn_id": True, "allow_email_id": True, **options}
        return refusals(make_policy({"whitelist_names": {"names": names, **allow}}), csr)

    assert refused("Alice", "%@example.com") == {}
    assert refused("Alice", "alice@example.com") == {}
    assert refused("Alice", "%@example.org")
    assert refused("Alice", "%@example.com", allow_email_id=False)
    assert refused("%@example.com")


def test_a_mailbox_as_common_name_matches_only_itself():
    for pattern, expected in (("alice@example.com", True), ("%@example.com", False)):
        csr = make_csr("alice@example.com")
        assert expected == allowed_by_whitelist(csr, [pattern], allow_email_id=True)


@pytest.mark.parametrize(
    "pattern",
    ["spiffe://example.com/%%", "spiffe://example.com/%a%", "%://example.com/", "https://a:%/",
     "https://*.example.com/", "https://a@example.com/", "https://exa mple.com/", "https:///x",
     "https://example.com/../x", "https://[2001:db8::%]/", "https://a..b/", "www.example.com:443",
     "localhost:80", "%%@example.com", "a b%@example.com", "%@*.example.com", "%@", "@%",
     "%@a..b", "a%b@c@d", "fe80::%"],
)  # fmt: skip
def test_an_invalid_pattern_of_a_uri_or_a_mailbox_is_rejected(pattern):
    message = config_errors({"whitelist_names": {"names": [pattern]}})

    assert message.startswith("validators.whitelist_names.names.0: ")
