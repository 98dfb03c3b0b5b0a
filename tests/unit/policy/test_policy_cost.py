"""The CPU time to check a request is small, for any request and any policy."""

from __future__ import annotations

import contextlib
import datetime

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from anchor import errors
from anchor.auth.results import AuthDetails
from anchor.policy.policy import load_policy
from anchor.X509 import pem
from tests.support import der
from tests.support.database import ban_names
from tests.support.pace import assert_cpu_below
from tests.support.pki import make_csr, shared_key, subject
from tests.support.policies import approve, make_policy
from tests.unit.X509.test_general_names import (
    KERBEROS,
    SMTP_UTF8,
    UPN,
    other_name,
    principal,
    uri,
    utf8,
)

# The limits are for code that is not traced.
pytestmark = [pytest.mark.slow, pytest.mark.no_cover]

MILLISECOND = 0.001

LARGE = {
    "standards_compliance": {},
    "whitelist_names": {
        "names": [
            *(f"h{n}-%.example.com" for n in range(4000)),
            *(f"n{n}.%.%.example.com" for n in range(2000)),
            *(f"www{n}.example.com" for n in range(2000)),
            *(f"10.{n // 256}.{n % 256}.0/24" for n in range(2000)),
        ],
        "allow_cn_id": True,
        "allow_dns_id": True,
        "allow_ip_id": True,
    },
    "blacklist_names": {"domains": [f".d{n}.evil.example" for n in range(10_000)]},
    "alternative_names_ip": {
        "allowed_domains": [f".d{n}.example.com" for n in range(10_000)] + [".example.com"],
        "allowed_networks": [f"10.{n // 256}.{n % 256}.0/24" for n in range(10_000)],
    },
    "common_name": {"allowed_domains": [".example.com"]},
    "server_group": {"group_prefixes": {f"g{n}": f"h{n}" for n in range(1000)}},
    "extensions": {"allowed_extensions": ["subjectAltName"]},
    "public_key": {"allowed_keys": {"EC": 0}},
}


@pytest.fixture(scope="module")
def large_policy():
    return make_policy(LARGE, {"enforce_alternative_names_present": {}, "normalize_names": {}})


def assert_cost_below(seconds, a_policy, csr, *groups, context=None):
    def evaluate():
        with contextlib.suppress(errors.RequestError):
            approve(a_policy, csr, *groups, context=context)

    assert_cpu_below(seconds, evaluate)


def test_checking_a_hundred_names_against_ten_thousand_patterns_is_fast(large_policy):
    groups = [f"g{n}" for n in range(100)]
    names = [f"h{n}-x.example.com" for n in range(98)]
    csr = make_csr("h1-x.example.com", *names, "www1.example.com", "10.1.2.3")

    assert approve(large_policy, csr, *groups)
    assert_cost_below(30 * MILLISECOND, large_policy, csr, *groups)


def dns(text):
    return x509.DNSName(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_csr("x", *(dns(f"{n:x}") for n in range(10_000))),
        lambda: make_csr("x", *(dns("a") for _ in range(10_000))),
        lambda: make_csr("x", *(dns(f"h{n}-x.evil.example") for n in range(990))),
        lambda: make_csr("x", *(dns(f"xn--{n}-kva.example.com") for n in range(990))),
        lambda: make_csr("x", dns("." * 45_000)),
        lambda: make_csr("x", dns("a." * 22_500)),
        lambda: make_csr("x", dns("*." * 22_500)),
        lambda: make_csr("x", x509.RFC822Name("a" * 45_000 + "@a.example")),
        lambda: make_csr("x", x509.UniformResourceIdentifier("http://" + "[" * 45_000)),
        lambda: make_csr("x", x509.UniformResourceIdentifier("a:" * 22_500)),
        lambda: make_csr("x", *(x509.DirectoryName(subject("a" * 32)) for _ in range(700))),
        lambda: make_csr(
            "x",
            extensions=[
                x509.ExtendedKeyUsage([x509.ObjectIdentifier(f"1.2.{n}") for n in range(9000)])
            ],
        ),
        lambda: make_csr(
            "x",
            extensions=[
                x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.2.{n}"), b"")
                for n in range(4000)
            ],
        ),
    ],
    ids=range(13),
)
def test_rejecting_costs_less_than_a_tenth_of_a_second(large_policy, make):
    assert_cost_below(100 * MILLISECOND, large_policy, make())


# ---- names of all types while names are banned


BANNED = [
    *(f"h{n}.example.com" for n in range(3000)),
    *(f"*.d{n}.example.com" for n in range(1000)),
    *(f".x{n}.example" for n in range(1000)),
    *("10.9.9.9", "alice@example.com", "spiffe://example.com/ns/x"),
]
# A policy that accepts most names has to check all of them.
LAX = {
    "standards_compliance": {},
    "blacklist_names": {"domains": [f".d{n}.evil.example" for n in range(10_000)]},
}
FIXUPS = {"enforce_alternative_names_present": {}, "normalize_names": {}}


@pytest.fixture(scope="module", params=["every validator", "few validators"])
def banning(request, tmp_path_factory):
    """Approves requests while 5000 names are banned."""
    directory = tmp_path_factory.mktemp("bans")
    now = datetime.datetime.now(datetime.UTC)
    bans = ban_names(directory, BANNED, now)
    validators = LARGE if request.param == "every validator" else LAX
    a_policy = load_policy(
        validators, FIXUPS, frozenset({65537}), frozenset(), directory, bans=bans
    )
    return a_policy, a_policy.context(AuthDetails("alice"), None, {})


def as_many_as_fit(make):
    """A request of less than 64 KiB with up to 1000 names: make(0), make(1), ..."""
    names, size = [], 0
    while len(names) < 1000:
        name = make(len(names))
        # Two bytes for the SEQUENCE and about two for its length.
        size += len(x509.SubjectAlternativeName([name]).public_bytes()) - 2
        if size > 44_000:
            break
        names.append(name)
    return make_csr(None, *names)


def a_label(text):
    return dns(f"xn--{text.encode('punycode').decode()}.example.com")


def digits(number, zero):
    """A label of digits that IDNA checks in quadratic time."""
    return (
        "\N{ARABIC LETTER ALEF}" + zero * 30 + "".join(chr(ord(zero) + int(d)) for d in f"{number}")
    )


def directory(*attributes):
    return x509.DirectoryName(x509.Name([x509.NameAttribute(*pair) for pair in attributes]))


CN, DC, OU = NameOID.COMMON_NAME, NameOID.DOMAIN_COMPONENT, NameOID.ORGANIZATIONAL_UNIT_NAME
HAN = "".join(chr(0x4E00 + 1370 * n) for n in range(14))


def with_attributes(make):
    """A request with 64 subject attributes: make(0), make(1), ..."""
    parts = der.name(*(make(n) for n in range(64)))
    return pem.encode(der.request(shared_key("ed25519"), parts), b"CERTIFICATE REQUEST")


# Each request is made by its test, because making all of them takes seconds.
COSTLY = {
    "1000 hosts": lambda: as_many_as_fit(lambda n: dns(f"h{n}.good.example")),
    "many labels": lambda: as_many_as_fit(lambda n: dns(f"h{n}." + "abcdefgh"[n % 8] + ".b" * 120)),
    "wildcards": lambda: as_many_as_fit(lambda n: dns(f"*.b{n}.good.example")),
    "partial wildcards": lambda: as_many_as_fit(lambda n: dns(f"a{n}*.example.com")),
    "numbers": lambda: as_many_as_fit(lambda n: dns(f"0x7f.{n}")),
    "a long host": lambda: make_csr(None, dns("a." * 22_000)),
    "a long host in a URI": lambda: make_csr(None, uri("https://" + "a." * 22_000)),
    "many users": lambda: make_csr(None, uri("https://" + "a@" * 22_000)),
    "many ports": lambda: make_csr(None, uri("https://" + "a:" * 22_000)),
    "percent-encoding": lambda: make_csr(None, uri("https://" + "%252561" * 6000)),
    "brackets": lambda: make_csr(None, uri("https://" + "[]" * 22_000)),
    "addresses in brackets": lambda: make_csr(None, uri("foo:" + "[::1]" * 8000)),
    "words": lambda: make_csr(None, uri("foo:" + "a.b " * 11_000)),
    "punctuation": lambda: make_csr(None, uri("foo:" + ("a!" * 120 + " ") * 180)),
    "numeric words": lambda: make_csr(None, uri("foo:" + "0x7f.1," * 6000)),
    "dot segments": lambda: make_csr(None, uri("https://a.example/" + "./" * 20_000)),
    "mailto with 7000 addresses": lambda: make_csr(None, uri("mailto:" + "a@b.c," * 7000)),
    "mail addresses": lambda: as_many_as_fit(lambda n: x509.RFC822Name(f"a{n}@b{n}.example")),
    "SIP addresses": lambda: as_many_as_fit(lambda n: uri(f"sip:a{n}@b{n}.example;x=y")),
    "URIs": lambda: as_many_as_fit(lambda n: uri(f"https://u:p@h{n}.example:80/x/y?z")),
    "URIs with U-labels": lambda: as_many_as_fit(lambda n: uri(f"https://b%C3%BCcher{n}.example/")),
    "URIs with IPv6 addresses": lambda: as_many_as_fit(
        lambda n: uri(f"https://[2001:db8::{n:x}]:80/")
    ),
    "URIs with broken addresses": lambda: as_many_as_fit(
        lambda n: uri(f"https://[2001:db8::g{n:x}]/")
    ),
    "A-labels": lambda: as_many_as_fit(lambda n: a_label(f"bücher{n}")),
    "A-labels of Arabic digits": lambda: as_many_as_fit(lambda n: a_label(digits(n, "\u0660"))),
    "A-labels of Persian digits": lambda: as_many_as_fit(lambda n: a_label(digits(n, "\u06f0"))),
    "A-labels of Katakana": lambda: as_many_as_fit(
        lambda n: a_label("カ・" * 13 + chr(0x4E00 + n))
    ),
    "A-labels of Han": lambda: as_many_as_fit(lambda n: a_label(HAN + chr(0x4E00 + n))),
    "one A-label 800 times": lambda: as_many_as_fit(
        lambda n: dns(f"h{n}.{a_label(digits(0, 'Ù')).value}")
    ),
    "many A-labels in each": lambda: as_many_as_fit(
        lambda n: dns(".".join(a_label(f"ü{n}{i}").value[:-12] for i in range(15)))
    ),
    "directory names": lambda: as_many_as_fit(lambda n: directory((CN, f"h{n}.example"))),
    "directory names of 64 CNs": lambda: as_many_as_fit(
        lambda n: directory(*((CN, f"h{n}.x{i}") for i in range(64)))
    ),
    "directory names of 64 DCs": lambda: as_many_as_fit(
        lambda n: directory(*((DC, f"h{n}") for _ in range(64)))
    ),
    "directory names of 4 CNs and 32 DCs": lambda: as_many_as_fit(
        lambda n: directory(*((CN if i < 4 else DC, f"h{n}") for i in range(36)))
    ),
    "directory names of 64 OUs": lambda: as_many_as_fit(
        lambda n: directory(*((OU, f"h{n}") for _ in range(64)))
    ),
    "directory names of Han": lambda: as_many_as_fit(lambda n: directory((CN, f"{HAN}{n}"))),
    "user principal names": lambda: as_many_as_fit(
        lambda n: other_name(UPN, utf8(f"a{n}@b.example"))
    ),
    "Kerberos principals": lambda: as_many_as_fit(
        lambda n: principal("R", "HTTP", f"h{n}.example")
    ),
    "a Kerberos principal of 14000 parts": lambda: make_csr(None, principal("R", *["a"] * 14_000)),
    "a Kerberos principal of nothing": lambda: make_csr(
        None, other_name(KERBEROS, der.sequence(*[der.sequence()] * 20_000))
    ),
    "mailboxes of Han": lambda: as_many_as_fit(
        lambda n: other_name(SMTP_UTF8, utf8(f"a@{HAN[:8]}{n}.example"))
    ),
    "a mailbox of 14000 labels": lambda: make_csr(
        None, other_name(SMTP_UTF8, utf8("a@" + "ü." * 14_000))
    ),
    "other names": lambda: as_many_as_fit(lambda n: other_name("1.2.3", utf8(f"{n}"))),
    "an other name of 13000 parts": lambda: make_csr(
        None, other_name("1.2.3", der.sequence(*[utf8("a")] * 13_000))
    ),
}


@pytest.mark.parametrize("make", COSTLY.values(), ids=COSTLY.keys())
def test_names_of_any_kind_cost_less_than_a_tenth_of_a_second_while_names_are_banned(banning, make):
    a_policy, context = banning
    csr = make()
    assert len(csr) < 64 * 1024
    assert_cost_below(100 * MILLISECOND, a_policy, csr, context=context)


@pytest.mark.parametrize("pattern", ["org-{}", "org%-{}", "org-{}-%", "o{}%r{}g"])
def test_attributes_against_ten_thousand_values_cost_less_than_a_tenth_of_a_second(pattern):
    values = {"O": [pattern.format(n, n) for n in range(10_000)]}
    a_policy = make_policy(
        {"subject_attributes": {"allowed": values | {"CN": ["%"]}}},
        {"subject_attributes": {"keep": values}},
    )
    organisation = "2.5.4.10"
    csr = with_attributes(lambda n: (organisation, f"org{'-' * 600}{n}"))
    assert_cost_below(100 * MILLISECOND, a_policy, csr)


IN_COMMON_NAMES = {
    "Arabic digits": lambda n: (
        "\N{ARABIC LETTER BEH}" + "".join(chr(0x660 + (n * i + i) % 10) for i in range(50))
    ),
    "many labels of Han": lambda n: ".".join(chr(0x4E00 + n * 97 + i * 331) for i in range(30)),
    "Hangul": lambda n: "".join(chr(0xAC00 + (n * 97 + i * 331) % 11_000) for i in range(50)),
    "A-labels": lambda n: a_label("\N{ARABIC LETTER BEH}" + f"{n:06}".translate(ARABIC)).value[:50],
}
ARABIC = {ord("0") + digit: 0x660 + digit for digit in range(10)}


@pytest.mark.parametrize("make", IN_COMMON_NAMES.values(), ids=IN_COMMON_NAMES)
def test_common_names_in_any_script_cost_less_than_a_tenth_of_a_second(make):
    csr = with_attributes(lambda n: f"{make(n)}.example")
    assert_cost_below(70 * MILLISECOND, make_policy({"standards_compliance": {}}, FIXUPS), csr)
