"""Fixups change a request, and the result is checked again."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.pki import make_csr, names_of, shared_key, subject
from tests.support.policies import approve, config_errors, make_policy, refusals

PRESENT = {"enforce_alternative_names_present": {}}


def apply_fixups(fixups, csr):
    return approve(make_policy({}, fixups), csr)


def names(csr):
    return [str(name.value) for name in csr.alternative_names]


@pytest.mark.parametrize(
    ("csr", "expected"),
    [
        (make_csr("a.example.com"), ["a.example.com"]),
        (make_csr("a.example.com", "b.example.com"), ["b.example.com", "a.example.com"]),
        (make_csr("a.example.com", "A.example.com"), ["A.example.com"]),
        (make_csr("192.0.2.1"), ["192.0.2.1"]),
        (make_csr("192.0.2.1", "192.0.2.1"), ["192.0.2.1"]),
        (make_csr("2001:DB8::1", "2001:db8::1"), ["2001:db8::1"]),
        (make_csr("192.0.2.1", x509.DNSName("192.0.2.1")), ["192.0.2.1", "192.0.2.1"]),
        (make_csr("a.example.com."), ["a.example.com"]),
        (make_csr("a.example.com.", "A.example.com"), ["A.example.com"]),
        (make_csr(None, "a.example.com"), ["a.example.com"]),
    ],
)
def test_every_common_name_is_added_to_the_alternative_names(csr, expected):
    result = apply_fixups(PRESENT, csr)

    assert expected == names(result)


def test_an_ip_address_as_common_name_is_added_as_an_address():
    result = apply_fixups(PRESENT, make_csr("192.0.2.1"))

    assert isinstance(result.alternative_names[0], x509.IPAddress)


@pytest.mark.parametrize(
    "common_name",
    [
        "Example Server A",
        "Petra Müller",
        "Jü",
        "Почтовый сервер",
        "system:node:worker-1",
        "system:node:worker-1.example.com",
        "alice@example.com",
        "Example, Inc.",
        "12345",
        "0x7f000001",
        "f" * 64,
        "O'Brien",
        "-",
    ],
)
def test_a_common_name_that_is_not_a_host_name_is_not_added(common_name):
    a_policy = make_policy({"standards_compliance": {}}, PRESENT)

    alone = approve(a_policy, make_csr(common_name))
    beside = approve(a_policy, make_csr(common_name, "a.example.com"))

    assert [common_name] == list(alone.common_names)
    assert [] == names(alone)
    assert ["a.example.com"] == names(beside)


@pytest.mark.parametrize(
    "common_name",
    [
        "www..example.com",
        "www.*.example.com",
        "w*.example.com",
        "*",
        "192.0.2.256",
        "1.2.3.4.5",
        "www.example.com:443",
        "https://www.example.com/",
        "HTTP/www.example.com",
        "xn--a.example.com",
        "bücher..example",
        "www\N{IDEOGRAPHIC FULL STOP}example\N{IDEOGRAPHIC FULL STOP}com",
        "\N{FULLWIDTH LATIN SMALL LETTER W}ww.example.com",
    ],
)
@pytest.mark.parametrize("validators", [{}, {"standards_compliance": {}}])
def test_a_common_name_that_resembles_a_host_name_must_be_one(common_name, validators):
    for csr in (make_csr(common_name), make_csr(common_name, "a.example.com")):
        found = refusals(make_policy(validators, PRESENT), csr)
        assert "looks like a host name" in found["enforce_alternative_names_present"]


@pytest.mark.parametrize(
    ("common_name", "expected"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("Bücher.Example", "xn--bcher-kva.example"),
        ("straße.example.com", "xn--strae-oqa.example.com"),
        ("пример.example", "xn--e1afmkfd.example"),
    ],
)
def test_an_internationalised_common_name_is_added_in_punycode(common_name, expected):
    assert [expected] == names(apply_fixups(PRESENT, make_csr(common_name)))
    assert [expected] == names(apply_fixups(PRESENT, make_csr(common_name, expected)))
    strict = make_policy({"standards_compliance": {}}, PRESENT)
    assert "written in punycode" in str(refusals(strict, make_csr(common_name)))


def test_the_result_of_a_fixup_is_checked_again():
    validators = {"alternative_names": {"allowed_domains": [".example.com"]}}

    assert {} == refusals(make_policy(validators), make_csr("www.example.org"))
    assert {"alternative_names"} == set(
        refusals(make_policy(validators, PRESENT), make_csr("www.example.org"))
    )


def test_usages_are_added_if_the_request_has_none(serve, document):
    authority = document["registration_authority"]["default"]
    authority["fixups"] = {
        "default_key_usage": {"usage": ["Digital Signature", "keyEncipherment"]},
        "default_extended_key_usage": {"usage": ["serverAuth", "1.3.6.1.5.5.7.3.2"]},
    }
    authority["validators"] = {
        "key_usage": {"allowed_usage": ["digitalSignature", "keyEncipherment"]},
        "ext_key_usage": {"allowed_usage": ["serverAuth", "clientAuth"]},
    }

    certificate = serve(document).issue(make_csr(key=shared_key("rsa-2048")))

    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    expected = x509.KeyUsage(True, False, True, False, False, False, False, False, False)
    assert (True, expected) == (usage.critical, usage.value)
    assert [
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    ] == list(extended.value)


def test_requested_usages_are_kept():
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    extended = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    fixups = {
        "default_key_usage": {"usage": ["keyAgreement"]},
        "default_extended_key_usage": {"usage": ["serverAuth"]},
    }

    result = apply_fixups(fixups, make_csr("a", extensions=[usage, extended]))

    assert usage == result.extension(x509.KeyUsage).value
    assert extended == result.extension(x509.ExtendedKeyUsage).value


def test_a_request_for_an_intermediate_gets_no_usages_of_a_leaf(serve, document):
    authority = document["registration_authority"]["default"]
    authority["validators"] = {"ca_status": {"ca_requested": True}}
    authority["fixups"] = {"default_key_usage": {"usage": ["digitalSignature"]}}
    ca = (x509.BasicConstraints(True, None), True)

    certificate = serve(document).issue(make_csr("Issuing CA", extensions=[ca]))

    assert certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_listed_extensions_are_dropped():
    policies = x509.CertificatePolicies(
        [x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)]
    )
    extended = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    csr = make_csr("a", "a", extensions=[policies, extended])

    result = apply_fixups(
        {"drop_extensions": {"extensions": ["certificatePolicies", "2.5.29.37"]}}, csr
    )

    assert [x509.SubjectAlternativeName.oid] == [e.oid for e in result.extensions]


@pytest.mark.parametrize(
    ("csr", "common_names", "alternative_names"),
    [
        (make_csr("WWW.Example.COM"), ["www.example.com"], []),
        (make_csr("www.example.com."), ["www.example.com"], []),
        (make_csr("Alice Smith", "WWW.Example.COM."), ["Alice Smith"], ["www.example.com"]),
        (make_csr("HOST", "Host"), ["host"], ["host"]),
        (make_csr("HOST"), ["HOST"], []),
        (make_csr("x", "a.de", "A.de", "a.de."), ["x"], ["a.de"]),
        (make_csr("192.0.2.1", "192.0.2.1", "B.de"), ["192.0.2.1"], ["192.0.2.1", "b.de"]),
        (
            make_csr("x", x509.RFC822Name("Alice@Example.com")),
            ["x"],
            ["Alice@Example.com"],
        ),
    ],
)
def test_names_are_normalised(csr, common_names, alternative_names):
    result = apply_fixups({"normalize_names": {}}, csr)

    assert common_names == list(result.common_names)
    assert alternative_names == names(result)


def test_an_invalid_common_name_is_not_normalised():
    assert ["."] == list(apply_fixups({"normalize_names": {}}, make_csr(".")).common_names)


EVERY_TYPE = [
    x509.DNSName("a.example.com"),
    x509.IPAddress(ip_address("192.0.2.1")),
    x509.IPAddress(ip_address("2001:db8::1")),
    x509.RFC822Name("Alice@example.com"),
    x509.UniformResourceIdentifier("spiffe://example.com/a"),
    x509.DirectoryName(subject("a")),
    x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
    x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01a"),
]


@pytest.mark.parametrize("validators", [{}, {"standards_compliance": {}}])
@pytest.mark.parametrize("fixups", [{}, {**PRESENT, "normalize_names": {}}])
@pytest.mark.parametrize("name", EVERY_TYPE, ids=lambda name: type(name).__name__)
def test_a_name_of_any_type_that_is_requested_twice_is_certified_once(validators, fixups, name):
    other = x509.DNSName("b.example.com")
    csr = make_csr(None, name, other, name, name)

    approved = approve(make_policy(validators, fixups), csr)

    assert [name, other] == list(approved.alternative_names)


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        (["a.example.com", "A.Example.com"], ["a.example.com"]),
        (["A.Example.com", "a.example.com"], ["A.Example.com"]),
        (["a.example.com.", "b.example.com", "A.example.com"], ["A.example.com", "b.example.com"]),
    ],
)
def test_dns_names_that_differ_in_case_or_final_dot_are_one_name(requested, expected):
    assert expected == names(apply_fixups({}, make_csr(None, *requested)))
    assert expected == names(
        approve(make_policy({"standards_compliance": {}}), make_csr(None, *requested))
    )


def test_a_name_that_a_fixup_adds_again_is_certified_once(serve, document, plugins):
    plugins(
        "def again(csr):\n    return csr.with_alternative_names([*csr.alternative_names] * 2)\n",
        "[anchor.fixups]\nagain = trouble:again\n",
    )
    document["registration_authority"]["default"]["fixups"] = {"again": {}}

    certificate = serve(document).issue(make_csr("x", "a.example.com", "192.0.2.1"))

    assert ["a.example.com", "192.0.2.1"] == names_of(certificate)


def test_a_common_name_is_normalised_before_it_is_checked():
    validators = {
        "standards_compliance": {},
        "whitelist_names": {"names": ["%.example.com"], "allow_cn_id": True, "allow_dns_id": True},
    }
    a_policy = make_policy(validators, {**PRESENT, "normalize_names": {}})

    result = approve(a_policy, make_csr("WWW.example.com.", "www.example.com."))

    assert ["www.example.com"] == list(result.common_names)
    assert ["www.example.com"] == names(result)


def test_a_fixup_that_changes_nothing_returns_the_same_request():
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    extended = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    csr = make_csr(None, "a.example.com", extensions=[usage, extended])
    a_policy = make_policy(
        {},
        {
            **PRESENT,
            "normalize_names": {},
            "drop_common_name": {},
            "default_key_usage": {"usage": ["digitalSignature"]},
            "default_extended_key_usage": {"usage": ["serverAuth"]},
            "drop_extensions": {"extensions": ["certificatePolicies"]},
        },
    )

    assert approve(a_policy, csr).extensions[0].critical
    assert [True] * 6 == [
        fixup.function({"csr": csr_value}) is csr_value
        for csr_value in [approve(make_policy(), csr)]
        for fixup in a_policy.fixups
    ]


@pytest.mark.parametrize(
    ("csr", "expected"),
    [
        (make_csr("a.example.com", "A.example.com"), []),
        (make_csr("a.example.com", "b.example.com"), ["a.example.com"]),
        (make_csr("a.example.com"), ["a.example.com"]),
        (make_csr("192.0.2.1", "192.0.2.1"), []),
    ],
)
def test_a_common_name_is_dropped_once_it_is_an_alternative_name(csr, expected):
    assert expected == list(apply_fixups({"drop_common_name": {}}, csr).common_names)


def test_only_the_common_name_is_dropped_from_a_subject():
    def attribute(oid, text):
        return x509.NameAttribute(oid, text)

    subject = x509.Name(
        [
            x509.RelativeDistinguishedName([attribute(NameOID.ORGANIZATION_NAME, "Example")]),
            x509.RelativeDistinguishedName(
                [
                    attribute(NameOID.COMMON_NAME, "a.example.com"),
                    attribute(NameOID.SERIAL_NUMBER, "7"),
                ]
            ),
        ]
    )
    names_wanted = x509.SubjectAlternativeName([x509.DNSName("a.example.com")])
    builder = x509.CertificateSigningRequestBuilder(subject).add_extension(names_wanted, False)
    csr = builder.sign(shared_key(), hashes.SHA256()).public_bytes(Encoding.PEM)

    kept = {"subject_attributes": {"keep": {"O": ["%"], "serialNumber": ["7"]}}}
    result = apply_fixups({**kept, "drop_common_name": {}}, csr)

    assert result.subject.rfc4514_string() == "2.5.4.5=7,O=Example"


def test_fixups_run_in_the_order_of_the_configuration(serve, document):
    authority = document["registration_authority"]["default"]
    authority["validators"] = {"standards_compliance": {}}
    authority["fixups"] = {**PRESENT, "normalize_names": {}, "drop_common_name": {}}

    certificate = serve(document).issue(make_csr("WWW.Example.com"))

    assert names_of(certificate) == ["www.example.com"]
    assert list(certificate.subject) == []
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert extension.critical

    authority["fixups"] = {"drop_common_name": {}, "normalize_names": {}, **PRESENT}
    certificate = serve(document).issue(make_csr("WWW.Example.com"))
    assert len(list(certificate.subject)) == 1


@pytest.mark.parametrize(
    ("fixup", "options"),
    [
        ("default_key_usage", {}),
        ("default_key_usage", {"usage": []}),
        ("default_key_usage", {"usage": ["server"]}),
        ("default_key_usage", {"usage": ["Certificate Sign"]}),
        ("default_key_usage", {"usage": ["encipherOnly"]}),
        ("default_extended_key_usage", {"usage": []}),
        ("default_extended_key_usage", {"usage": ["webServer"]}),
        ("drop_extensions", {}),
        ("drop_extensions", {"extensions": ["nonsense"]}),
        ("normalize_names", {"case": "lower"}),
        ("subject_attributes", {"keep": ["O"]}),
        ("subject_attributes", {"keep": {"nonsense": ["%"]}}),
        ("subject_attributes", {"keep": {"O": "%"}}),
        ("subject_attributes", {"keep": {"O": [""]}}),
        ("subject_attributes", {"keep": {"O": ["%"], "organizationName": ["x"]}}),
        ("subject_attributes", {"fixed": {"CN": "www.example.com"}}),
        ("subject_attributes", {"fixed": {"O": ""}}),
        ("subject_attributes", {"fixed": {"O": "a\nb"}}),
        ("subject_attributes", {"fixed": {"C": "Germany"}}),
        ("subject_attributes", {"fixed": {"DC": "bücher"}}),
        ("subject_attributes", {"fixed": {"O": ["a"], "organizationName": "b"}}),
    ],
)
def test_invalid_options_are_rejected(fixup, options):
    assert config_errors({}, {fixup: options}).startswith(f"fixups.{fixup}")
