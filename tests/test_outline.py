"""What is read right off a certificate's octets is what the library reads."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from anchor.ca.blank import VERSION_3
from anchor.errors import ConfigurationError
from anchor.store import outline, shares
from anchor.store.parsed_certificates import ParsedCertificate
from anchor.timestamps import timestamp
from anchor.X509.der import OCTET_STRING, SEQUENCE, bit_string, integer, value
from tests.pki import DAY, a_key, hash_for, now

WORDS = st.one_of(
    st.from_regex(r"[A-Za-z0-9*_.-]{1,20}(\.[A-Za-z0-9*-]{1,12}){0,3}", fullmatch=True),
    st.text("aZ09.*-_ :ä@", min_size=1, max_size=20),
    st.sampled_from(
        ["10.0.0.1", "2001:DB8:0::1", "www.example.com.", " a", "1", "x,y=z", "a" * 64, "#a"]
    ),
)
IA5 = WORDS.filter(str.isascii)
GENERAL_NAMES = st.one_of(
    IA5.map(x509.DNSName),
    IA5.map(lambda word: x509.DNSName(word * 7)),
    st.ip_addresses().map(x509.IPAddress),
    IA5.map(lambda word: x509.RFC822Name._init_without_validation(f"{word}@a.example")),
    IA5.map(lambda word: x509.UniformResourceIdentifier(f"https://{word}/")),
    st.just(x509.RegisteredID(x509.ObjectIdentifier("2.5.29.17"))),
    st.just(x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))),
)
ATTRIBUTES = st.builds(
    lambda oid, value, kind: x509.NameAttribute(oid, value, kind, _validate=False),
    st.sampled_from(
        [
            NameOID.COMMON_NAME,
            NameOID.ORGANIZATION_NAME,
            NameOID.DOMAIN_COMPONENT,
            NameOID.EMAIL_ADDRESS,
        ]
    ),
    WORDS,
    st.sampled_from([None, x509.name._ASN1Type.UTF8String, x509.name._ASN1Type.T61String]),
)
EXTENSIONS = st.lists(
    st.sampled_from(
        [
            x509.BasicConstraints(ca=False, path_length=None),
            x509.SubjectKeyIdentifier(b"\x06\x03\x55\x1d\x11" * 4),
            x509.SubjectKeyIdentifier(b"x" * 200),
            x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.5.29.17")]),
            x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")]),
        ]
    ),
    max_size=4,
    unique_by=type,
)


@st.composite
def certificates(draw):
    """A certificate in DER, mostly of a kind that is issued every day."""
    key = a_key(draw(st.sampled_from(["ec-p256", "ec-p384", "rsa-2048", "ed25519"])))
    common_name = x509.NameAttribute(NameOID.COMMON_NAME, "www.Example.com")
    subject = draw(
        st.one_of(
            st.just([]),
            st.just([common_name]),
            st.lists(st.lists(ATTRIBUTES, min_size=1, max_size=2), max_size=3),
        )
    )
    relative = [
        x509.RelativeDistinguishedName(each if isinstance(each, list) else [each])
        for each in subject
        if not isinstance(each, list) or len(set(each)) == len(each)
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(relative))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA" * 20)] * 3))
        .public_key(key.public_key())
        .serial_number(draw(st.integers(1, 1 << 158)))
        .not_valid_before(now())
        .not_valid_after(draw(st.sampled_from([now() + DAY, now() + 50 * 366 * DAY])))
    )
    extensions = draw(EXTENSIONS)
    names = draw(st.lists(GENERAL_NAMES, max_size=6))
    if names:
        place = draw(st.integers(0, len(extensions)))
        extensions.insert(place, x509.SubjectAlternativeName(names))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=draw(st.booleans()))
    # Its signatures are all of one length, so that a place drawn in the octets stays where it is.
    signing_key = a_key("ed25519")
    return builder.sign(signing_key, hash_for(signing_key)).public_bytes(Encoding.DER)


def pem(der):
    return b"-----BEGIN CERTIFICATE-----\n%b-----END CERTIFICATE-----\n" % base64.encodebytes(der)


# What the library raises over what is no certificate, or one that is not in order.
REFUSED_BY_THE_LIBRARY = (
    ValueError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)
FIELDS = ("not_before", "not_after", "serial", "names", "subject", "key")


def said(read, refused):
    """What somebody says of a certificate, or nothing at all if it cannot be had."""
    try:
        found = read()
        return {field: getattr(found, field) for field in FIELDS}
    except refused:
        return None


def by_the_library(der):
    certificate = x509.load_der_x509_certificate(der)
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SimpleNamespace(
        not_before=timestamp(certificate.not_valid_before_utc),
        not_after=timestamp(certificate.not_valid_after_utc),
        serial=f"{certificate.serial_number:x}",
        names=ParsedCertificate(der).names,
        subject=certificate.subject.rfc4514_string(),
        key=hashlib.sha256(key).hexdigest(),
    )


def both(der):
    fingerprint = hashlib.sha256(der).hexdigest()
    return (
        said(lambda: by_the_library(der), REFUSED_BY_THE_LIBRARY),
        said(lambda: outline.read(pem(der), fingerprint), ValueError),
    )


@given(certificates())
@settings(max_examples=300, deadline=None)
def test_an_outline_says_what_the_library_reads(der):
    slowly, quickly = both(der)

    assert slowly == quickly


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
@given(certificates(), st.data())
@settings(max_examples=500, deadline=None)
def test_a_changed_certificate_is_never_read_as_something_else(der, data):
    changed = bytearray(der)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(changed) - 1))
        match data.draw(st.sampled_from(["set", "cut", "put"])):
            case "set":
                changed[place] = data.draw(st.integers(0, 255))
            case "cut":
                del changed[place]
            case "put":
                changed.insert(place, data.draw(st.integers(0, 255)))
    slowly, quickly = both(bytes(changed))

    # The library also refuses for what nobody asks of an outline.
    assert slowly in (None, quickly)


@pytest.mark.parametrize("kind", ["ec-p256", "rsa-2048", "rsa-4096", "ec-p521", "ed25519"])
@pytest.mark.parametrize(
    "names",
    [
        [x509.DNSName("www.example.com")],
        [x509.DNSName("*.example.com"), x509.DNSName("db1"), x509.DNSName("10-0-0-1.example")],
        [x509.IPAddress(ipaddress.ip_address(text)) for text in ("192.0.2.1", "2001:db8::1")],
        [x509.DNSName(f"host{number}.example.com") for number in range(20)],
    ],
)
@pytest.mark.parametrize(
    "subject",
    [
        "",
        "CN=www.example.com",
        "CN=db1",
        "CN=db1,OU=Some Unit,O=Example-1,L=B,ST=C,C=DE",
        "CN=db1,DC=example,DC=com",
    ],
)
def test_what_anchor_issues_is_read_without_the_library(monkeypatch, kind, names, subject):
    der = _plain(kind, names, subject)
    slowly = {field: getattr(by_the_library(der), field) for field in FIELDS}
    monkeypatch.delattr("anchor.store.parsed_certificates.ParsedCertificate")

    read = outline.read(pem(der), hashlib.sha256(der).hexdigest())

    assert slowly == {field: getattr(read, field) for field in FIELDS}


def assembled(algorithm, *extensions):
    """A certificate with any signature algorithm, and what comes behind that in it."""
    key = a_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    behind = b"".join(
        (
            x509.Name.from_rfc4514_string("CN=CA").public_bytes(),
            bytes.fromhex("301e170d") + b"261122000000Z" + bytes.fromhex("170d") + b"261123000000Z",
            x509.Name.from_rfc4514_string("CN=other.example.com").public_bytes(),
            key,
            value(0xA3, value(SEQUENCE, *extensions)),
        )
    )
    signed = value(SEQUENCE, VERSION_3, integer(1), algorithm, behind)
    return value(SEQUENCE, signed, algorithm, bit_string(b"\x01" * 64)), behind


CA_FALSE = bytes.fromhex("300c0603551d130101ff04023000")
OTHER_NAME = value(
    SEQUENCE,
    bytes.fromhex("0603551d11"),
    value(OCTET_STRING, value(SEQUENCE, value(0x82, b"other.example.com"))),
)


def test_names_beyond_the_extensions_are_none():
    """As an algorithm, which follows the extensions, they would be in line with them."""
    der, _ = assembled(OTHER_NAME, CA_FALSE)
    slowly, quickly = both(der)

    assert ("CN:other.example.com",) == slowly["names"]
    assert slowly == quickly


def test_what_stands_within_a_long_algorithm_is_not_read():
    _, behind = assembled(b"", OTHER_NAME)
    # Where it would go on if the length's first octet was the length.
    inside = b"\0" * (0x82 + 2 - 13) + behind
    long_one = value(SEQUENCE, bytes.fromhex("06032a0304"), value(OCTET_STRING, inside))
    assert long_one[0x84:].startswith(behind)
    der, _ = assembled(long_one, CA_FALSE)
    slowly, quickly = both(der)

    assert ("CN:other.example.com",) == slowly["names"]
    assert slowly == quickly


def test_a_subject_may_be_long():
    der = _plain(subject=",".join(["CN=www.example.com", *(f"OU=unit {n}" for n in range(30))]))
    slowly, quickly = both(der)

    assert quickly["subject"].startswith("CN=www.example.com,OU=unit 0,")
    assert slowly == quickly


@pytest.mark.parametrize("change", [lambda der: der + b"\0", lambda der: der[:-1]])
def test_a_certificate_that_is_cut_or_followed_by_something_is_none(change):
    der = change(_plain())
    with pytest.raises(ValueError, match="asn1"):
        outline.read(pem(der), hashlib.sha256(der).hexdigest())


def test_octets_that_are_not_those_of_the_fingerprint_are_left_to_the_library():
    der = _plain()
    with_more = pem(der).replace(b"\n-----END", b"!\n-----END")

    for fingerprint in (hashlib.sha256(der).hexdigest(), "0" * 64):
        assert ("DNS:www.example.com",) == outline.read(pem(der), fingerprint).names
    # What is skipped here would be refused by others.
    with pytest.raises(ValueError, match="PEM"):
        outline.read(with_more, "0" * 64)


@pytest.mark.parametrize(
    "der",
    [b"", b"0", *map(bytes.fromhex, ["3082", "3082010030820100a0030201020214"]), b"\xff" * 999],
)
def test_octets_that_are_no_certificate_are_none(der):
    with pytest.raises(ValueError, match="asn1"):
        outline.read(pem(der), hashlib.sha256(der).hexdigest())


def test_a_certificate_of_a_version_that_nobody_knows_is_none():
    der = _plain().replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020109"), 1)

    for fingerprint in (hashlib.sha256(der).hexdigest(), "0" * 64):
        with pytest.raises(ValueError, match="9"):
            _ = outline.read(pem(der), fingerprint).names


ONE_NAME = [x509.DNSName("www.example.com")]


def _plain(kind="ec-p256", names=ONE_NAME, subject=""):
    key = a_key(kind)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_rfc4514_string(subject))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA")]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now())
        .not_valid_after(now() + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.SubjectAlternativeName(names), True)
        .sign(key, hash_for(key))
        .public_bytes(Encoding.DER)
    )


# ---- shares of the work


def test_every_thing_is_worked_on_once(monkeypatch):
    monkeypatch.setattr(shares.os, "sched_getaffinity", lambda _: {0, 1, 2})

    results = shares.in_processes(lambda some: [thing + 1 for thing in some], range(10_001))

    assert [*range(1, 10_002)] == sorted(results)


def test_what_is_wrong_in_another_process_is_said(monkeypatch):
    monkeypatch.setattr(shares.os, "sched_getaffinity", lambda _: {0, 1})

    def work(some):
        raise ConfigurationError.about("here", "all is wrong")

    with pytest.raises(ConfigurationError, match="here: all is wrong"):
        shares.in_processes(work, range(10_000))
