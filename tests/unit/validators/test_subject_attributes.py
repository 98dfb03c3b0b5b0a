"""A certificate has only subject attributes that its policy lists."""

from __future__ import annotations

import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from anchor.cli import main
from anchor.errors import UnreadableRequest
from anchor.X509.attribute_names import ATTRIBUTES, attribute_oid, name_of_attribute
from anchor.X509.attribute_patterns import AttributePatterns, ValuePattern
from anchor.X509.signing_request import X509Csr
from tests.support.pki import shared_key
from tests.support.policies import approve, config_errors, make_context, make_policy, refusals

PRESENT = {"enforce_alternative_names_present": {}}
UNKNOWN = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")
OTHERS = {
    NameOID.ORGANIZATION_NAME: "system:masters",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "Domain Admins",
    NameOID.USER_ID: "root",
    NameOID.EMAIL_ADDRESS: "ceo@example.com",
    NameOID.SERIAL_NUMBER: "4711",
    NameOID.TITLE: "Director",
    NameOID.DOMAIN_COMPONENT: "corp",
    NameOID.UNSTRUCTURED_NAME: "router",
    NameOID.COUNTRY_NAME: "DE",
    NameOID.GIVEN_NAME: "Alice",
    UNKNOWN: "anything",
}


def a_csr(*rdns, names=("www.example.com",)):
    """A request with these RDNs in its subject, each a pair or a list of pairs."""
    parts = [
        x509.RelativeDistinguishedName(
            [x509.NameAttribute(*item) for item in (part if isinstance(part, list) else [part])]
        )
        for part in rdns
    ]
    builder = x509.CertificateSigningRequestBuilder(x509.Name(parts))
    if names:
        alternative = x509.SubjectAlternativeName(list(map(x509.DNSName, names)))
        builder = builder.add_extension(alternative, not parts)
    return builder.sign(shared_key(), hashes.SHA256()).public_bytes(Encoding.PEM)


CN = (NameOID.COMMON_NAME, "www.example.com")
O = (NameOID.ORGANIZATION_NAME, "Example")  # noqa: E741  # its short name
OU = (NameOID.ORGANIZATIONAL_UNIT_NAME, "Web")


def subject_of(certificate_or_csr):
    return [(attribute.oid, attribute.value) for attribute in certificate_or_csr.subject]


@pytest.mark.parametrize(("oid", "value"), OTHERS.items(), ids=str)
def test_attributes_are_dropped_by_default_and_recorded(serve, document, audit, oid, value):
    certificate = serve(document).issue(a_csr((oid, value), CN))

    assert [CN] == subject_of(certificate)
    assert audit.events()[-1]["dropped_subject_attributes"] == [f"{name_of_attribute(oid)}={value}"]


def test_the_record_of_dropped_attributes_is_bounded(serve, document, audit):
    parts = [(NameOID.ORGANIZATIONAL_UNIT_NAME, f"{number}" * 40) for number in range(10, 60)]

    serve(document).issue(a_csr(*parts, CN))

    [*dropped, more] = audit.events()[-1]["dropped_subject_attributes"]
    assert 20 == len(dropped)
    assert "and 30 more" == more
    assert all(len(text) < 80 for text in dropped)


def test_alternative_names_are_critical_if_the_subject_is_empty(serve, document):
    certificate = serve(document).issue(a_csr(O))

    assert [] == subject_of(certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical


@pytest.mark.parametrize("parts", [[O], [O, OU], [(NameOID.USER_ID, "root")], []])
def test_a_request_without_any_other_name_is_rejected(serve, document, parts):
    answer = serve(document).sign(a_csr(*parts, names=()), status=400)

    assert "the request contains no name" in answer.text


EVERYTHING = {
    "subject_attributes": {"allowed": {name: ["%"] for name in ("O", "OU", "UID", "C", "E")}}
}


def test_allowed_attributes_are_kept_as_requested(serve, document):
    document["registration_authority"]["default"]["validators"] = EVERYTHING
    parts = ((NameOID.COUNTRY_NAME, "DE"), [O, OU], (NameOID.ORGANIZATIONAL_UNIT_NAME, "2"), CN)

    certificate = serve(document).issue(a_csr(*parts))

    assert [1, 2, 1, 1] == [len(list(rdn)) for rdn in certificate.subject.rdns]
    assert x509.load_pem_x509_csr(a_csr(*parts)).subject == certificate.subject


@pytest.mark.parametrize(
    ("allowed", "parts", "refused"),
    [
        ({}, [O], "O=Example"),
        ({"O": []}, [O], "O=Example"),
        ({"O": ["Example"]}, [O], None),
        ({"organizationName": ["Other", "Example"]}, [O], None),
        ({"2.5.4.10": ["Example"]}, [O], None),
        ({"O": ["example"]}, [O], "O=Example"),
        ({"O": ["Example"]}, [(O[0], "Example ")], "O=Example "),
        ({"O": ["Example"]}, [O, (O[0], "system:masters")], "O=system:masters"),
        ({"O": ["Example"]}, [(O[0], "system:masters"), O], "O=system:masters"),
        ({"O": ["Example"]}, [[O, OU]], "OU=Web"),
        ({"O": ["Example"]}, [(*O, _ASN1Type.PrintableString)], None),
        (
            {"O": ["Example"]},
            [O, (*O, _ASN1Type.PrintableString), (O[0], "x", _ASN1Type.PrintableString)],
            "O=x",
        ),
        ({"OU": ["team-%"]}, [(OU[0], "team-red")], None),
        ({"OU": ["team-%"]}, [(OU[0], "team-")], "OU=team-"),
        ({"OU": ["team-%"]}, [(OU[0], "a team-red")], "OU=a team-red"),
        ({"OU": ["%"]}, [(OU[0], "system:masters")], None),
        ({"O": ["system:%"]}, [(O[0], "system:a:b")], "O=system:a:b"),
        (
            {"E": ["%@example.com"]},
            [(NameOID.EMAIL_ADDRESS, "first.last@example.com")],
            None,
        ),
        (
            {"E": ["%@example.com"]},
            [(NameOID.EMAIL_ADDRESS, "ceo@evil.org@example.com")],
            "emailAddress=ceo@evil.org@example.com",
        ),
        ({str(UNKNOWN.dotted_string): ["x"]}, [(UNKNOWN, "x")], None),
        ({"O": ["%"]}, [(UNKNOWN, "x")], f"{UNKNOWN.dotted_string}=x"),
        ({"CN": ["www.example.com"]}, [], None),
        ({"CN": ["%.example.org"]}, [], "CN=www.example.com"),
    ],
)
def test_the_validator_rejects_unlisted_attributes(allowed, parts, refused):
    a_policy = make_policy({"subject_attributes": {"allowed": allowed}})

    found = refusals(a_policy, a_csr(*parts, CN))

    if refused is None:
        assert {} == found
    else:
        assert f"{refused!a}" in found["subject_attributes"]


def test_missing_required_attributes_are_rejected():
    allowed = {"O": ["Example"], "C": ["DE"]}
    a_policy = make_policy({"subject_attributes": {"allowed": allowed, "required": ["C", "O"]}})

    assert {} == refusals(a_policy, a_csr((NameOID.COUNTRY_NAME, "DE"), O, CN))
    assert "missing" in refusals(a_policy, a_csr(O, CN))["subject_attributes"]
    both = refusals(a_policy, a_csr(OU, CN))["subject_attributes"]
    assert "'C', 'O'" in both
    assert "'OU=Web'" in both


@pytest.mark.parametrize(
    "options",
    [
        {"allowed": {"nonsense": ["%"]}},
        {"allowed": {"O": "Example"}},
        {"allowed": {"O": ["%a%"]}},
        {"allowed": {"O": ["a\nb"]}},
        {"allowed": {"E": ["%"], "emailAddress": ["%"]}},
        {"allowed": ["O"]},
        {"required": ["nonsense"]},
    ],
)
def test_invalid_options_of_the_validator_are_rejected(options):
    assert config_errors({"subject_attributes": options}).startswith(
        "validators.subject_attributes"
    )


# ---- the fixup


@pytest.mark.parametrize(
    ("options", "parts", "expected"),
    [
        ({}, [O, OU], []),
        ({"keep": {"O": ["%"]}}, [O, OU], [O]),
        ({"keep": {"O": ["Other"]}}, [O], []),
        ({"keep": {"OU": ["%"]}}, [[O, OU], (OU[0], "2")], [OU, (OU[0], "2")]),
        ({"fixed": {"O": "Example"}}, [], [O]),
        ({"fixed": {"O": "Example"}}, [O], [O]),
        ({"fixed": {"O": "Example"}}, [(O[0], "system:masters"), OU], [O]),
        (
            {"fixed": {"O": "Example"}, "keep": {"O": ["%"], "OU": ["Web"]}},
            [(O[0], "x"), OU],
            [O, OU],
        ),
        (
            {"fixed": {"DC": ["com", "example"]}},
            [],
            [(NameOID.DOMAIN_COMPONENT, "com"), (NameOID.DOMAIN_COMPONENT, "example")],
        ),
    ],
)
def test_the_fixup_keeps_listed_attributes_and_sets_fixed_ones(options, parts, expected):
    a_policy = make_policy({}, {"subject_attributes": options})

    approved = approve(a_policy, a_csr(*parts, CN))

    assert [*expected, CN] == subject_of(approved)
    again = make_policy({}, {"subject_attributes": options}).evaluate(
        X509Csr.from_pem(a_csr(*expected, CN)), make_context()
    )
    assert [*expected, CN] == subject_of(again.approved)


def test_values_set_by_the_authority_satisfy_its_validator(serve, document, audit):
    authority = document["registration_authority"]["default"]
    authority["validators"] = {
        "subject_attributes": {"allowed": {"O": ["Example"]}, "required": ["O"]}
    }
    authority["fixups"] = {"subject_attributes": {"fixed": {"O": "Example"}}}
    service = serve(document)

    for parts in ([], [O], [(O[0], "system:masters"), OU]):
        assert [O, CN] == subject_of(service.issue(a_csr(*parts, CN)))
    assert ["O=system:masters", "OU=Web"] == audit.events()[-1]["dropped_subject_attributes"]


# ---- no unlisted attribute is certified


@pytest.mark.parametrize(
    ("validators", "fixups"),
    [
        ({}, {}),
        ({"subject_attributes": {"allowed": {"O": ["Other"]}}}, {}),
        ({}, {"subject_attributes": {"keep": {"O": ["Other"]}, "fixed": {"C": "DE"}}}),
    ],
)
def test_a_third_party_fixup_cannot_add_unlisted_attributes(serve, document, validators, fixups):
    authority = document["registration_authority"]["default"]
    authority["validators"] = validators
    authority["fixups"] = fixups | {"third_party_organisation": {"name": "system:masters"}}

    answer = serve(document).sign(a_csr(CN), status=400)

    assert "named_attributes: " in answer.text
    assert "O=system:masters" in answer.text


def _is_printable_string(text):
    return text.isascii() and text.replace("-", "").isalnum()


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)
ATTRIBUTE = st.tuples(
    st.sampled_from([oid for oid in OTHERS if oid != NameOID.COUNTRY_NAME] + [CN[0]]),
    TEXT | st.sampled_from(["Example", "system:masters", "team-red"]),
    st.sampled_from([_ASN1Type.UTF8String, _ASN1Type.PrintableString]),
).filter(lambda item: item[2] is _ASN1Type.UTF8String or _is_printable_string(item[1]))
NAMED = {"O": ["Example"], "OU": ["team-%"]}


@pytest.mark.slow
@given(
    st.lists(st.lists(ATTRIBUTE, min_size=1, max_size=3, unique_by=lambda a: a[0]), max_size=4),
    st.sampled_from(
        [
            ({}, {}),
            ({"subject_attributes": {"allowed": NAMED}}, {}),
            ({}, {"subject_attributes": {"keep": NAMED}}),
            ({}, {"subject_attributes": {"keep": NAMED, "fixed": {"O": "Example"}}}),
        ]
    ),
)
def test_a_certificate_has_only_listed_attributes(parts, sections):
    try:
        csr = X509Csr.from_pem(a_csr(*parts))
    except UnreadableRequest:
        # Letters that are invalid in an e-mail address or a country code.
        return
    judgement = make_policy(*sections).evaluate(csr, make_context())

    if judgement.approved is not None:
        for attribute in judgement.approved.subject:
            is_named = sections != ({}, {}) and (
                (attribute.oid == O[0] and attribute.value == "Example")
                or (attribute.oid == OU[0] and attribute.value.startswith("team-"))
            )
            assert attribute.oid == CN[0] or is_named


# ---- intermediates


def test_an_intermediate_keeps_listed_attributes_and_needs_a_subject(serve, document):
    authority = document["registration_authority"]["default"]
    authority["validators"] = {"ca_status": {"ca_requested": True}}
    constraints = x509.BasicConstraints(True, 0)

    def request(*parts):
        names = x509.Name([x509.NameAttribute(*part) for part in parts])
        builder = x509.CertificateSigningRequestBuilder(names).add_extension(constraints, True)
        return builder.sign(shared_key(), hashes.SHA256()).public_bytes(Encoding.PEM)

    service = serve(document)
    assert [CN] == subject_of(service.issue(request(O, CN)))
    assert "its subject is empty" in service.sign(request(O), status=400).text

    authority["fixups"] = {"subject_attributes": {"keep": {"O": ["Example"]}}}
    service = serve(document)
    assert [O, CN] == subject_of(service.issue(request(O, CN)))
    assert [O] == subject_of(service.issue(request(O)))


# ---- descriptions


def test_explain_shows_dropped_attributes(document, tmp_path, capsys):
    config, csr = tmp_path / "config.json", tmp_path / "request.csr"
    config.write_text(json.dumps(document))
    csr.write_bytes(a_csr(O, (NameOID.USER_ID, "root"), CN))

    assert 0 == main.main(["explain", "--config", str(config), str(csr)])
    text = capsys.readouterr().out
    assert 0 == main.main(["explain", "--config", str(config), "--json", str(csr)])
    report = json.loads(capsys.readouterr().out)

    assert "O=Example, UID=root" in text
    assert ["O=Example", "UID=root"] == report["certificate"]["dropped_subject_attributes"]
    assert "CN=www.example.com" == report["certificate"]["subject"]
    assert {
        "fixup": "subject_attributes",
        "verdict": "changed",
        "changes": ["makes the subject CN=www.example.com"],
    } in report["fixups"]


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attribute_names_are_recognised_in_any_case(name):
    oid = ATTRIBUTES[name]

    assert oid == attribute_oid(name.upper()) == attribute_oid(oid.dotted_string)
    assert attribute_oid(name_of_attribute(oid)) == oid


@pytest.mark.parametrize("name", ["", "nonsense", "2.5.4.010", "9.9", "\N{KELVIN SIGN}"])
def test_unknown_attribute_names_are_rejected(name):
    with pytest.raises(ValueError, match=r"is neither|is not an OID"):
        attribute_oid(name)


@given(TEXT, TEXT, TEXT)
def test_a_percent_sign_stands_for_at_least_one_character(before, part, after):
    pattern = f"{before}%{after}"
    if "%" in before + after:
        return
    parsed = ValuePattern.parse(pattern)
    assert not parsed.matches(before + after)
    if not set(part) & set('@:/\\,+=;<>"'):
        assert parsed.matches(before + part + after)


PATTERN = st.lists(st.sampled_from(["a", "b", "ab", "%", ":"]), min_size=1, max_size=4).map("".join)


@given(
    st.lists(PATTERN.filter(lambda text: text.count("%") < 2), max_size=6),
    st.text("ab:", min_size=1, max_size=6),
)
def test_an_attribute_has_a_listed_value_if_one_of_its_patterns_matches(patterns, value):
    parsed = [ValuePattern.parse(pattern) for pattern in patterns]
    listed = AttributePatterns.parse({"O": parsed})
    attribute = x509.NameAttribute(NameOID.ORGANIZATION_NAME, value)
    assert listed.has(attribute) == any(pattern.matches(value) for pattern in parsed)
