"""Names in any string type are certified as the same text in a type of RFC 5280."""

from __future__ import annotations

import itertools
import json
import string

import pytest
from cryptography import x509
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from anchor.cli import main
from anchor.errors import UnreadableRequest
from anchor.X509.attribute_names import name_of_attribute
from anchor.X509.csr_reader import read_csr
from tests.support import der
from tests.support.der import BMP, IA5, NUMERIC, PRINTABLE, TELETEX, UNIVERSAL, UTF8, VISIBLE
from tests.support.pki import assert_is_leaf, shared_key, without_length_warnings
from tests.support.properties import examples
from tests.unit.X509.test_hostile_properties import BURST
from tests.unit.X509.test_hostile_requests import post_bare
from tests.vectors import make

CN, ORGANISATION, OU = "2.5.4.3", "2.5.4.10", "2.5.4.11"
COUNTRY, SERIAL_NUMBER, DN_QUALIFIER = "2.5.4.6", "2.5.4.5", "2.5.4.46"
EMAIL, DC, UID = "1.2.840.113549.1.9.1", "0.9.2342.19200300.100.1.25", "0.9.2342.19200300.100.1.1"
UNSTRUCTURED_NAME, UNKNOWN = "1.2.840.113549.1.9.2", "1.3.6.1.4.1.99999.1"

# Every subject attribute of these tests.
NAMED = [ORGANISATION, OU, COUNTRY, SERIAL_NUMBER, DN_QUALIFIER, EMAIL, DC, UID, UNSTRUCTURED_NAME,
         UNKNOWN, "2.5.4.7", "2.5.4.12", "2.5.4.20"]  # fmt: skip


@pytest.fixture
def document(document):
    """A configuration that keeps the subjects of requests as they are."""
    validators = document["registration_authority"]["default"]["validators"]
    validators["subject_attributes"] = {"allowed": {oid: ["%"] for oid in NAMED}}
    return document


CODECS = {
    UTF8: "utf-8",
    NUMERIC: "ascii",
    PRINTABLE: "ascii",
    TELETEX: "ascii",
    IA5: "ascii",
    VISIBLE: "ascii",
    UNIVERSAL: "utf-32-be",
    BMP: "utf-16-be",
}


def characters(**limits):
    return st.characters(**limits).filter(str.isprintable)


IN_PRINTABLE = st.sampled_from(string.ascii_letters + string.digits + " '()+,-./:=?")
IN_ASCII = characters(codec="ascii")
ANY = characters(codec="utf-8", exclude_categories=["C"])
ALPHABETS = {
    UTF8: ANY,
    NUMERIC: st.sampled_from(string.digits + " "),
    PRINTABLE: IN_PRINTABLE,
    TELETEX: IN_ASCII,
    IA5: IN_ASCII,
    VISIBLE: IN_ASCII,
    UNIVERSAL: ANY,
    BMP: characters(max_codepoint=0xFFFF, exclude_categories=["C"]),
}


def value(text, tag):
    return text.encode(CODECS[tag])


@st.composite
def directory_strings(draw):
    """An attribute with any text in any string type: its OID, text and tag."""
    tag = draw(st.sampled_from(sorted(ALPHABETS)))
    text = draw(st.text(ALPHABETS[tag], min_size=1, max_size=64))
    return draw(st.sampled_from([CN, ORGANISATION, OU, UID, "2.5.4.7", "2.5.4.12"])), text, tag


def types_in(name):
    """The attributes of a name in DER as (OID, tag, contents), without the library."""

    def items(octets):
        found = []
        while octets:
            size, header = octets[1], 2
            if size & 0x80:
                header = 2 + (size & 0x7F)
                size = int.from_bytes(octets[2:header], "big")
            found.append((octets[0], octets[header : header + size], octets[: header + size]))
            octets = octets[header + size :]
        return found

    [(_, rdns, _)] = items(name)
    for _, rdn, _ in items(rdns):
        encoded = [whole for _, _, whole in items(rdn)]
        # X.690 11.6
        assert sorted(encoded) == encoded
        for _, attribute, _ in items(rdn):
            (_, _, oid), (tag, contents, _) = items(attribute)
            yield oid, tag, contents


def subject_of(certificate):
    with without_length_warnings():
        return certificate.subject


def certified(service, ca, subject, *attributes):
    # A certificate needs a name, and attributes such as O do not count.
    named = der.extension_request(der.alternative_names(der.dns("www.example.com")))
    answer = post_bare(service, der.request(make.ED, subject, *(attributes or [named])))

    assert 200 == answer.status_int, answer.text
    certificate = x509.load_pem_x509_certificate(answer.body)
    with without_length_warnings():
        assert_is_leaf(certificate, issued_by=ca)
    return certificate


@settings(BURST, max_examples=examples(150))
@given(wanted=st.lists(directory_strings(), min_size=1, max_size=4))
def test_any_text_in_any_string_type_is_certified_as_utf8_or_printable(service, ca, wanted):
    subject = der.name(*((oid, value(text, tag), tag) for oid, text, tag in wanted))

    certificate = certified(service, ca, subject)

    name = subject_of(certificate)
    assert [text for _, text, _ in wanted] == [attribute.value for attribute in name]
    expected = [
        (der.oid(oid), tag if tag == PRINTABLE else UTF8, text.encode())
        for oid, text, tag in wanted
    ]
    assert expected == list(types_in(name.public_bytes()))


@settings(BURST, max_examples=examples(100))
@given(wanted=st.lists(directory_strings(), min_size=1, max_size=3))
def test_a_directory_name_is_certified_in_the_same_types(service, ca, wanted):
    name = der.name(*((oid, value(text, tag), tag) for oid, text, tag in wanted))
    extension = der.alternative_names(der.dns("www.example.com"), der.context(4, name))

    certificate = certified(service, ca, None, der.extension_request(extension))

    with without_length_warnings():
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert ["www.example.com"] == names.get_values_for_type(x509.DNSName)
        [directory] = names.get_values_for_type(x509.DirectoryName)
    assert [
        (der.oid(oid), tag if tag == PRINTABLE else UTF8, text.encode())
        for oid, text, tag in wanted
    ] == list(types_in(directory.public_bytes()))


@settings(BURST, max_examples=examples(100))
@given(units=st.lists(directory_strings(), min_size=2, max_size=6))
def test_an_rdn_can_have_several_values_but_no_duplicates(service, ca, units):
    rdn = [(OU, value(text, tag), tag) for _, text, tag in units]
    texts = [text for _, text, _ in units]

    octets = der.request(make.ED, der.name(rdn, "www.example.com"))

    if len(set(texts)) < len(texts):
        assert "OU in the subject has the same value twice" in post_bare(service, octets).text
        return
    certificate = x509.load_pem_x509_certificate(post_bare(service, octets).body)
    several, single = subject_of(certificate).rdns
    assert sorted(texts) == sorted(attribute.value for attribute in several)
    assert ["www.example.com"] == [attribute.value for attribute in single]
    assert len(units) + 1 == len(list(types_in(subject_of(certificate).public_bytes())))


@pytest.mark.parametrize("tag", sorted(CODECS))
@pytest.mark.parametrize(
    ("oid", "text", "wanted"),
    [
        (COUNTRY, "DE", PRINTABLE),
        (SERIAL_NUMBER, "A-1", PRINTABLE),
        (DN_QUALIFIER, "A=1", PRINTABLE),
        (DC, "example", IA5),
        (EMAIL, "a.b", IA5),
    ],
)
def test_attributes_with_a_fixed_syntax_use_its_string_type(service, ca, oid, text, wanted, tag):
    if tag == NUMERIC:
        text = "49"

    certificate = certified(service, ca, der.name("a", (oid, value(text, tag), tag)))

    assert (der.oid(oid), wanted, text.encode()) in list(
        types_in(subject_of(certificate).public_bytes())
    )


@pytest.mark.parametrize("oid", [CN, ORGANISATION, UNKNOWN])
@pytest.mark.parametrize("text", ["*.example.com", "A & B"])
def test_a_wildcard_as_printable_string_is_certified_as_utf8(service, ca, oid, text):
    certificate = certified(service, ca, der.name((oid, text, PRINTABLE)))

    assert [(der.oid(oid), UTF8, text.encode())] == list(
        types_in(subject_of(certificate).public_bytes())
    )


@pytest.mark.parametrize("oid", [UNSTRUCTURED_NAME, UNKNOWN, "2.5.4.20"])
@pytest.mark.parametrize("tag", sorted(CODECS))
def test_an_attribute_of_unknown_syntax_keeps_a_current_type(service, ca, oid, tag):
    certificate = certified(service, ca, der.name("a", (oid, value("0815", tag), tag)))

    kept = tag if tag in {UTF8, PRINTABLE, IA5, NUMERIC, VISIBLE} else UTF8
    assert (der.oid(oid), kept, b"0815") in list(types_in(subject_of(certificate).public_bytes()))


@BURST
@given(
    oid=st.sampled_from([CN, ORGANISATION, COUNTRY, SERIAL_NUMBER, EMAIL, DC, UNKNOWN]),
    tag=st.sampled_from(sorted(CODECS)) | st.integers(0, 255),
    octets=st.binary(max_size=140)
    | st.text(max_size=70).map(lambda text: text.encode("utf-16-be")),
)
def test_any_value_is_harmless(service, ca, oid, tag, octets):
    with without_length_warnings():
        answer = post_bare(service, der.request(make.ED, der.name((oid, octets, tag))))
        if answer.status_int == 200:
            [attribute] = x509.load_pem_x509_certificate(answer.body).subject
            assert octets.decode(CODECS[tag]) == attribute.value
            assert attribute.value.isprintable()
        else:
            assert 400 == answer.status_int
            assert answer.text.isascii()


@pytest.mark.parametrize(
    ("letter", "tag"),
    [
        *itertools.product(["a", "\u00e9", "\u0416", "\u4e2d"], [UTF8, UNIVERSAL, BMP]),
        ("\U0001f600", UTF8),
        ("\U0001f600", UNIVERSAL),
    ],
)
def test_a_common_name_is_limited_to_64_characters_not_bytes(service, ca, letter, tag):
    certificate = certified(service, ca, der.name((CN, value(letter * 64, tag), tag)))

    assert [letter * 64] == [attribute.value for attribute in subject_of(certificate)]
    answer = post_bare(service, der.request(make.ED, der.name((CN, value(letter * 65, tag), tag))))
    assert (400, True) == (
        answer.status_int,
        "CN in the subject is 65 characters long, not 1 to 64" in answer.text,
    )


@pytest.mark.parametrize("letter", ["\u0416", "\U0001f600"])
def test_long_names_are_issued_explained_and_listed_without_a_warning(
    service, ca, capsys, tmp_path, letter
):
    # Warnings are errors in tests.
    name = der.name((CN, value(letter * 64, UTF8), UTF8))
    extension = der.extension_request(der.alternative_names(der.context(4, name)))
    octets = der.request(make.ED, name, extension)
    (tmp_path / "request.der").write_bytes(octets)
    config = ["--config", str(service.path / "config.json")]

    certificate = certified(service, ca, name, extension)
    assert 0 == main.main(["explain", *config, str(tmp_path / "request.der")])
    capsys.readouterr()
    assert 0 == main.main(["certs", "--json", *config])

    assert [letter * 64] == [attribute.value for attribute in subject_of(certificate)]
    assert f"CN:{letter * 64}" in json.loads(capsys.readouterr().out)["names"]


def refusal(*parts):
    with pytest.raises(UnreadableRequest) as refused:
        read_csr(der.request(make.ED, der.name(*parts)), "der")
    return str(refused.value)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (
            (ORGANISATION, b"a\xff", TELETEX),
            "O in the subject, which is of the type TeletexString, has the byte",
        ),
        ((OU, b"a@b", PRINTABLE), "has the character '@': send a UTF8String"),
        ((OU, b"a\n", VISIBLE), r"has the character '\n': send a UTF8String"),
        ((ORGANISATION, b"a1", NUMERIC), "O in the subject, which is of the type NumericString"),
        ((ORGANISATION, b"\xc3", UTF8), "O in the subject is not a valid UTF8String"),
        (
            (COUNTRY, b"D_", UTF8),
            "C in the subject has the character '_', which no PrintableString",
        ),
        (
            (EMAIL, "\u202e@b".encode(), UTF8),
            r"emailAddress in the subject has the character '\u202e'",
        ),
        (
            (DC, "\u00e9".encode(), UTF8),
            r"DC in the subject has the character '\xe9', which no IA5",
        ),
        ((UNKNOWN, b"", 0x05), f"{UNKNOWN} in the subject is of the type NULL"),
        ((UNKNOWN, b"", 0x9E), f"{UNKNOWN} in the subject is of the type [0x9e]: send a UTF8"),
    ],
)
def test_a_rejection_names_the_attribute_and_the_character(part, words):
    reason = refusal(part)

    assert words in reason
    assert reason.isascii()
    assert reason.isprintable()


def test_attributes_are_shown_by_short_name():
    dotted = ["2.5.4.3", "2.5.4.10", "2.5.4.11", "2.5.4.6", "2.5.4.5", EMAIL, DC, UID, UNKNOWN]

    assert ["CN", "O", "OU", "C", "serialNumber", "emailAddress", "DC", "UID", UNKNOWN] == [
        name_of_attribute(x509.ObjectIdentifier(oid)) for oid in dotted
    ]


ATTRIBUTES = (
    der.extension_request(der.alternative_names(der.dns("www.example.com"))),
    der.attribute("1.2.840.113549.1.9.7", der.tlv(UTF8, b"a challenge")),
    der.attribute("1.3.6.1.4.1.311.13.2.3", der.tlv(IA5, b"10.0.20348.2")),
    der.attribute("1.2.840.113549.1.9.2", der.tlv(UTF8, b"a name")),
)


@settings(BURST, max_examples=examples(60))
@given(order=st.permutations(ATTRIBUTES), kind=st.sampled_from(["ed25519", "rsa-2048", "ec-p256"]))
def test_the_order_of_attributes_does_not_matter(service, ca, order, kind):
    key = shared_key(kind)
    body = der.unsorted_info(der.name("www.example.com"), der.public_key_info(key), *order)
    octets = der.signed(body, *der.sign(key, body))

    for contents in (octets, der.cmc(octets)):
        answer = post_bare(service, contents)

        assert 200 == answer.status_int, answer.text
        certificate = x509.load_pem_x509_certificate(answer.body)
        assert_is_leaf(certificate, issued_by=ca)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert ["www.example.com"] == names.get_values_for_type(x509.DNSName)


@settings(BURST, max_examples=examples(60))
@given(
    order=st.permutations(ATTRIBUTES).filter(lambda order: sorted(order) != list(order)),
    other=st.permutations(ATTRIBUTES),
)
def test_the_signature_covers_the_attributes_as_submitted(service, order, other):
    assume(order != other)
    key = shared_key("ed25519")
    bodies = [
        der.unsorted_info(der.name("www.example.com"), der.public_key_info(key), *attributes)
        for attributes in (order, other)
    ]

    answer = post_bare(service, der.signed(bodies[0], *der.sign(key, bodies[1])))

    assert 400 == answer.status_int
    assert "the request is not signed with its own key" in answer.text


def test_the_signature_covers_the_names_as_submitted(service):
    converted = der.name((CN, b"www.example.com", UTF8))
    submitted = der.name((CN, b"www.example.com", IA5))
    signed, sent = (der.info(name, der.public_key_info(make.ED)) for name in (converted, submitted))

    answer = post_bare(service, der.signed(sent, *der.sign(make.ED, signed)))

    assert 400 == answer.status_int
    assert "the request is not signed with its own key" in answer.text


@pytest.mark.parametrize("critical", [b"", der.tlv(0x01, b"\x00"), der.TRUE])
def test_an_explicit_critical_flag_changes_nothing(service, ca, critical):
    san = der.sequence(
        der.oid(der.SAN), critical, der.octets(der.sequence(der.dns("www.example.com")))
    )
    certificate = certified(service, ca, None, der.extension_request(san))

    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    # RFC 5280 4.2.1.6: the subject is not empty.
    assert not found.critical


@settings(BURST, max_examples=examples(25))
@given(texts=st.permutations(["Web", "Ops", "A", "Longer than the others"]))
def test_an_rdn_is_certified_in_der_order(service, ca, texts):
    unsorted = der.tlv(0x31, *(der.attribute_value(OU, text) for text in texts))

    certificate = certified(service, ca, der.sequence(unsorted))

    in_order = der.name([(OU, text) for text in texts])
    assert list(types_in(certificate.subject.public_bytes())) == list(types_in(in_order))
