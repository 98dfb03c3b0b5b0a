"""The page about standards, with tests for the rows that no other test covers."""

from __future__ import annotations

import ast
import datetime
import io
import re
import tokenize

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, padding
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID
from docutils import nodes

from anchor.ca.file_key import FileKey
from anchor.ca.profile import Profile
from anchor.ca.template import build_template
from anchor.client import schedule
from anchor.config.file_types import Private
from anchor.errors import ConfigurationError
from anchor.X509.ca_certificate import CACertificate, authority_key_identifier
from anchor.X509.oids import USAGES
from anchor.X509.signing_request import X509Csr
from tests.support.pages import SOURCE, parse, tables
from tests.support.pki import DAY, make_ca, make_csr, now, shared_key, subject
from tests.support.policies import make_policy, refusals
from tests.support.servers.anchor import ROOT

PAGE = SOURCE / "reference/standards.rst"
NO_REVOCATION_AVAILABLE = x509.ObjectIdentifier("2.5.29.56")


def explained(path):
    """The comments and docstrings of a module."""
    source = path.read_text()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""


def cited(text):
    """The RFCs in a text: ``RFC 1034, 1123, 5280 section 4.2.1.6, 6125`` are four."""
    more = r"\d{3,5}(?:\s+section\s+[\d.]*\d)?"
    for found in re.findall(rf"RFC\s+({more}(?:(?:,\s+|\s+and\s+){more})*)", text):
        yield from re.findall(r"\b\d{3,5}\b(?!\.)", re.sub(r"section\s+[\d.]+", "", found))


def test_citations_in_lists_are_recognised_too():
    text = "(RFC 1034, 1123, 5280 section 4.2.1.6, 6125, 5891) RFC 4514 2.4 and RFC 9110 12.5.1"

    assert ["1034", "1123", "5280", "6125", "5891", "4514", "9110"] == list(cited(text))


@pytest.mark.slow
def test_every_rfc_that_the_code_cites_is_on_the_page():
    modules = (ROOT / "anchor").rglob("*.py")
    cites = {rfc for path in modules for text in explained(path) for rfc in cited(text)}
    page = set(re.findall(r"RFC (\d+)", PAGE.read_text()))

    assert {"5280", "2986", "5272"} <= cites
    assert set() == cites - page


def rows(page):
    """The section, the text and the named files of each row."""
    for body in parse(page).findall(nodes.tbody):
        for row in body.children:
            section, cell = row.children
            text, where = (part.astext() for part in cell if isinstance(part, nodes.paragraph))
            yield section.astext(), text, where.replace("\n", " ").split(", ")


def test_every_row_names_existing_modules_and_tests():
    found = list(rows(PAGE))

    assert len(found) > 80
    for section, text, paths in found:
        assert text, section
        assert [path for path in paths if path.startswith("anchor/")], section
        assert [path for path in paths if path.startswith("tests/")], section
        assert [] == [path for path in paths if not (ROOT / path).is_file()], section


@pytest.mark.parametrize("page", ["security-model", "request"])
def test_every_file_named_in_an_explanation_exists(page):
    text = (SOURCE / f"explanation/{page}.rst").read_text()
    paths = re.findall(r"``((?:anchor|tests|tools)/[\w./-]*)``", text)

    assert len(paths) > 10
    assert [] == [path for path in paths if not (ROOT / path).exists()]


@pytest.fixture
def certify(tmp_path):
    """A certificate in DER, issued at any time by a CA that expires in 2070."""
    ca = make_ca(tmp_path, not_after=datetime.datetime(2070, 1, 1, tzinfo=datetime.UTC))
    profile = Profile(
        datetime.timedelta(hours=24),
        datetime.timedelta(seconds=60),
        datetime.timedelta(hours=1),
        hashes.SHA256(),
    )

    def issue(moment):
        issuer = CACertificate.of(ca.certificate, ())
        blank = build_template(X509Csr.from_pem(make_csr()), issuer, profile, moment)
        return blank.sign(ca.key, profile.signing_hash).public_bytes(Encoding.DER)

    return issue


@pytest.mark.parametrize(
    ("moment", "validity"),
    [
        ((2049, 12, 30), [b"\x17\x0d491229235900Z", b"\x17\x0d491230235959Z"]),
        ((2049, 12, 31, 12), [b"\x17\x0d491231115900Z", b"\x18\x0f20500101115959Z"]),
        ((2050, 1, 2), [b"\x18\x0f20500101235900Z", b"\x18\x0f20500102235959Z"]),
    ],
)
def test_dates_until_2049_are_in_utctime_and_later_ones_in_generalizedtime(
    certify, moment, validity
):
    der = certify(datetime.datetime(*moment, tzinfo=datetime.UTC))

    assert validity == re.findall(rb"\x17\x0d\d{12}Z|\x18\x0f\d{14}Z", der)


def test_a_certificate_names_no_revocation_service(service):
    certificate = service.issue(make_csr("www.example.com", "www.example.com"))

    asking = {
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
        ExtensionOID.FRESHEST_CRL,
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
        NO_REVOCATION_AVAILABLE,
    }
    assert set() == asking & {extension.oid for extension in certificate.extensions}


def test_a_request_can_be_signed_with_pss():
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    request = x509.CertificateSigningRequestBuilder(subject("www.example.com")).sign(
        shared_key("rsa-2048"), hashes.SHA256(), rsa_padding=pss
    )

    assert X509Csr.from_der(request.public_bytes(Encoding.DER)).submitted.signature_is_valid


def test_a_ca_without_a_subject_prevents_the_start(serve, document, tmp_path):
    ca = make_ca(tmp_path, name=None)
    document["signing_ca"]["local"] |= {
        "cert_path": str(ca.cert_path),
        "key_path": str(ca.key_path),
    }

    with pytest.raises(ConfigurationError, match="has no subject"):
        serve(document)


def test_a_missing_key_identifier_is_computed_from_the_ca_key():
    key = shared_key()
    begin = now()
    certificate = (
        x509.CertificateBuilder(subject("CA"), subject("CA"), key.public_key(), 1)
        .not_valid_before(begin)
        .not_valid_after(begin + DAY)
        .sign(key, hashes.SHA256())
    )

    found = authority_key_identifier(certificate)

    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    assert own.digest == found.key_identifier


@pytest.mark.parametrize(
    ("critical", "refusal"),
    [(False, "2.5.29.30 has to be critical"), (True, "a critical extension is not supported")],
)
def test_name_constraints_in_a_request_are_rejected(serve, document, critical, refusal):
    document["registration_authority"]["default"]["validators"] = {"standards_compliance": {}}
    constraints = x509.NameConstraints([x509.DNSName("example.com")], None)

    answer = serve(document).sign(make_csr(extensions=[(constraints, critical)]), status=400)

    assert refusal in answer.text


def test_a_name_outside_the_name_constraints_is_rejected(serve, document, tmp_path):
    ca = make_ca(tmp_path, name="constrained")
    old = ca.certificate
    builder = x509.CertificateBuilder(old.issuer, old.subject, old.public_key(), old.serial_number)
    builder = builder.not_valid_before(old.not_valid_before_utc)
    builder = builder.not_valid_after(old.not_valid_after_utc)
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    builder = builder.add_extension(
        x509.NameConstraints([x509.DNSName("example.org")], None), critical=True
    )
    constrained = builder.sign(ca.key, hashes.SHA256())
    ca.cert_path.write_bytes(constrained.public_bytes(Encoding.PEM))
    document["signing_ca"]["local"] |= {
        "cert_path": str(ca.cert_path),
        "key_path": str(ca.key_path),
    }
    service = serve(document)

    answer = service.sign(make_csr("www.example.com", "www.example.com"), status=400)

    assert "DNS:www.example.com is not within DNS:example.org" in answer.text
    assert service.issue(make_csr("www.example.org", "www.example.org"))


@pytest.mark.parametrize("path", ["/v1/ca/default", "/v1/sign/default", "/robots.txt"])
def test_options_is_rejected_like_other_methods(service, path):
    answer = service.http.options(path, status=405)

    assert answer.headers["Allow"] in ("GET, HEAD", "POST")


def test_a_client_that_accepts_neither_text_nor_json_gets_text(service):
    answer = service.http.get("/v1/ca/default", headers={"Accept": "image/png"}, status=200)

    assert answer.content_type == "text/plain"


# RFC 3279 2.3.1 and 2.3.2, RFC 8813 3, RFC 9295 3; the usages of CAs have a separate rule.
USAGES_OF_KINDS = {
    "rsa-2048": {"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment"},
    "ec-p256": {
        *("digitalSignature", "nonRepudiation"),
        *("keyAgreement", "encipherOnly", "decipherOnly"),
    },
    "ec-p521": {
        *("digitalSignature", "nonRepudiation"),
        *("keyAgreement", "encipherOnly", "decipherOnly"),
    },
    "ed25519": {"digitalSignature", "nonRepudiation"},
    "ed448": {"digitalSignature", "nonRepudiation"},
    "dsa-2048": {"digitalSignature", "nonRepudiation"},
}
ALL_KEYS = {"RSA": 2048, "EC": 256, "ED25519": 0, "ED448": 0, "DSA": 2048}
LEAF_USAGES = [usage for usage in USAGES if usage not in ("keyCertSign", "cRLSign")]


def key_usage(*names):
    # encipherOnly and decipherOnly have a meaning only with keyAgreement.
    names = {*names, *(["keyAgreement"] if {"encipherOnly", "decipherOnly"} & {*names} else [])}
    return x509.KeyUsage(**{attribute: name in names for name, attribute in USAGES.items()})


@pytest.mark.slow
@pytest.mark.parametrize("usage", LEAF_USAGES)
@pytest.mark.parametrize("kind", USAGES_OF_KINDS)
def test_a_usage_must_fit_the_kind_of_key(kind, usage):
    key = dsa.generate_private_key(2048) if kind == "dsa-2048" else shared_key(kind)
    policy = make_policy({"standards_compliance": {}, "public_key": {"allowed_keys": ALL_KEYS}})
    extension = key_usage("digitalSignature", usage)

    found = refusals(
        policy, make_csr("a.example.com", "a.example.com", key=key, extensions=[extension])
    )

    if usage in USAGES_OF_KINDS[kind]:
        assert {} == found
    else:
        assert {"standards_compliance"} == found.keys()
        [message] = found.values()
        assert usage in message.partition("cannot be used for")[0]
        assert "possible: digitalSignature, nonRepudiation" in message


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("rsa-2048", ["digitalSignature", "keyEncipherment"]),
        ("ec-p256", ["digitalSignature"]),
        ("ed25519", ["digitalSignature"]),
    ],
)
def test_the_fixup_adds_the_usages_that_fit_the_key(serve, document, kind, expected):
    authority = document["registration_authority"]["default"]
    authority["validators"] = {"standards_compliance": {}}
    authority["fixups"] = {"default_key_usage": {"usage": ["digitalSignature", "keyEncipherment"]}}

    certificate = serve(document).issue(
        make_csr("www.example.com", "www.example.com", key=shared_key(kind))
    )

    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert key_usage(*expected) == usage


def test_the_fixup_adds_no_usages_if_none_fits(serve, document):
    authority = document["registration_authority"]["default"]
    authority["fixups"] = {"default_key_usage": {"usage": ["keyEncipherment"]}}

    certificate = serve(document).issue(make_csr("www.example.com", key=shared_key("ed25519")))

    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.KeyUsage)


def test_keys_in_version_2_of_pkcs_8_are_rejected(tmp_path):
    # RFC 8410 10.3.
    pem = b"""-----BEGIN PRIVATE KEY-----
MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PRIVATE KEY-----
"""
    with pytest.raises(ConfigurationError, match="holds no private key in PEM"):
        FileKey(Private(tmp_path / "ca.key", pem))


def test_the_documented_outage_hours_match_the_client():
    [table] = [t for t in tables(SOURCE / "explanation/ephemeral-pki.rst") if t[0][0].isdigit()]
    begin = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)

    assert len(table) >= 5
    for hours, window, outage, _ in table:
        end = begin + datetime.timedelta(hours=int(hours))
        last = schedule.renewal((begin, end), "f" * 64, None, None)
        minutes = round((end - last).total_seconds() / 60)
        shown = f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
        assert (f"{hours} h", shown) == (window, outage)
