"""No spelling and no name type evades a ban or a deny-list."""

from __future__ import annotations

import contextlib
import datetime
import functools
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from anchor.auth.results import AuthDetails
from anchor.cli import main
from anchor.policy.policy import load_policy
from anchor.store.bans import Ban
from anchor.store.database.bans import Bans
from anchor.X509 import der_texts
from anchor.X509.general_name_text import describe
from anchor.X509.general_names import interpret_names
from anchor.X509.name_parsing import parse_name
from tests.support import der
from tests.support.database import ban_names, make_database
from tests.support.pki import hash_for, make_csr, shared_key
from tests.support.policies import make_policy, refusals

HOST, ADDRESS, MAILBOX = "www.evil.example", "127.0.0.1", "eve@evil.example"
BLACKLIST = {
    "blacklist_names": {"domains": [".evil.example"], "networks": ["127.0.0.0/8", "2001:db8::/32"]}
}
U_HOST = "bücher.evil.example"


def uri(text):
    return x509.UniformResourceIdentifier(text)


def mail(text):
    """An rfc822Name, also one that the library does not encode."""
    return x509.RFC822Name._init_without_validation(text)


def directory_name(*attributes):
    return x509.DirectoryName(
        x509.Name([x509.NameAttribute(x509.ObjectIdentifier(o), v) for o, v in attributes])
    )


def other_name(oid, value):
    return x509.OtherName(x509.ObjectIdentifier(oid), value)


def utf8(text):
    return der.tlv(der.UTF8, text.encode())


UPN, XMPP, SRV = "1.3.6.1.4.1.311.20.2.3", "1.3.6.1.5.5.7.8.5", "1.3.6.1.5.5.7.8.7"
NAI_REALM, SMTP_UTF8 = "1.3.6.1.5.5.7.8.8", "1.3.6.1.5.5.7.8.9"
KERBEROS = "1.3.6.1.5.2.2"
CN, DC, UID = "2.5.4.3", "0.9.2342.19200300.100.1.25", "0.9.2342.19200300.100.1.1"
EMAIL, UNSTRUCTURED_NAME = "1.2.840.113549.1.9.1", "1.2.840.113549.1.9.2"
UNSTRUCTURED_ADDRESS = "1.2.840.113549.1.9.8"


def principal(realm, *components, tag=0x1B):
    return other_name(
        KERBEROS,
        der.sequence(
            der.context(0, der.tlv(tag, realm.encode())),
            der.context(
                1,
                der.sequence(
                    der.context(0, der.integer(1)),
                    der.context(1, der.sequence(*(der.tlv(tag, c.encode()) for c in components))),
                ),
            ),
        ),
    )


def spellings(host):
    """Spellings that some program reads as this host."""
    full_width = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in host)
    yield from (host, host.upper(), f"{host}.", f"{host}..", f" {host}", full_width)
    yield host.replace(".", "\N{IDEOGRAPHIC FULL STOP}")
    yield host.replace(".", "\N{HALFWIDTH IDEOGRAPHIC FULL STOP}")


OF_A_HOST = [
    *(make_csr(text) for text in spellings(HOST)),
    *(make_csr(f"HTTP/{text}@REALM") for text in spellings(HOST)),
    *(make_csr(None, principal("REALM", "HTTP", text)) for text in spellings(HOST)),
    *(make_csr(None, other_name(UPN, utf8(f"host/{text}@ad"))) for text in spellings(HOST)),
    *(make_csr(None, other_name(XMPP, utf8(text))) for text in spellings(HOST)),
    *(make_csr(None, other_name(NAI_REALM, utf8(text))) for text in spellings(HOST)),
    *(make_csr(None, directory_name((CN, text))) for text in spellings(HOST)),
    *(make_csr(None, directory_name((UNSTRUCTURED_NAME, text))) for text in spellings(HOST)),
    make_csr(None, HOST.upper()),
    make_csr(None, f"{HOST}."),
    make_csr(None, "*.evil.example"),
    make_csr(None, "w*.evil.example"),
    make_csr(f"https://{HOST}/"),
    make_csr(f"{HOST}:443"),
    make_csr(f"Host {HOST}"),
    make_csr(f"service:{HOST}"),
    make_csr(None, mail(f"a@{HOST}")),
    make_csr(None, mail(f"a@b@{HOST}")),
    make_csr(None, mail(f'"a b"@{HOST}')),
    make_csr(None, uri(f"https://{HOST}/x")),
    make_csr(None, uri(f"HTTPS://{HOST.upper()}")),
    make_csr(None, uri(f"https:{HOST}")),
    make_csr(None, uri(f"https:/{HOST}")),
    make_csr(None, uri(f"https:////{HOST}/")),
    make_csr(None, uri(f"https:\\\\{HOST}\\x")),
    make_csr(None, uri(f"//{HOST}/x")),
    make_csr(None, uri(HOST)),
    make_csr(None, uri(f"https://a:b@{HOST}:8443/x")),
    make_csr(None, uri(f"https://{HOST}\\@good.example/")),
    make_csr(None, uri(f"https://good.example%2F@{HOST}/")),
    make_csr(None, uri(f"mongodb://good.example:1,{HOST}:2/db")),
    make_csr(None, uri("https://%77ww.evil%2Eexample/")),
    make_csr(None, uri("https://%2577ww.evil.example/")),
    make_csr(None, uri("https:%2F%2Fwww.evil.example/")),
    make_csr(None, uri(f"sip:alice@{HOST};transport=tls?subject=x")),
    make_csr(None, uri(f"sips:{HOST}:5061")),
    make_csr(None, uri(f"xmpp:alice@{HOST}/phone")),
    make_csr(None, uri(f"mailto:a@good.example,b@{HOST}")),
    make_csr(None, uri(f"mailto:a@good.example?cc=b%40{HOST}&subject=x")),
    make_csr(None, uri(f"mailto:?to={HOST}")),
    make_csr(None, uri(f"ldap://{HOST}/dc=x??sub")),
    make_csr(None, uri(f"spiffe://{HOST}/ns/x")),
    make_csr(None, uri(f"tag:{HOST},2024:x")),
    make_csr(None, uri(f"view-source:https://{HOST}/")),
    make_csr(None, uri(f"jar:https://{HOST}!/x")),
    make_csr(None, uri(f"dns://192.0.2.1/{HOST}")),
    make_csr(None, uri(f"https://{HOST}%00.good.example/")),
    make_csr(None, uri(f"did:web:{HOST}")),
    make_csr(None, uri(f"{HOST}:443")),
    make_csr(None, uri(f"{HOST}:8443/x")),
    make_csr("w\N{VARIATION SELECTOR-16}ww.evil.example \u2ff0"),  # in no host name
    make_csr(f"'{HOST}'"),
    make_csr(f"{{{HOST}}}"),
    make_csr(f"{HOST}! (prod)"),
    make_csr(None, directory_name((DC, "example"), (DC, "evil"), (DC, "www"))),
    make_csr(None, directory_name((DC, "www"), (DC, "evil"), (DC, "example"))),
    make_csr(None, directory_name((DC, "example"), (DC, "evil"), (CN, "www"))),
    make_csr(None, directory_name((EMAIL, f"a@{HOST}"))),
    make_csr(None, directory_name((UID, f"host/{HOST}"))),
    make_csr(None, principal(HOST.upper(), "alice")),
    make_csr(None, principal("REALM", f"HTTP/{HOST}")),
    make_csr(None, other_name(UPN, utf8(f"alice@{HOST}"))),
    make_csr(None, other_name(XMPP, utf8(f"alice@{HOST}/phone"))),
    make_csr(None, other_name(NAI_REALM, utf8(f"alice@{HOST}"))),
    make_csr(None, other_name(SRV, der.tlv(der.IA5, f"_https.{HOST}".encode()))),
    make_csr(None, other_name(SRV, der.tlv(der.IA5, f"_https._tcp.{HOST}".encode()))),
    make_csr(None, other_name(SMTP_UTF8, utf8(f"älice@{HOST}"))),
]

OF_AN_ADDRESS = [
    *(make_csr(text) for text in spellings(ADDRESS)),
    *(
        make_csr(None, form)
        for text in ("127.1", "0x7f.1", "0x7F000001", "2130706433", "017700000001", "0177.0.0.01")
        for form in (
            x509.DNSName(text),
            uri(f"https://{text}/"),
            uri(f"https://{text}:8443"),
            uri(f"https:{text}"),
            mail(f"a@{text}"),
            directory_name((CN, text)),
            principal("REALM", "HTTP", text),
            other_name(UPN, utf8(f"host/{text}@ad")),
        )
    ),
    make_csr(None, "127.0.0.1"),
    make_csr(None, "::ffff:127.0.0.1"),
    make_csr("::ffff:7f00:1"),
    make_csr(None, uri("https://[::ffff:127.0.0.1]/")),
    make_csr(None, uri("https://[::ffff:7f00:1%25eth0]:8443/")),
    make_csr(None, uri("https://%31%32%37.0.0.1/")),
    make_csr(None, uri("https://127.0.0.1./")),
    make_csr(None, uri("sip:alice@127.0.0.1:5060")),
    make_csr(None, mail("a@[127.0.0.1]")),
    make_csr(None, mail("a@[IPv6:::ffff:127.0.0.1]")),
    make_csr(None, directory_name((UNSTRUCTURED_ADDRESS, "127.0.0.1"))),
]

OF_A_MAILBOX = [
    make_csr("Eve <eve@evil.example>"),
    *(
        make_csr(None, form)
        for text in (MAILBOX, MAILBOX.upper(), f"{MAILBOX}.")
        for form in (
            mail(text),
            uri(f"mailto:{text}"),
            uri(f"mailto:a@b.example,{text}?cc=c@d.example"),
            uri(f"xmpp:{text}/phone"),
            uri(f"sip:{text};x=y"),
            uri(f"mailto://{text}"),
            mail(text.replace("@", "(work)@")),
            mail(f'"{text}'.replace("@", '"@')),
            mail(f'"\\{text}'.replace("@", '"@')),
            uri(f"mailto:%22{text}".replace("@", "%22@")),
            directory_name((EMAIL, text)),
            directory_name((UID, text)),
            other_name(UPN, utf8(text)),
            other_name(XMPP, utf8(text)),
            other_name(NAI_REALM, utf8(text)),
            other_name(SMTP_UTF8, utf8(text)),
        )
    ),
]

OF_A_U_LABEL = [
    make_csr(U_HOST),
    make_csr("BÜCHER.EVIL.EXAMPLE"),
    make_csr("bu\N{COMBINING DIAERESIS}cher.evil.example"),
    make_csr(None, "xn--bcher-kva.evil.example"),
    make_csr(None, "XN--BCHER-KVA.evil.example"),
    make_csr(None, uri("https://b%C3%BCcher.evil.example/")),
    make_csr(None, uri("https://B%C3%9CCHER.evil.example/")),
    make_csr(None, other_name(SMTP_UTF8, utf8(f"a@{U_HOST}"))),
    make_csr(None, principal("REALM", "HTTP", U_HOST)),
    make_csr(None, directory_name((UNSTRUCTURED_NAME, U_HOST))),
]

NOT_UNDERSTOOD = [
    x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")),
    other_name("1.2.3.4", utf8("x")),
    other_name(UPN, utf8("alice")),
    other_name(UPN, der.tlv(der.IA5, b"alice@good.example")),
    other_name(UPN, der.tlv(der.UTF8, b"\xff@good.example")),
    other_name(UPN, der.sequence(utf8("alice@good.example"))),
    other_name(SRV, utf8("_https.good.example")),
    other_name(SMTP_UTF8, der.tlv(der.BMP, "a@good.example".encode("utf-16-be"))),
    other_name(KERBEROS, utf8("alice@GOOD.EXAMPLE")),
    principal("GOOD.EXAMPLE", "alice", tag=der.UTF8),
    uri("https://[broken"),
    uri("https://[v1.x]/"),
    uri("spiffe://good.example/ns/../x"),
    x509.DNSName("a." * 150 + "good.example"),
    x509.DNSName("a.*.good.example"),
]

HARMLESS = [
    make_csr("Example Server A"),
    make_csr("system:node:worker-1"),
    make_csr("Jürgen Müller-Lüdenscheidt"),
    make_csr("Product 2.0 [prod]"),
    make_csr("O'Neill, Shaquille (\N{GREEK SMALL LETTER ALPHA})"),
    make_csr("00:11:22:33:44:55"),
    make_csr("山田 太郎"),
    make_csr("good.example", "www.good.example", "*.good.example", "192.0.2.1"),
    make_csr("notevil.example"),
    make_csr(None, "evil.example.com"),
    make_csr(None, uri("urn:uuid:0e6b4c3a-0000-4000-8000-000000000000")),
    make_csr(None, uri("spiffe://good.example/www.evil.example")),
    make_csr(None, uri("https://good.example:8443/?x=www.evil.example#127.0.0.1")),
    make_csr(None, uri("file:///etc/hosts")),
    make_csr(None, uri("tel:+49-30-1234")),
    make_csr(None, mail("eve@good.example")),
    make_csr(None, mail("www.evil.example@good.example")),
    make_csr(None, other_name(UPN, utf8("pc1$@good.example"))),
    make_csr(None, other_name(SRV, der.tlv(der.IA5, b"_https.good.example"))),
    make_csr(None, principal("GOOD.EXAMPLE", "HTTP", "good.example")),
    make_csr(None, directory_name(("2.5.4.10", "www.evil.example Inc."), (CN, "Alice"))),
    make_csr(None, directory_name((DC, "com"), (DC, "evil-example"), (CN, "Users"))),
]


@pytest.fixture
def banning(tmp_path):
    """Returns the reason to reject a request while names are banned; None if it is accepted."""

    def refused(pem, *values):
        now = datetime.datetime.now(datetime.UTC)
        bans = ban_names(tmp_path, values, now)
        policy = load_policy({}, {}, frozenset({65537}), frozenset(), tmp_path, bans=bans)
        context = policy.context(AuthDetails("alice"), None, {})
        return refusals(policy, pem, context=context).get("not_banned")

    return refused


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "csr"),
    [
        *((HOST, csr) for csr in OF_A_HOST),
        *(("127.0.0.1", csr) for csr in OF_AN_ADDRESS),
        *((MAILBOX, csr) for csr in OF_A_MAILBOX),
        *((U_HOST, csr) for csr in OF_A_U_LABEL),
    ],
)
def test_a_ban_applies_to_every_spelling_and_name_type(banning, value, csr):
    assert "is banned" in banning(csr, value)
    assert banning(csr, "other.example") is None


@pytest.mark.parametrize("csr", [*OF_A_HOST, *OF_AN_ADDRESS, *OF_A_MAILBOX, *OF_A_U_LABEL])
def test_a_blacklist_applies_to_every_spelling_and_name_type(csr):
    assert refusals(make_policy(BLACKLIST), csr)


@pytest.mark.parametrize("name", NOT_UNDERSTOOD, ids=str)
def test_unreadable_names_are_rejected_if_names_are_denied(banning, name):
    csr = make_csr("good.example", name)

    assert "cannot be checked" in refusals(make_policy(BLACKLIST), csr)["blacklist_names"]
    refused = banning(csr, "x.example")
    assert "cannot be compared" in refused
    assert describe(name)[:100] in refused
    assert "Meaning" not in refused
    assert refusals(make_policy(), csr) == {}
    assert banning(csr) is None


@pytest.mark.parametrize("csr", HARMLESS)
def test_names_that_are_not_denied_are_accepted(banning, csr):
    assert refusals(make_policy(BLACKLIST), csr) == {}
    assert banning(csr, HOST, ".evil.example", ADDRESS, MAILBOX, "0.0.0.11", "2.0.0.0") is None


def subject_csr(*attributes):
    name = x509.Name([x509.NameAttribute(x509.ObjectIdentifier(o), v) for o, v in attributes])
    builder = x509.CertificateSigningRequestBuilder(name)
    return builder.sign(shared_key(), hash_for(shared_key())).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("value", "attributes"),
    [
        (HOST, [(DC, "example"), (DC, "evil"), (DC, "www")]),
        (HOST, [(DC, "example"), (DC, "evil"), (CN, "www")]),
        (HOST, [(DC, "www"), (DC, "evil"), (DC, "example")]),
        (HOST, [(CN, "Alice"), (EMAIL, f"alice@{HOST}")]),
        (HOST, [(CN, "Alice"), (UNSTRUCTURED_NAME, HOST)]),
        (HOST, [(CN, "Alice"), (UID, f"HTTP/{HOST}@REALM")]),
        (HOST, [(CN, "Alice"), (CN, HOST)]),
        (MAILBOX, [(CN, "Alice"), (EMAIL, MAILBOX.upper())]),
        (ADDRESS, [(CN, "Alice"), (UNSTRUCTURED_ADDRESS, "127.1")]),
    ],
)
def test_hosts_in_subject_attributes_are_checked_too(banning, value, attributes):
    csr = subject_csr(*attributes)

    kept = ["DC", "emailAddress", "unstructuredName", "UID", "unstructuredAddress"]
    keeping = {"subject_attributes": {"allowed": {name: ["%"] for name in kept}}}
    assert "is banned" in banning(csr, value)
    assert "blacklist_names" in refusals(make_policy(BLACKLIST | keeping), csr)
    assert banning(csr, "x.example") is None


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        ("spiffe://example.com/ns/a", uri("spiffe://example.com/ns/a"), True),
        ("spiffe://example.com/ns/a", uri("SPIFFE://Example.com/ns/%61/"), True),
        ("spiffe://example.com/ns/a", uri("spiffe://example.com/ns/b"), False),
        ("spiffe://example.com/", uri("spiffe://example.com/ns/b"), True),
        ("straße.example", x509.DNSName("xn--strae-oqa.example"), True),
        ("straße.example", uri("https://stra%C3%9Fe.example"), True),
        ("strasse.example", uri("https://stra%C3%9Fe.example"), True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        (".example.com", mail("a@b.example.com"), True),
        (".example.com", mail("a@example.com"), False),
        ("a@example.com", mail("b@example.com"), False),
        ("a@example.com", "example.com", False),
    ],
)
def test_a_ban_covers_exactly_its_names(banning, value, name, expected):
    assert expected == (banning(make_csr(None, name), value) is not None)


_hosts = st.from_regex(r"[a-z][a-z0-9-]{0,8}(\.[a-z][a-z0-9]{0,5}){1,3}", fullmatch=True)


@pytest.mark.slow
@given(host=_hosts, data=st.data())
def test_a_host_is_recognised_in_any_case_width_and_encoding(host, data):
    def spelled(character):
        forms = [character, character.upper(), f"%{ord(character):02x}"]
        if character == ".":
            forms += ["%E3%80%82", "%EF%BC%8E", "%EF%BD%A1"]
        else:
            forms.append("".join(f"%{o:02X}" for o in chr(ord(character) + 0xFEE0).encode()))
        return data.draw(st.sampled_from(forms))

    written = uri(f"https://{''.join(map(spelled, host))}/")

    [found] = interpret_names((), [written])
    assert found.meaning.hosts == [parse_name(host)]
    assert found.meaning.understood


@pytest.mark.parametrize(
    "name",
    ["not a name", "", ".", "a/b", "10.0.0.0/8", "w*.example.com", "a.*.com", "a..b", "*", "@b",
     "a@", "010.0.0.1", f"{'x' * 64}.com", ".10.0.0.1", ".*.example.com", "a b@c.example", "a, b",
     "a$b.com", "www.example.com!", "a\x00b", "www.exam\N{ZERO WIDTH SPACE}ple.com", "999.1.1.1",
     "a.1", "12345", "-", "urn:x:y", "http:www.example.com", "https://a b", "https://alice@www.example.com/",
     "..example.com", "a:b.example"],
)  # fmt: skip
def test_an_invalid_name_cannot_be_banned(service, capsys, name):
    config = ["--config", str(service.path / "config.json")]

    assert main.main(["ban", "name", name, *config]) == 1

    assert "is no name that can be banned: write a host" in capsys.readouterr().err
    assert Bans(make_database(service.path)).all() == []


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("WWW.example.com.", "www.example.com"),
        ("*.Example.com", "*.example.com"),
        (".Example.com", ".example.com"),
        ("127.1", "127.0.0.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("Alice@Example.com", "alice@example.com"),
        ("https://www.example.com:8443/", "www.example.com"),
        ("spiffe://example.com/ns/x", "spiffe://example.com/ns/x"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_a_ban_is_stored_in_canonical_form_and_lifted_in_any(service, written, stored):
    config = ["--config", str(service.path / "config.json")]

    assert main.main(["ban", "name", written, *config]) == 0
    bans = Bans(make_database(service.path))
    assert [ban.value for ban in bans.all()] == [stored]
    assert main.main(["unban", "name", written, *config]) == 0
    assert bans.all() == []


def test_a_ban_that_is_no_longer_valid_can_be_lifted(service):
    now = datetime.datetime.now(datetime.UTC)
    old = Ban(kind="name", value="not a name", since=now).model_dump(mode="json")
    (service.path / "bans.json").write_text(json.dumps([old]))
    config = ["--config", str(service.path / "config.json")]

    assert main.main(["unban", "name", "Not a name", *config]) == 0
    assert Bans(make_database(service.path)).all() == []


CONTROLS = ["\x00", "\n", "\x1b[31m", "\x7f", "\u202e", "\u200b"]


@pytest.mark.parametrize("character", CONTROLS, ids=ascii)
@pytest.mark.parametrize(
    "wrapped",
    [
        lambda text: principal("REALM", "HTTP", text),
        lambda text: principal(text, "HTTP"),
        lambda text: other_name("1.2.3", der.sequence(der.context(0, utf8("a"), utf8(text)))),
        lambda text: other_name("1.2.3", der.context(0, der.set_of(utf8(text)))),
        lambda text: other_name(
            "1.2.3", der.sequence(der.integer(1), der.tlv(der.BMP, text.encode("utf-16-be")))
        ),
        lambda text: other_name(
            "1.2.3", der.sequence(der.tlv(der.UNIVERSAL, text.encode("utf-32-be")))
        ),
    ],
)
def test_a_control_character_is_rejected_at_any_depth_of_a_name(character, wrapped):
    assert refusals(make_policy(), make_csr("a.example", wrapped("good"))) == {}

    refused = refusals(make_policy(), make_csr("a.example", wrapped(f"a{character}b")))

    assert "control character" in refused["printable_names"]


@pytest.mark.parametrize(
    "value",
    [
        b"0\x03\x0c\x05a",
        b"0\x04\x0c\x81\x80a",
        b"0\x03\x0c\x80a",
        b"0\x02\x1f\xff",
        der.sequence(*[utf8("a")] * 12_000),
        functools.reduce(lambda inner, _: der.sequence(inner), range(20), utf8("a")),
    ],
    ids=range(6),
)
def test_an_other_name_that_cannot_be_read_is_rejected(value):
    refused = refusals(make_policy(), make_csr("a.example", other_name("1.2.3", value)))

    assert "an otherName cannot be read" in refused["printable_names"]


@given(st.binary(max_size=60))
def test_reading_texts_ends_for_any_bytes(octets):
    with contextlib.suppress(ValueError):
        list(der_texts.texts([octets]))


def test_an_ipv4_mapped_address_is_rejected_unless_allowed():
    csr = make_csr("a.example", "::ffff:192.0.2.1", "2001:db8::1", "192.0.2.1")

    strict = refusals(make_policy({"standards_compliance": {}}), csr)
    assert "IPv4-mapped: ask for 192.0.2.1" in strict["standards_compliance"]
    allowing = {"standards_compliance": {"allow_ipv4_mapped": True}}
    assert refusals(make_policy(allowing), csr) == {}
