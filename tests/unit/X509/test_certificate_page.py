"""The page about certificates: a real certificate has the documented fields and no others."""

from __future__ import annotations

import datetime
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from anchor.X509.csr_encoding import Sequence
from tests.support import der
from tests.support.pages import SOURCE, tables
from tests.support.pki import make_csr, now, shared_key, subject


@pytest.fixture(scope="module")
def fields_and_extensions():
    """The two tables of the page."""
    return tables(SOURCE / "explanation/certificate.rst")


@pytest.fixture
def fields(fields_and_extensions):
    return fields_and_extensions[0]


@pytest.fixture
def extensions(fields_and_extensions):
    return fields_and_extensions[1]


USAGE = x509.KeyUsage(True, False, False, False, True, False, False, False, False)
PURPOSES = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
# Extensions and attributes that a request may have and a certificate does not copy.
IGNORED = (
    x509.SubjectKeyIdentifier(b"\1" * 20),
    x509.BasicConstraints(False, None),
    x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)]),
    x509.TLSFeature([x509.TLSFeatureType.status_request]),
    x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.5"), b"\5\0"),
)


@pytest.fixture
def issued(service):
    """A certificate for a request with all documented fields and extensions."""
    return service.issue(
        make_csr(
            "www.example.com",
            "www.example.com",
            "192.0.2.1",
            extensions=[(USAGE, False), (PURPOSES, True), *IGNORED],
        )
    )


def parts_of(certificate):
    """The encoded parts of the TBSCertificate."""
    return asn1.decode_der(Sequence, der.sequence(certificate.tbs_certificate_bytes)).value


def test_the_fields_match_the_page(issued, ca, fields):
    began = issued.not_valid_before_utc
    checks = {
        "version": ("3", issued.version is x509.Version.v3),
        "serialNumber": ("159 random bits", 1 << 120 < issued.serial_number < 1 << 159),
        "signature": (
            "the algorithm of the CA's key, over signing_hash",
            isinstance(issued.signature_hash_algorithm, hashes.SHA256),
        ),
        "issuer": ("the CA's subject", issued.issuer == ca.certificate.subject),
        "notBefore": (
            "the moment of issue, less backdate_seconds",
            abs(now() - began - datetime.timedelta(seconds=60)) < datetime.timedelta(minutes=10),
        ),
        "notAfter": (
            "valid_hours after the moment of issue, less a second; never after the CA",
            issued.not_valid_after_utc - began == datetime.timedelta(hours=24, seconds=60 - 1),
        ),
        "subject": ("as approved; may be empty", issued.subject == subject("www.example.com")),
        "subjectPublicKeyInfo": (
            "byte for byte",
            issued.public_key() == shared_key().public_key(),
        ),
    }

    assert {name: (content, True) for name, _, content, _ in fields} == checks


def test_the_extensions_match_the_page(issued, ca, extensions):
    names = {
        "basicConstraints": ExtensionOID.BASIC_CONSTRAINTS,
        "subjectKeyIdentifier": ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        "authorityKeyIdentifier": ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        "subjectAltName": ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        "keyUsage": ExtensionOID.KEY_USAGE,
        "extendedKeyUsage": ExtensionOID.EXTENDED_KEY_USAGE,
    }
    # The request has a subject, a critical extendedKeyUsage and a keyUsage that is not critical.
    critical = {"yes": True, "no": False, "if there is no subject": False, "as asked": True}
    point = issued.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    own = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    contents = {
        "CA:FALSE": x509.BasicConstraints(False, None),
        "SHA-1 over the public key": x509.SubjectKeyIdentifier(
            hashlib.sha1(point, usedforsecurity=False).digest()
        ),
        "the CA's own identifier": x509.AuthorityKeyIdentifier(own, None, None),
    }

    found = {extension.oid: extension for extension in issued.extensions}
    assert [names[name] for name, *_ in extensions] == list(found)
    for name, _, shown, content, _ in extensions:
        extension = found[names[name]]
        assert critical[shown] == extension.critical, name
        assert contents.get(content, extension.value) == extension.value, name
    assert [USAGE, PURPOSES] == [
        found[ExtensionOID.KEY_USAGE].value,
        found[ExtensionOID.EXTENDED_KEY_USAGE].value,
    ]


def test_every_row_names_its_section_of_rfc_5280(fields, extensions):
    sections = {name: section for name, section, *_ in (*fields, *extensions)}

    assert sections == {
        "version": "4.1.2.1",
        "serialNumber": "4.1.2.2",
        "signature": "4.1.2.3",
        "issuer": "4.1.2.4",
        "notBefore": "4.1.2.5",
        "notAfter": "4.1.2.5",
        "subject": "4.1.2.6",
        "subjectPublicKeyInfo": "4.1.2.7",
        "basicConstraints": "4.2.1.9",
        "subjectKeyIdentifier": "4.2.1.2",
        "authorityKeyIdentifier": "4.2.1.1",
        "subjectAltName": "4.2.1.6",
        "keyUsage": "4.2.1.3",
        "extendedKeyUsage": "4.2.1.12",
    }


def test_a_certificate_contains_no_other_fields(issued):
    tags = [part.tag_bytes for part in parts_of(issued)]

    # [0] version, serial number, then signature, issuer, validity, subject and key; [3] extensions.
    assert [b"\xa0", b"\x02", *[b"\x30"] * 5, b"\xa3"] == tags


def test_optional_extensions_appear_only_if_requested(service, extensions):
    certificate = service.issue(make_csr(None, "www.example.com"))

    always = [name for name, *_, origin in extensions if "request" not in origin]
    assert ["basicConstraints", "subjectKeyIdentifier", "authorityKeyIdentifier"] == always
    found = {extension.oid: extension.critical for extension in certificate.extensions}
    assert len(always) + 1 == len(found)
    assert found[ExtensionOID.SUBJECT_ALTERNATIVE_NAME]
