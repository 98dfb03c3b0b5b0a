"""The table of hostile requests with the result of each: accepted, or refused for a reason."""

from __future__ import annotations

import base64
import warnings
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from anchor.web import forms
from anchor.X509 import cmc
from anchor.X509.csr_reader import read_csr
from anchor.X509.signing_request import X509Csr
from tests.support import der
from tests.support.pace import assert_cpu_below
from tests.support.pki import assert_is_leaf, without_length_warnings
from tests.vectors import make

VECTORS = Path(make.__file__).parent
ACCEPTED = None

NOT_A_REQUEST = "this is not a valid certificate signing request"
POSSESSION = "proof_of_possession: the request is not signed with its own key"
AFTER_IT = "there is something after it"
CONTROL = "printable_names: a name has a control character in it"
KEY_ENCODING = "the public key is encoded in a way that is not supported"

# Without validators: these are the mandatory checks.
EXPECTED = {
    "bad-self-signature.der": POSSESSION,
    "foreign-self-signature.der": POSSESSION,
    "empty-signature.der": POSSESSION,
    "signature-algorithm-unknown.der": "unsupported: Signature algorithm OID",
    "signature-algorithm-of-another-key.der": POSSESSION,
    "signature-algorithm-ed448.der": POSSESSION,
    "signed-with-md5.der": "the request's signature uses a broken hash (hash 'md5')",
    "signed-with-sha1.der": "the request's signature uses a broken hash (hash 'sha1')",
    "ca-true.der": "never_a_ca: the request is for a CA",
    "ca-true-uncritical.der": "never_a_ca: the request is for a CA",
    "ca-true-in-a-second-extension.der": "the request has the extension basicConstraints twice",
    "ca-true-in-a-second-attribute.der": "the request has an attribute twice: extensionRequest",
    "ca-true-in-a-second-value.der": "extensionRequest attribute does not have exactly one value",
    "ca-true-in-microsofts-attribute.der": "Microsoft's extensionRequest",
    "ca-true-in-microsofts-attribute-only.der": "Microsoft's extensionRequest",
    "ca-true-in-ber.der": NOT_A_REQUEST,
    "path-length-negative.der": NOT_A_REQUEST,
    "key-cert-sign.der": "never_a_ca: the request is for a key that signs certificates or CRLs",
    "crl-sign.der": "never_a_ca: the request is for a key that signs certificates or CRLs",
    "key-usage-with-trailing-zeros.der": "the extension keyUsage is encoded in a way",
    "key-usage-empty.der": "keyUsage is empty",
    "extended-key-usage-empty.der": NOT_A_REQUEST,
    "extension-unknown-critical.der": "critical_extensions: a critical extension is not supported",
    "extension-unknown.der": ACCEPTED,
    "extension-twice.der": "the request has the extension subjectAltName twice",
    "extension-with-default-false.der": ACCEPTED,
    "cn-with-nul.der": CONTROL,
    "cn-with-newline.der": CONTROL,
    "cn-with-bidi-override.der": CONTROL,
    "cn-with-zero-width-space.der": CONTROL,
    "cn-empty.der": "CN in the subject is 0 characters long, not 1 to 64",
    "cn-too-long.der": "CN in the subject is 65 characters long, not 1 to 64",
    "cn-not-utf8.der": "CN in the subject is not a valid UTF8String",
    "cn-overlong-utf8.der": "CN in the subject is not a valid UTF8String",
    "cn-printable-with-at.der": "of the type PrintableString, has the character '@'",
    "cn-ia5-not-ascii.der": "CN in the subject, which is of the type IA5String, has the byte 0xc3",
    "cn-bmp.der": ACCEPTED,
    "cn-teletex.der": ACCEPTED,
    "cn-universal.der": ACCEPTED,
    "cn-integer.der": "CN in the subject is of the type INTEGER: send a UTF8String",
    "unique-identifier.der": "x500UniqueIdentifier in the subject is of the type BIT STRING",
    "cn-several.der": ACCEPTED,
    "cn-homograph.der": ACCEPTED,
    "rdn-multi-valued.der": ACCEPTED,
    "rdn-with-two-cns.der": ACCEPTED,
    "rdn-empty.der": "a relative distinguished name cannot be empty",
    "rdn-unsorted.der": ACCEPTED,
    "country-of-three.der": "C in the subject is 3 characters long, not 2",
    "cn-cyrillic-64.der": ACCEPTED,
    "cn-cyrillic-65.der": "CN in the subject is 65 characters long, not 1 to 64",
    "cn-ia5.der": ACCEPTED,
    "cn-printable-wildcard.der": ACCEPTED,
    "cn-visible.der": ACCEPTED,
    "cn-numeric.der": ACCEPTED,
    "cn-general.der": "CN in the subject is of the type GeneralString: send a UTF8String",
    "cn-bmp-with-nul.der": CONTROL,
    "cn-bmp-with-bidi-override.der": CONTROL,
    "cn-bmp-of-3.der": "CN in the subject is not a valid BMPString",
    "cn-bmp-with-surrogates.der": "CN in the subject is not a valid BMPString",
    "cn-universal-surrogate.der": "CN in the subject is not a valid UniversalString",
    "cn-universal-huge.der": "CN in the subject is not a valid UniversalString",
    "o-bmp.der": ACCEPTED,
    "o-teletex-latin-1.der": "which is of the type TeletexString, has the byte 0xfc",
    "country-as-utf8.der": ACCEPTED,
    "serial-number-with-underscore.der": "serialNumber in the subject has the character '_'",
    "dc-as-utf8.der": ACCEPTED,
    "email-not-ascii.der": r"emailAddress in the subject has the character '\xe9'",
    "rdn-with-two-ous.der": ACCEPTED,
    "rdn-with-the-same-ou-twice.der": "OU in the subject has the same value twice in one RDN",
    "rdn-with-the-same-ou-in-two-types.der": "the subject has the same value twice in one RDN",
    "rdn-of-65.der": "the subject has more than 64 parts",
    "attributes-unsorted.der": ACCEPTED,
    "attributes-missing.der": ACCEPTED,
    "attributes-unsorted-with-two-requests.der": "has an attribute twice: extensionRequest",
    "extensions-empty.der": ACCEPTED,
    "cmc-with-cn-ia5.der": ACCEPTED,
    "subject-empty.der": "a_name: the request contains no name",
    "san-empty.der": "subjectAltName is empty",
    "san-dns-with-nul.der": CONTROL,
    "san-dns-with-newline.der": CONTROL,
    "san-dns-empty.der": "printable_names: a name is empty",
    "san-dns-not-ascii.der": "subjectAltName has a dNSName that is not ASCII",
    "san-dns-punycode-nonsense.der": ACCEPTED,
    "san-dns-address.der": ACCEPTED,
    "san-dns-wildcard-inside.der": ACCEPTED,
    "san-ip-of-3.der": "subjectAltName has an iPAddress of 3 bytes, not 4 or 16",
    "san-ip-of-5.der": "subjectAltName has an iPAddress of 5 bytes, not 4 or 16",
    "san-ip-of-8.der": "subjectAltName has an iPAddress of 8 bytes, not 4 or 16",
    "san-ip-of-32.der": "subjectAltName has an iPAddress of 32 bytes, not 4 or 16",
    "san-email.der": ACCEPTED,
    "san-uri.der": ACCEPTED,
    "san-other-name.der": ACCEPTED,
    "san-other-name-with-nul.der": CONTROL,
    "san-directory-name.der": ACCEPTED,
    "san-directory-name-with-newline.der": CONTROL,
    "san-directory-name-teletex.der": ACCEPTED,
    "san-registered-id.der": ACCEPTED,
    "san-x400.der": "x400Address/EDIPartyName are not supported types",
    "san-critical-in-ber.der": NOT_A_REQUEST,
    "san-trailing-octets.der": AFTER_IT,
    "rsa-e-1.der": "e must be >= 3",
    "rsa-e-3.der": "strong_key: the RSA key's exponent is not accepted",
    "rsa-e-even.der": "e must be odd",
    "rsa-e-huge.der": "strong_key: the RSA key's exponent is not accepted",
    "rsa-e-negative.der": NOT_A_REQUEST,
    "rsa-n-negative.der": NOT_A_REQUEST,
    "rsa-n-zero.der": "n must be >= 3",
    "rsa-even.der": "strong_key: the RSA key's modulus is even",
    "rsa-small-factor.der": "strong_key: the RSA key's modulus has a small factor",
    "rsa-close-primes.der": "strong_key: the RSA key's primes are too close",
    "rsa-square.der": "strong_key: the RSA key's primes are too close",
    "rsa-roca.der": "strong_key: the RSA key was made by a broken generator (ROCA",
    "rsa-1024.der": "strong_key: the RSA key is too small",
    "rsa-16384.der": "strong_key: the RSA key is too large",
    "rsa-16384-e-huge.der": "strong_key: the RSA key is too large",
    "rsa-300000.der": "strong_key: the RSA key is too large",
    "rsa-pss-key.der": KEY_ENCODING,
    "rsa-without-null.der": KEY_ENCODING,
    "ec-secp192r1.der": "strong_key: the key is on a curve that is not accepted",
    "ec-secp256k1.der": "strong_key: the key is on a curve that is not accepted",
    "ec-brainpoolP256r1.der": "strong_key: the key is on a curve that is not accepted",
    "ec-off-curve.der": NOT_A_REQUEST,
    "ec-infinity.der": NOT_A_REQUEST,
    "ec-compressed.der": KEY_ENCODING,
    "ec-explicit-parameters.der": "unsupported: ECDSA keys with explicit parameters",
    "ed25519-identity.der": "strong_key: the key is a point of small order",
    "ed25519-short.der": NOT_A_REQUEST,
    "x25519-key.der": "the public key is of a kind that cannot be certified",
    "ber-indefinite-length.der": "a length in it is not in DER",
    "ber-long-length.der": "a length in it is not in DER",
    "trailing-octets.der": AFTER_IT,
    "twice.der": AFTER_IT,
    "truncated.der": "ends too early",
    "version-1.der": "not a valid CSR version",
    "version-2.der": ACCEPTED,
    "version-negative.der": NOT_A_REQUEST,
    "nested-8000-deep.der": ACCEPTED,
    "nested-8000-deep-alone.der": NOT_A_REQUEST,
    "attributes-65.der": "the request has more than 64 attributes",
    "extensions-65.der": "the request has more than 64 extensions",
    "names-1001.der": "the request has more than 1000 alternative names",
    "challenge-password.der": ACCEPTED,
    "crlf.pem": ACCEPTED,
    "new-label.pem": ACCEPTED,
    "two-blocks.pem": "the text contains more than one PEM block",
    "text-before.pem": ACCEPTED,
    "text-after.pem": ACCEPTED,
    "text-that-begins-with-a-zero.pem": ACCEPTED,
    "certutil.pem": ACCEPTED,
    "cr.pem": ACCEPTED,
    "blanks.pem": ACCEPTED,
    "no-final-newline.pem": ACCEPTED,
    "unwrapped.pem": ACCEPTED,
    "one-line.pem": ACCEPTED,
    "private-key-before.pem": "more than one PEM block (PRIVATE KEY, CERTIFICATE REQUEST)",
    "private-key-in-utf-16.pem": "than one PEM block (PRIVATE KEY, CERTIFICATE REQUEST)",
    "certificate-after.pem": "more than one PEM block (CERTIFICATE REQUEST, CERTIFICATE)",
    "headers-inside.pem": "the PEM block has headers inside, and RFC 7468 allows none",
    "base64-not-ascii.pem": "the PEM block is not valid base64",
    "base64-with-nul.pem": "the PEM block is not valid base64",
    "base64-padding-inside.pem": "the PEM block is not valid base64",
    "labels-differ.pem": "ends with another label than it begins with",
    "empty-block.pem": "ends too early",
    "utf-16.pem": ACCEPTED,
    "utf-16-le.pem": ACCEPTED,
    "utf-16-be.pem": ACCEPTED,
    "utf-16-be-mark.pem": ACCEPTED,
    "utf-16-cut.pem": "the text looks like UTF-16, but is not valid: send it in UTF-8",
    "byte-order-mark.pem": ACCEPTED,
    "private-key.pem": "the PEM block is not a certificate signing request but 'PRIVATE KEY'",
    "certificate.pem": "the PEM block is not a certificate signing request but 'CERTIFICATE'",
    "certificate-as-a-request.pem": NOT_A_REQUEST,
    "cmc.der": ACCEPTED,
    "cmc.pem": ACCEPTED,
    "cmc-windows-controls.der": ACCEPTED,
    "cmc-with-foreign-self-signature.der": POSSESSION,
    "cmc-two-requests.der": "the CMC request has 2 requests in it, and should have one",
    "cmc-no-request.der": "the CMC request has 0 requests in it, and should have one",
    "cmc-crmf.der": "the CMC request has a CRMF request in it",
    "cmc-other-request.der": "the CMC request has a request of a registered other kind in it",
    "cmc-with-contents.der": "the CMC request has another CMS message in it",
    "cmc-with-other-message.der": "the CMC request has a message of another kind in it",
    "cmc-add-extensions.der": "a control that is not supported: 1.3.6.1.5.5.7.7.8",
    "cmc-microsoft-add-extensions.der": "the CMC request has extensions beside the PKCS#10",
    "cmc-without-contents.der": "the CMS message does not include its contents",
    "cmc-of-plain-data.der": "the CMS message does not contain a CMC request",
    "cmc-enveloped.der": "the CMS message is not SignedData",
    "cmc-in-cmc.der": NOT_A_REQUEST,
    "cmc-trailing-octets.der": AFTER_IT,
}

# The requests above that only the standards reject.
EXPECTED_BY_THE_STANDARDS = EXPECTED | {
    "cn-homograph.der": "is not ASCII",
    "san-dns-punycode-nonsense.der": "has a label that is not valid punycode",
    "san-dns-address.der": "is an address, or looks like one",
    "san-dns-wildcard-inside.der": "has a wildcard that is not its whole left-most label",
}

# Subject attributes of the vectors, which the certificates must contain.
ATTRIBUTES = ("O", "OU", "C", "DC", "UID", "emailAddress", "serialNumber", "dnQualifier", "title")
ANY_UNIT = {"subject_attributes": {"allowed": {name: ["%"] for name in ATTRIBUTES}}}

BASIC = "Basic " + base64.b64encode(b"alice:s3cret").decode()


def post_bare(service, contents, media_type="application/pkcs10"):
    headers = {"Content-Type": media_type, "Authorization": BASIC}
    return service.http.post("/v1/sign/default", contents, headers=headers, status="*")


def post_form(service, path):
    fields = {"user": "alice", "secret": "s3cret", "encoding": path.suffix[1:]}
    upload = [("csr", path.name, path.read_bytes())]
    return service.http.post("/v1/sign/default", fields, upload_files=upload, status="*")


def inner(path):
    """The PKCS#10 in a vector that is accepted."""
    return read_csr(path.read_bytes(), path.suffix[1:]).submitted


@pytest.fixture
def strict(serve, document):
    """A service with standards_compliance."""
    authority = document["registration_authority"]["default"]
    authority["validators"] = {"standards_compliance": {}, **ANY_UNIT}
    return serve(document)


@pytest.fixture
def lenient(serve, document):
    """A service without validators for names."""
    document["registration_authority"]["default"]["validators"] = ANY_UNIT
    return serve(document)


def assert_verdict(answer, expected, ca, path):
    assert "Traceback" not in answer.text
    if expected is not ACCEPTED:
        assert (400, True) == (answer.status_int, expected in answer.text), answer.text
        assert len(answer.text.splitlines()) == 1
        assert answer.text.isascii()
        assert answer.text.rstrip("\n").isprintable()
        return
    assert answer.status_int == 200, answer.text
    certificate = x509.load_pem_x509_certificate(answer.body)
    assert_is_leaf(certificate, issued_by=ca)
    asked = inner(path).request
    with without_length_warnings():
        # Compare bytes: equality of the library's names ignores string types.
        assert asked.subject.public_bytes() == certificate.subject.public_bytes()
    assert spki(asked) == spki(certificate)
    wanted = {
        found.oid: found.value.public_bytes()
        for found in asked.extensions
        if found.oid == x509.SubjectAlternativeName.oid
    }
    got = {
        found.oid: found.value.public_bytes()
        for found in certificate.extensions
        if found.oid == x509.SubjectAlternativeName.oid
    }
    assert wanted == got


def spki(thing):
    return thing.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_the_table_the_files_and_the_readme_agree():
    readme = (VECTORS / "README.rst").read_text()
    files = {path.name for path in VECTORS.iterdir() if path.suffix in {".der", ".pem"}}

    assert set(EXPECTED) == files
    assert [] == [name for name in sorted(files) if f"``{name}``" not in readme]


@pytest.mark.parametrize("group", [make.subjects, make.armours, make.messages])
def test_the_vectors_match_their_generator(group):
    for file, _oddity, contents in group():
        name = file if "." in file else f"{file}.der"
        assert contents == (VECTORS / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("file", EXPECTED)
def test_a_hostile_request_has_the_expected_result_without_the_standards(lenient, ca, file):
    assert_verdict(post_form(lenient, VECTORS / file), EXPECTED[file], ca, VECTORS / file)


@pytest.mark.slow
@pytest.mark.parametrize("file", EXPECTED)
def test_a_hostile_request_has_the_expected_result_with_the_standards(strict, ca, file):
    answer = post_bare(strict, (VECTORS / file).read_bytes())

    assert_verdict(answer, EXPECTED_BY_THE_STANDARDS[file], ca, VECTORS / file)


@pytest.mark.slow
def test_every_request_is_checked_in_100_milliseconds_of_cpu(strict):
    for file in EXPECTED:
        assert_cpu_below(0.1, lambda file=file: post_form(strict, VECTORS / file), 2, file)


def oversized_dsa():
    """A DSA request with the largest parameters that OpenSSL verifies."""
    algorithm = der.sequence(
        der.oid("1.2.840.10040.4.1"),
        der.sequence(
            der.integer((1 << 9999) + 1), der.integer((1 << 255) + 7), der.integer(1 << 9998)
        ),
    )
    key = der.sequence(algorithm, der.bits(der.integer((1 << 9998) + 7)))
    signature = der.sequence(der.integer((1 << 254) + 5), der.integer((1 << 254) + 9))
    body = der.info(der.name("www.example.com"), key)
    return der.signed(body, der.sequence(der.oid("2.16.840.1.101.3.4.3.2")), signature)


def many_parts():
    return der.request(make.ED, der.name(*("n" for _ in range(4000))))


def as_many_names_as_there_may_be():
    return make.with_names(*(der.dns(f"n{number}.example.com") for number in range(1000)))


def many_purposes():
    purposes = der.sequence(*(der.oid(f"1.2.{number}") for number in range(10_000)))
    return make.with_extensions(der.extension("2.5.29.37", purposes))


def many_controls():
    control = der.control("1.3.6.1.5.5.7.7.18", der.octets(b"x"))
    return der.signed_data(
        der.pki_data(der.tagged(der.request(make.ED)), controls=[control] * 2000)
    )


LARGE = {
    make.ten_thousand_names: (400, "the request has more than 1000 alternative names"),
    many_parts: (400, "the subject has more than 64 parts"),
    as_many_names_as_there_may_be: (200, "BEGIN CERTIFICATE"),
    many_purposes: (400, "the request has more than 64 extended key usages"),
    many_controls: (200, "BEGIN CERTIFICATE"),
    oversized_dsa: (400, "strong_key: DSA keys are not accepted"),
}


@pytest.mark.slow
@pytest.mark.parametrize("contents", LARGE, ids=lambda function: function.__name__)
def test_a_request_of_maximum_size_is_checked_in_100_milliseconds_of_cpu(strict, contents):
    octets = contents()
    assert 1000 < len(octets) < 65536

    answer = post_bare(strict, octets)

    status, words = LARGE[contents]
    assert (status, True) == (answer.status_int, words in answer.text)
    assert_cpu_below(0.1, lambda: post_bare(strict, octets), 3)


@pytest.mark.slow
@pytest.mark.parametrize("octet", [b"0", b"A", b"\n", b"\0", b"-----BEGIN ", b"\x30\x80"])
def test_garbage_of_maximum_size_is_rejected_in_100_milliseconds_of_cpu(strict, octet):
    octets = (octet * 65536)[:65536]

    assert post_bare(strict, octets).status_int == 400
    assert_cpu_below(0.1, lambda: post_bare(strict, octets), 3)


def test_five_megabytes_are_over_the_limit(service):
    answer = post_bare(service, b"\x30" * 5_000_000)

    assert answer.status_int == 413


@pytest.mark.parametrize("media_type", forms.BARE_REQUESTS)
@pytest.mark.parametrize("file", ["cmc.der", "cmc.pem", "new-label.pem"])
def test_a_bare_request_is_recognised_by_its_contents(service, ca, media_type, file):
    answer = post_bare(service, (VECTORS / file).read_bytes(), f"{media_type}; smime-type=x")

    assert_verdict(answer, ACCEPTED, ca, VECTORS / file)


@pytest.mark.slow
def test_odd_names_are_checked_without_a_warning(service):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for file in EXPECTED:
            post_form(service, VECTORS / file)

    assert [] == [str(warning.message) for warning in caught if "cgi" not in str(warning.message)]


def test_a_panic_in_rust_is_an_ordinary_rejection(service, monkeypatch):
    """No known input causes a panic, so the parser is replaced."""

    class PanicException(BaseException):  # its name in pyo3
        pass

    def panic(_der):
        raise PanicException("index out of bounds")

    monkeypatch.setattr("anchor.X509.signing_request.x509.load_der_x509_csr", panic)

    answer = post_bare(service, (VECTORS / "challenge-password.der").read_bytes())

    assert (400, True) == (answer.status_int, "index out of bounds" in answer.text)


def test_a_wrapped_request_is_extracted_byte_for_byte():
    csr = der.request(make.ED)

    assert csr == cmc.extract_csr(der.cmc(csr))
    assert csr == read_csr(der.cmc(csr), "der").submitted.der
    assert csr == X509Csr.from_der(csr).submitted.der
