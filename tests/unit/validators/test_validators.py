"""The checks on extensions, usages, keys and standards."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from anchor.X509.oids import USAGES
from tests.support.pki import (
    KEY_KINDS,
    assert_is_leaf,
    make_ca,
    make_csr,
    shared_key,
    signed_with_sha1,
)
from tests.support.policies import config_errors, make_policy, refusals


def key_usage(*names):
    """The extension with the bits of these names from RFC 5280."""
    return x509.KeyUsage(**{attribute: name in names for name, attribute in USAGES.items()})


POLICIES = x509.CertificatePolicies(
    [x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)]
)
SERVER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])

EXTENSION_NAMES = [
    "policyConstraints",
    "basicConstraints",
    "subjectDirectoryAttributes",
    "deltaCRLIndicator",
    "cRLDistributionPoints",
    "issuingDistributionPoint",
    "nameConstraints",
    "certificatePolicies",
    "policyMappings",
    "privateKeyUsagePeriod",
    "authorityKeyIdentifier",
    "subjectKeyIdentifier",
    "subjectAltName",
    "issuerAltName",
    "keyUsage",
    "extKeyUsage",
    "extendedKeyUsage",
    "inhibitAnyPolicy",
    "freshestCRL",
    "authorityInfoAccess",
    "subjectInfoAccess",
    "1.2.3.4",
    "crlDistributionPoints",
    "X509v3 Subject Alternative Name",
]


@pytest.mark.parametrize("name", EXTENSION_NAMES)
def test_an_extension_is_recognised_by_name_or_oid(name):
    assert config_errors({"extensions": {"allowed_extensions": [name]}}) == ""


@pytest.mark.parametrize("name", ["subjectAltNames", "", "keyUsage ext", "1.2.3.", "3.1", "1"])
def test_an_unknown_extension_is_a_configuration_error(name):
    found = config_errors({"extensions": {"allowed_extensions": ["keyUsage", name]}})

    assert found.startswith("validators.extensions.allowed_extensions.1: ")


def test_every_extension_must_be_allowed():
    csr = make_csr("a.example.com", "a.example.com", extensions=[POLICIES, SERVER])

    def refusal(*names):
        return refusals(make_policy({"extensions": {"allowed_extensions": [*names]}}), csr)

    assert {} == refusal("subjectAltName", "2.5.29.32", "extKeyUsage")
    assert "'certificatePolicies'" in refusal("subjectAltName", "extKeyUsage")["extensions"]
    assert "'subjectAltName', 'certificatePolicies'" in refusal("extKeyUsage")["extensions"]
    assert refusals(make_policy({"extensions": {}}), csr)
    assert {} == refusals(make_policy({"extensions": {}}), make_csr("a.example.com"))


LONG_USAGES = {
    "Digital Signature": "digitalSignature",
    "Non Repudiation": "nonRepudiation",
    "Content Commitment": "nonRepudiation",
    "contentCommitment": "nonRepudiation",
    "Key Encipherment": "keyEncipherment",
    "Data Encipherment": "dataEncipherment",
    "Key Agreement": "keyAgreement",
}


@pytest.mark.parametrize(("long", "short"), LONG_USAGES.items())
def test_a_key_usage_is_recognised_by_long_and_short_name(long, short):
    csr = make_csr("a.example.com", extensions=[(key_usage(short), True)])
    others = [name for name in LONG_USAGES.values() if name != short]

    for name in (long, short):
        assert {} == refusals(make_policy({"key_usage": {"allowed_usage": [name]}}), csr)
    refused = refusals(make_policy({"key_usage": {"allowed_usage": others}}), csr)
    assert short in refused["key_usage"]


@pytest.mark.parametrize("long", ["Certificate Sign", "CRL Sign", "Encipher Only", "Decipher Only"])
def test_the_other_key_usages_are_recognised_too(long):
    assert config_errors({"key_usage": {"allowed_usage": [long]}}) == ""


def test_encipher_only_is_a_separate_usage():
    csr = make_csr("a.example.com", extensions=[(key_usage("keyAgreement", "encipherOnly"), True)])

    refused = refusals(make_policy({"key_usage": {"allowed_usage": ["keyAgreement"]}}), csr)
    assert "encipherOnly" in refused["key_usage"]
    both = {"allowed_usage": ["keyAgreement", "Encipher Only"]}
    assert {} == refusals(make_policy({"key_usage": both}), csr)


def test_an_empty_list_of_usages_rejects_every_usage():
    csr = make_csr("a.example.com", extensions=[(key_usage("digitalSignature"), True), SERVER])

    assert {"key_usage", "ext_key_usage"} == set(
        refusals(make_policy({"key_usage": {}, "ext_key_usage": {"allowed_usage": []}}), csr)
    )


EXTENDED_USAGES = {
    "TLS Web Server Authentication": ExtendedKeyUsageOID.SERVER_AUTH,
    "serverAuth": ExtendedKeyUsageOID.SERVER_AUTH,
    "1.3.6.1.5.5.7.3.1": ExtendedKeyUsageOID.SERVER_AUTH,
    "TLS Web Client Authentication": ExtendedKeyUsageOID.CLIENT_AUTH,
    "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "Code Signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "codeSigning": ExtendedKeyUsageOID.CODE_SIGNING,
    "E-mail Protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "emailProtection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "Time Stamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "timeStamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "OCSP Signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "OCSPSigning": ExtendedKeyUsageOID.OCSP_SIGNING,
    "Any Extended Key Usage": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "1.2.3.4.5": x509.ObjectIdentifier("1.2.3.4.5"),
}


@pytest.mark.parametrize(("name", "oid"), EXTENDED_USAGES.items())
def test_an_extended_key_usage_is_recognised_by_name_and_oid(name, oid):
    allowed = make_policy({"ext_key_usage": {"allowed_usage": [name]}})

    csr = make_csr("a.example.com", extensions=[x509.ExtendedKeyUsage([oid])])
    assert {} == refusals(allowed, csr)
    other = x509.ExtendedKeyUsage([oid, x509.ObjectIdentifier("1.9.9")])
    assert "1.9.9" in refusals(allowed, make_csr("a", extensions=[other]))["ext_key_usage"]


@pytest.mark.parametrize("validator", ["key_usage", "ext_key_usage"])
@pytest.mark.parametrize("usage", ["server", "", "Digital  Signatur", "TLS", 5])
def test_an_unknown_usage_is_a_configuration_error(validator, usage):
    found = config_errors({validator: {"allowed_usage": [usage]}})

    assert found.startswith(f"validators.{validator}.allowed_usage.0: ")


# ---- keys


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_only_listed_kinds_of_keys_are_accepted(kind):
    name = {"rsa": "RSA", "ec": "EC"}.get(kind.split("-")[0], kind.upper())
    csr = make_csr("a.example.com", key=shared_key(kind))
    sizes = {"RSA": 0, "EC": None, "ED25519": 0, "ED448": 0}

    assert {} == refusals(make_policy({"public_key": {"allowed_keys": sizes}}), csr)
    del sizes[name]
    assert name in refusals(make_policy({"public_key": {"allowed_keys": sizes}}), csr)["public_key"]
    assert refusals(make_policy({"public_key": {}}), csr)


@pytest.mark.parametrize(
    ("kind", "least", "expected"),
    [
        ("rsa-2048", {"RSA": 2048}, True),
        ("rsa-2048", {"RSA": 2049}, False),
        ("ec-p256", {"EC": 256}, True),
        ("ec-p256", {"EC": 257}, False),
        ("ec-p521", {"EC": 521}, True),
        ("ed25519", {"ED25519": 256}, True),
    ],
)
def test_a_key_must_have_the_minimum_size(kind, least, expected):
    a_policy = make_policy({"public_key": {"allowed_keys": least}})

    assert expected == (refusals(a_policy, make_csr("a", key=shared_key(kind))) == {})


@pytest.mark.parametrize(
    "sizes",
    [{"rsa": 2048}, {"X25519": 0}, {"RSA": "2048"}, {"RSA": True}, {"RSA": -1}, {"EC": 2048}, []],
    ids=str,
)
def test_invalid_sizes_are_rejected(sizes):
    found = config_errors({"public_key": {"allowed_keys": sizes}})

    assert found.startswith("validators.public_key.allowed_keys")


@pytest.fixture(scope="module")
def dsa_key():
    return dsa.generate_private_key(2048)


@pytest.mark.slow
def test_dsa_is_accepted_only_if_it_is_listed(serve, document, ca, dsa_key):
    csr = make_csr("a.example.com", "a.example.com", key=dsa_key)
    validators = document["registration_authority"]["default"]["validators"]

    assert "DSA keys are not accepted" in serve(document).sign(csr, status=400).text
    validators["public_key"] = {"allowed_keys": {"RSA": 2048}}
    assert serve(document).sign(csr, status=400)
    validators["public_key"] = {"allowed_keys": {"DSA": 2048}}
    validators["standards_compliance"] = {}
    certificate = serve(document).issue(csr)

    assert_is_leaf(certificate, issued_by=ca)
    assert certificate.public_key() == dsa_key.public_key()


# ---- CA status

CA_TRUE = (x509.BasicConstraints(True, None), True)
CA_USAGE = (key_usage("keyCertSign", "cRLSign"), True)


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        ([], True),
        ([(x509.BasicConstraints(False, None), True)], True),
        ([CA_TRUE], False),
        ([CA_USAGE], False),
        ([(key_usage("digitalSignature"), True)], True),
    ],
)
@pytest.mark.parametrize("options", [{}, {"ca_requested": False}])
def test_a_request_for_a_ca_is_rejected(extensions, expected, options):
    csr = make_csr("a.example.com", extensions=extensions)

    assert expected == ("ca_status" not in refusals(make_policy({"ca_status": options}), csr))
    assert expected == ("never_a_ca" not in refusals(make_policy({}), csr))


@pytest.mark.parametrize(
    "extensions",
    [
        [CA_TRUE],
        [CA_TRUE, CA_USAGE],
        [(x509.BasicConstraints(True, 0), True), CA_USAGE],
    ],
)
def test_an_intermediate_is_signed_if_it_is_configured(serve, document, ca, extensions):
    document["registration_authority"]["default"]["validators"] = {
        "standards_compliance": {},
        "ca_status": {"ca_requested": True},
    }

    certificate = serve(document).issue(make_csr("Intermediate CA", extensions=extensions))

    certificate.verify_directly_issued_by(ca.certificate)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (True, x509.BasicConstraints(True, 0)) == (constraints.critical, constraints.value)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert (True, True, True) == (
        usage.critical,
        usage.value.key_cert_sign,
        usage.value.crl_sign,
    )


@pytest.mark.parametrize(
    "extensions",
    [
        [],
        [(x509.BasicConstraints(False, None), True)],
        [CA_USAGE],
        [(x509.BasicConstraints(True, 1), True)],
        [CA_TRUE, (key_usage("digitalSignature"), True)],
    ],
)
def test_an_authority_for_intermediates_signs_nothing_else(extensions):
    a_policy = make_policy({"ca_status": {"ca_requested": True}})

    assert "an_intermediate" in refusals(a_policy, make_csr("Intermediate", extensions=extensions))


@pytest.mark.parametrize("name", ["Test CA", "test  ca", "Test Root"])
def test_an_intermediate_needs_a_name_that_no_issuer_has(serve, document, tmp_path, name):
    (tmp_path / "root").mkdir()
    root = make_ca(tmp_path / "root", name="Test Root")
    ca = make_ca(tmp_path, issuer=root)
    document["signing_ca"]["local"] |= {
        "cert_path": str(ca.cert_path),
        "key_path": str(ca.key_path),
        "chain_path": str(root.cert_path),
    }
    document["registration_authority"]["default"]["validators"] = {
        "ca_status": {"ca_requested": True}
    }
    service = serve(document)

    answer = service.sign(make_csr(name, extensions=[CA_TRUE]))

    assert answer.status_int == 400
    assert "own_name: the intermediate CA has the subject of its issuer" in answer.text
    service.issue(make_csr("Test Intermediate", extensions=[CA_TRUE]))


def with_path_length(directory, name, length, **kwargs):
    """A CA with a pathLenConstraint."""
    ca = make_ca(directory, name=name, **kwargs)
    issuer = kwargs.get("issuer") or ca
    old = ca.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(old.public_key())
        .serial_number(old.serial_number)
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(True, length), True)
    )
    certificate = builder.sign(issuer.key, hashes.SHA256())
    ca.cert_path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return ca


@pytest.mark.parametrize(
    ("root_length", "ca_length", "expected"),
    [(None, None, True), (None, 0, False), (None, 1, True), (1, None, False), (2, 1, True)],
)
def test_only_a_ca_with_path_length_left_can_issue_intermediates(
    serve, document, tmp_path, root_length, ca_length, expected
):
    root = with_path_length(tmp_path, "root", root_length)
    root_certificate = x509.load_pem_x509_certificate(root.cert_path.read_bytes())
    assert root_certificate.subject
    ca = with_path_length(tmp_path, "ca", ca_length, issuer=root)
    document["signing_ca"]["local"] |= {
        "cert_path": str(ca.cert_path),
        "key_path": str(ca.key_path),
        "chain_path": str(root.cert_path),
    }
    document["registration_authority"]["default"]["validators"] = {
        "ca_status": {"ca_requested": True}
    }

    if expected:
        serve(document)
    else:
        with pytest.raises(
            Exception, match=r"default\.validators\.ca_status\.ca_requested: .*room"
        ):
            serve(document)


# ---- standards


def standards(csr, **options):
    return refusals(make_policy({"standards_compliance": options}), csr).get("standards_compliance")


@pytest.mark.parametrize(
    "name",
    [
        "www.example.com",
        "WWW.example.com",
        "*.example.com",
        "_service.example.com",
        "a-b.example.com",
        "xn--bcher-kva.example.com",
        "localhost",
        "1.example.com",
        "3com.com",
        "a" * 63 + ".example.com",
        ".".join(["a" * 49] * 5),
        "192.0.2.1",
        "2001:db8::1",
    ],
)
def test_names_that_comply_with_the_standards_pass(name):
    assert standards(make_csr(None, name)) is None


@pytest.mark.parametrize(
    "name",
    [
        "www.example.com\n",
        "www.example.com\0.evil.org",
        " www.example.com",
        "www..example.com",
        ".example.com",
        "www.example.com.",
        "-www.example.com",
        "www-.example.com",
        "www.*.com",
        "f*.example.com",
        "*.*.example.com",
        "*",
        "a b.example.com",
        "a" * 64 + ".example.com",
        ".".join(["a" * 50] * 5),
        "192.0.2.1",
        "192.0.2",
        "0x7f000001",
        "2130706433",
        "2001:db8::1",
        "xn--a",
        "xn--www-.example.com",
        "xn--BCHER-KVB\N{LATIN SMALL LETTER A}9.example.com",
        "https://www.example.com/",
        "alice@example.com",
    ],
)
def test_dns_names_that_violate_the_standards_are_rejected(name):
    assert standards(make_csr("x", x509.DNSName(name)))


@pytest.mark.parametrize("name", ["www..example.com", "f*.example.com", "192.0.2", "a_b.-c.de"])
def test_a_common_name_that_resembles_a_dns_name_must_be_one(name):
    assert standards(make_csr(name))


@pytest.mark.parametrize("name", ["Alice Smith", "Jürgen", "192.0.2.1", "www.example.com"])
def test_a_common_name_can_be_a_persons_name(name):
    assert standards(make_csr(name)) is None


def test_labels_are_matched_as_a_whole():
    assert standards(make_csr("a1.example", "a1.example"), label_re="[a-z]+$")
    assert standards(make_csr("a.example", "a.example"), label_re="[a-z]+$") is None
    assert "label_re" in config_errors({"standards_compliance": {"label_re": "["}})
    assert "label_re" in config_errors({"standards_compliance": {"label_re": 5}})


@pytest.mark.parametrize(
    "extensions",
    [
        [x509.SubjectAlternativeName([x509.RFC822Name("nobody")])],
        [x509.SubjectAlternativeName([x509.UniformResourceIdentifier("/relative")])],
        [x509.SubjectAlternativeName([x509.DirectoryName(x509.Name([]))])],
        [x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH] * 2)],
        [(x509.SubjectKeyIdentifier(b"1" * 20), True)],
        [(x509.PolicyConstraints(0, None), False)],
    ],
    ids=lambda extensions: str(extensions[0])[:60],
)
def test_extensions_that_violate_the_standards_are_rejected(extensions):
    assert standards(make_csr("a.example.com", extensions=extensions))


@pytest.mark.parametrize("common_name", [None, "a.example.com"])
@pytest.mark.parametrize("asked", [True, False])
def test_alternative_names_must_be_critical_only_without_a_subject(
    serve, document, common_name, asked
):
    document["registration_authority"]["default"]["validators"] = {"standards_compliance": {}}
    names = x509.SubjectAlternativeName([x509.DNSName("a.example.com")])

    certificate = serve(document).issue(make_csr(common_name, extensions=[(names, asked)]))

    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert extension.critical == (common_name is None)


def test_a_request_needs_a_subject_or_alternative_names():
    assert standards(make_csr(None))


# Warnings of cryptography are rejections in production.
@pytest.mark.filterwarnings("ignore:Attribute's length:UserWarning")
def test_long_parts_of_a_subject_are_rejected():
    def csr(oid, text):
        attribute = x509.NameAttribute(oid, text, _validate=False)
        builder = x509.CertificateSigningRequestBuilder(x509.Name([attribute]))
        return builder.sign(shared_key(), hashes.SHA256()).public_bytes(Encoding.PEM)

    assert standards(csr(NameOID.ORGANIZATION_NAME, "x" * 64)) is None
    assert "longer than 64" in standards(csr(NameOID.ORGANIZATION_NAME, "x" * 65))
    assert standards(csr(NameOID.COUNTRY_NAME, "DE")) is None


def test_a_broken_hash_is_rejected():
    key = shared_key("rsa-2048")
    request = x509.load_pem_x509_csr(make_csr("a", key=key))

    assert "sha1" in standards(signed_with_sha1(request, key))


def test_a_rejection_stays_readable_for_any_error():
    names = [x509.DNSName(f"{number}." + "x" * 64) for number in range(500)]

    reason = standards(make_csr("a", *names))

    assert len(reason) < 10_000
    assert "and more" in reason


# ---- the address of the client


@pytest.mark.parametrize(
    ("peer", "cidrs", "expected"),
    [
        ("192.0.2.7", ["192.0.2.0/24"], True),
        ("192.0.2.7", ["192.0.2.7"], True),
        ("192.0.2.7", ["198.51.100.0/24", "192.0.2.7/32"], True),
        ("192.0.2.7", ["192.0.2.8"], False),
        ("192.0.2.7", ["::/0"], False),
        ("192.0.2.7", [], False),
        ("::ffff:192.0.2.7", ["192.0.2.0/24"], True),
        ("192.0.2.7", ["::ffff:192.0.2.0/120"], True),
        ("2001:db8::1", ["2001:db8::/32"], True),
        ("2001:db8::1", ["0.0.0.0/0"], False),
        ("", ["0.0.0.0/0", "::/0"], False),
        ("unix:", ["0.0.0.0/0", "::/0"], False),
    ],
)
def test_a_request_must_come_from_one_of_the_ranges(serve, document, peer, cidrs, expected):
    validators = document["registration_authority"]["default"]["validators"]
    validators["source_cidrs"] = {"cidrs": cidrs}
    service = serve(document)
    service.http.extra_environ["REMOTE_ADDR"] = peer

    answer = service.sign(headers={"X-Forwarded-For": "192.0.2.7, 2001:db8::1"})

    assert (200 if expected else 400) == answer.status_int
    assert expected or "source_cidrs: " in answer.text


def test_the_address_from_a_proxy_counts_only_if_it_is_trusted(serve, document):
    validators = document["registration_authority"]["default"]["validators"]
    validators["source_cidrs"] = {"cidrs": ["198.51.100.0/24"]}
    forwarded = {"X-Forwarded-For": "203.0.113.9, 198.51.100.1"}

    serve(document).sign(headers=forwarded, status=400)
    trusting = serve(document, trusted_proxies=["192.0.2.7/32"])
    trusting.sign(headers=forwarded, status=200)
    trusting.sign(headers={"X-Forwarded-For": "198.51.100.1, 203.0.113.9"}, status=400)


@pytest.mark.parametrize("options", [{}, {"cidrs": ["192.0.2.1/24"]}, {"cidrs": ["anywhere"]}])
def test_invalid_ranges_are_rejected(options):
    assert config_errors({"source_cidrs": options}).startswith("validators.source_cidrs")


def test_a_complete_policy_signs_or_explains_its_rejection(serve, document, ca):
    authority = document["registration_authority"]["default"]
    authority["validators"] = {
        "standards_compliance": {},
        "source_cidrs": {"cidrs": ["192.0.2.0/24"]},
        "common_name": {"allowed_domains": [".example.com"]},
        "alternative_names_ip": {
            "allowed_domains": [".example.com"],
            "allowed_networks": ["10.0.0.0/8"],
        },
        "blacklist_names": {"domains": [".secret.example.com"]},
        "whitelist_names": {
            "names": ["%.example.com", "10.0.0.0/8"],
            "allow_cn_id": True,
            "allow_dns_id": True,
            "allow_ip_id": True,
        },
        "server_group": {"group_prefixes": {"web": "web"}},
        "extensions": {"allowed_extensions": ["subjectAltName", "keyUsage", "extKeyUsage"]},
        "key_usage": {"allowed_usage": ["digitalSignature"]},
        "ext_key_usage": {"allowed_usage": ["serverAuth"]},
        "ca_status": {"ca_requested": False},
        "public_key": {"allowed_keys": {"EC": 256}},
    }
    authority["fixups"] = {
        "enforce_alternative_names_present": {},
        "default_key_usage": {"usage": ["digitalSignature"]},
        "default_extended_key_usage": {"usage": ["serverAuth"]},
    }
    document["authentication"]["static"]["groups"] = ["web"]
    service = serve(document)

    certificate = service.issue(make_csr("web-1.example.com", "10.0.0.1"))
    refused = service.sign(
        make_csr("db-1.example.org", "a.secret.example.com", extensions=[POLICIES]), status=400
    )

    assert_is_leaf(certificate, issued_by=ca)
    for words in (
        "common_name: the common name is not in an allowed domain (name 'db-1.example.org')",
        "blacklist_names: names are refused, or are of a kind that cannot be checked "
        "(names 'DNS:a.secret.example.com')",
        "whitelist_names: names are not allowed "
        "(names 'CN:db-1.example.org', 'DNS:a.secret.example.com', 'DNS:db-1.example.org')",
        "server_group: ",
        "extensions: extensions are not allowed (extensions 'certificatePolicies')",
    ):
        assert words in refused.text
