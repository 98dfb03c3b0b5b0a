"""No request causes an internal error or a certificate that violates a rule."""

from __future__ import annotations

import datetime
import ipaddress
import string

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import der
from tests.support.der_surgery import mutated
from tests.support.pki import assert_is_leaf, make_csr, now, shared_key, without_length_warnings
from tests.support.properties import examples
from tests.unit.X509.test_hostile_requests import post_bare
from tests.vectors import make

BURST = settings(
    max_examples=examples(400),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

RICH = der.unsorted_info(
    der.name(
        "www.example.com",
        [("2.5.4.10", "Example", der.UTF8), ("2.5.4.6", "DE", 0x13)],
        [("2.5.4.11", b"Web", der.TELETEX), ("2.5.4.11", b"\0a\0b", der.BMP)],
        ("2.5.4.7", b"\0\0\0a\0\0\0b", der.UNIVERSAL),
        ("2.5.4.12", b"Dr", der.IA5),
        ("0.9.2342.19200300.100.1.25", "example", der.UTF8),
    ),
    der.public_key_info(make.ED),
    der.extension_request(
        der.alternative_names(
            der.dns("www.example.com"),
            der.tlv(0x87, bytes([192, 0, 2, 1])),
            der.tlv(0x81, b"root@example.com"),
            der.context(4, der.name("www", ("2.5.4.10", b"\0a", der.BMP))),
        ),
        der.extension(der.KEY_USAGE, der.bits(b"\x80", 7), True),
        der.extension("2.5.29.37", der.sequence(der.oid("1.3.6.1.5.5.7.3.1"))),
        der.extension(der.BASIC_CONSTRAINTS, der.sequence(), True),
    ),
    der.attribute("1.2.840.113549.1.9.7", der.tlv(der.UTF8, b"a challenge")),
)


@pytest.fixture
def strict(serve, document):
    """A service with standards_compliance, and certificates for one hour."""
    document["registration_authority"]["default"]["validators"] = {
        "standards_compliance": {},
        "subject_attributes": {"allowed": {"O": ["%"], "C": ["DE"]}},
    }
    document["signing_ca"]["local"] |= {"valid_hours": 1}
    del document["signing_ca"]["local"]["output_path"]
    return serve(document)


# RFC 5280 4.1.2.4, and the other types that an attribute of an unknown type can have.
CERTIFIED = {"UTF8String", "PrintableString", "IA5String", "NumericString", "VisibleString"}


def assert_harmless(answer, ca):
    """Require a rejection, or a valid leaf certificate with printable names."""
    assert answer.status_int in {200, 400}, answer.text
    if answer.status_int == 400:
        assert answer.text.isascii()
        return
    certificate = x509.load_pem_x509_certificate(answer.body)
    with without_length_warnings():
        subject = certificate.subject
    assert_is_leaf(certificate, issued_by=ca)
    assert certificate.not_valid_after_utc <= now() + datetime.timedelta(hours=1)
    assert all(attribute.value.isprintable() for attribute in subject)
    assert {attribute._type.name for attribute in subject} <= CERTIFIED
    assert len({extension.oid for extension in certificate.extensions}) == len(
        certificate.extensions
    )


def test_the_unmutated_request_is_accepted(service, ca):
    answer = post_bare(service, der.signed(RICH, *der.sign(make.ED, RICH)))

    assert 200 == answer.status_int, answer.text
    assert_is_leaf(x509.load_pem_x509_certificate(answer.body), issued_by=ca)


@pytest.mark.slow
@BURST
@given(body=mutated(RICH))
def test_a_mutated_request_with_a_valid_signature_is_harmless(strict, ca, body):
    answer = post_bare(strict, der.signed(body, *der.sign(make.ED, body)))

    assert_harmless(answer, ca)


@pytest.mark.slow
@BURST
@given(octets=mutated(der.signed(RICH, *der.sign(make.ED, RICH))))
def test_a_mutated_request_is_harmless(strict, ca, octets):
    assert_harmless(post_bare(strict, octets), ca)


@pytest.mark.slow
@BURST
@given(
    octets=mutated(
        der.signed_data(
            der.pki_data(
                der.tagged(der.signed(RICH, *der.sign(make.ED, RICH))),
                controls=[der.control("1.3.6.1.5.5.7.7.18", der.octets(b"x"))],
            )
        )
    )
)
def test_a_mutated_cmc_message_is_harmless(strict, ca, octets):
    assert_harmless(post_bare(strict, octets, "application/cmc"), ca)


@pytest.mark.slow
@BURST
@given(
    position=st.integers(0, 10_000),
    bit=st.integers(0, 7),
    kind=st.sampled_from(["rsa-2048", "ec-p256", "ec-p521", "ed448"]),
)
def test_a_request_with_one_flipped_bit_is_rejected(strict, position, bit, kind):
    pem = make_csr("www.example.com", "www.example.com", key=shared_key(kind))
    octets = bytearray(x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER))
    octets[position % len(octets)] ^= 1 << bit

    assert post_bare(strict, bytes(octets)).status_int == 400


@pytest.mark.slow
@BURST
@given(octets=st.binary(max_size=200))
def test_random_bytes_are_rejected(strict, octets):
    answer = post_bare(strict, b"0" + octets)

    assert answer.status_int == 400


LABEL = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=20)
HOST = st.builds(lambda *labels: ".".join((*labels, "example")), LABEL, LABEL)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=15)
# IPv4-mapped addresses are rejected.
ADDRESS = st.ip_addresses(v=4) | st.ip_addresses(v=6).filter(lambda a: a.ipv4_mapped is None)
PURPOSES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@pytest.mark.slow
@BURST
@given(
    common_name=HOST | TEXT.filter(lambda text: "." not in text and "*" not in text),
    organisation=st.none() | TEXT,
    hosts=st.lists(HOST, unique=True, max_size=4),
    addresses=st.lists(ADDRESS, unique=True, max_size=3),
    usage=st.none() | st.tuples(st.booleans(), st.booleans()).filter(any),
    purposes=st.lists(st.sampled_from(PURPOSES), unique=True),
)
def test_a_certificate_contains_exactly_the_approved_values(
    strict, ca, common_name, organisation, hosts, addresses, usage, purposes
):
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organisation:
        subject.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    names = [x509.DNSName(host) for host in hosts]
    names += [x509.IPAddress(ipaddress.ip_address(str(address))) for address in addresses]
    wanted = []
    if names:
        wanted.append(x509.SubjectAlternativeName(names))
    if usage:
        wanted.append(x509.KeyUsage(usage[0], usage[1], *[False] * 7))
    if purposes:
        wanted.append(x509.ExtendedKeyUsage(purposes))
    builder = x509.CertificateSigningRequestBuilder(x509.Name(subject))
    for value in wanted:
        builder = builder.add_extension(value, critical=False)
    csr = builder.sign(shared_key("ed25519"), None)

    answer = post_bare(strict, csr.public_bytes(Encoding.DER))

    assert answer.status_int == 200, answer.text
    certificate = x509.load_pem_x509_certificate(answer.body)
    assert_is_leaf(certificate, issued_by=ca)
    assert csr.subject.public_bytes() == certificate.subject.public_bytes()
    assert csr.public_key() == certificate.public_key()
    decided_here = {
        x509.BasicConstraints.oid,
        x509.SubjectKeyIdentifier.oid,
        x509.AuthorityKeyIdentifier.oid,
    }
    assert wanted == [
        extension.value for extension in certificate.extensions if extension.oid not in decided_here
    ]
