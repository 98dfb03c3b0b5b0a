"""Names that are bound to the requester, or to the credential."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from anchor.auth.results import AuthDetails
from anchor.policy.checks import Context
from anchor.store.bans import NoBans, RequestBans
from anchor.timestamps import utc_now
from anchor.X509.allowed_names import AllowedNames
from anchor.X509.requested_names import NameKind, RequestedName, literal_name
from tests.support.pace import assert_cpu_below
from tests.support.pki import make_csr, names_of, shared_key, subject
from tests.support.policies import config_errors, make_policy, refusals
from tests.support.properties import examples
from tests.unit.X509.test_general_names import UPN, other_name, utf8

ISSUE = [
    *("{username}.example.com", "{username}-%.example.com", "{group}.svc.example.com"),
    "{claim:project}.ci.example.com",
]
ALICE = AuthDetails("alice", ["web", "Domain Users"], claims={"project": "shop"})


def asking(identity):
    return Context(
        auth_result=identity, request=None, conf={}, bans=RequestBans(NoBans(), utc_now())
    )


def reasons(validators, csr, identity, fixups=None):
    return refusals(make_policy(validators, fixups), csr, context=asking(identity))


def is_allowed(csr, identity, **options):
    return reasons({"requester_names": options}, csr, identity) == {}


def csr_for(*names, common_name=None):
    return make_csr(common_name, *names)


# ---- names with placeholders


@pytest.mark.parametrize(
    "name",
    [
        *("alice.example.com", "ALICE.example.com", "alice-1.example.com", "web.svc.example.com"),
        "shop.ci.example.com",
    ],
)
def test_the_names_of_the_issue_work_for_common_names_and_dns_names(name):
    assert is_allowed(csr_for(name, common_name=name), ALICE, names=ISSUE)
    assert is_allowed(csr_for(name), ALICE, names=ISSUE)
    assert is_allowed(csr_for(common_name=name), ALICE, names=ISSUE)


@pytest.mark.parametrize(
    "name",
    [
        *("bob.example.com", "example.com", "x.alice.example.com", "db.svc.example.com"),
        *("other.ci.example.com", "web.example.com", "alice.svc.example.com", "192.0.2.1"),
        *("*.example.com", "alice.example.com.evil.org"),
    ],
)
def test_names_of_other_requesters_are_refused(name):
    for csr in (csr_for(name), csr_for(common_name=name)):
        assert not is_allowed(csr, ALICE, names=ISSUE)
    both = csr_for("alice.example.com", name, common_name="alice.example.com")
    assert not is_allowed(both, ALICE, names=ISSUE)


def test_a_uri_has_the_claims_of_a_service_account():
    names = ["spiffe://example.com/ns/{claim:namespace}/sa/{claim:serviceaccount}"]
    pod = AuthDetails("pod", claims={"namespace": "shop", "serviceaccount": "web"})
    own = x509.UniformResourceIdentifier("spiffe://example.com/ns/shop/sa/web")
    other = x509.UniformResourceIdentifier("spiffe://example.com/ns/shop/sa/db")
    assert is_allowed(csr_for(own), pod, names=names)
    assert not is_allowed(csr_for(other), pod, names=names)
    assert not is_allowed(csr_for(own), AuthDetails("pod"), names=names)
    assert not is_allowed(csr_for(own), pod, names=names, allow_uri_id=False)


def test_a_mailbox_is_no_user_principal_name_unless_that_is_allowed():
    names = ["{username}@example.com"]
    mail = csr_for(x509.RFC822Name("alice@example.com"))
    principal = csr_for(other_name(UPN, utf8("alice@example.com")))
    assert is_allowed(mail, ALICE, names=names)
    assert not is_allowed(mail, ALICE, names=names, allow_email_id=False)
    assert not is_allowed(principal, ALICE, names=names)
    assert is_allowed(principal, ALICE, names=names, allow_upn_id=True)
    bob = csr_for(x509.RFC822Name("bob@example.com"))
    assert not is_allowed(bob, ALICE, names=names)


def test_entries_without_a_placeholder_are_those_of_whitelist_names():
    names = ["{username}.example.com", "status.example.com", "10.0.0.0/8"]
    assert is_allowed(csr_for("status.example.com", "10.1.2.3"), ALICE, names=names)
    assert not is_allowed(csr_for("10.1.2.3"), ALICE, names=names, allow_ip_id=False)
    assert not is_allowed(csr_for("11.1.2.3"), ALICE, names=names)


def test_each_kind_of_name_can_be_forbidden():
    csr = csr_for("alice.example.com", common_name="alice.example.com")
    assert not is_allowed(csr, ALICE, names=ISSUE, allow_cn_id=False)
    assert not is_allowed(csr, ALICE, names=ISSUE, allow_dns_id=False)


def test_a_request_without_names_is_refused():
    csr = make_csr(None, extensions=[])
    assert "requester_names" in reasons({"requester_names": {"names": ISSUE}}, csr, ALICE)


def test_an_empty_list_allows_nothing():
    assert not is_allowed(csr_for("alice.example.com"), ALICE, names=[])


def test_a_user_name_with_characters_of_patterns_gets_no_name():
    for username in ("%", "*", "", "a.b", "{username}", "alice\n"):
        for name in ("bob.example.com", f"{username.strip()}x.example.com", "alice.example.com"):
            assert not is_allowed(csr_for(name), AuthDetails(username), names=ISSUE)


def test_the_refusal_says_which_value_does_not_fit():
    identity = AuthDetails("alice@example.com", ["Domain Users"])
    found = reasons({"requester_names": {"names": ISSUE}}, csr_for("a.example.com"), identity)
    reason = found["requester_names"]
    assert "names are not allowed for this requester" in reason
    assert "DNS:a.example.com" in reason
    assert "{username} is not one label of letters, digits, inner hyphens: alice@e" in reason
    assert "{claim:project} has no value" in reason


def test_the_refusal_is_short_whatever_the_values_are():
    identity = AuthDetails("x" * 100_000, [f"a b{n}" for n in range(1000)])
    found = reasons({"requester_names": {"names": ISSUE}}, csr_for("a.example.com"), identity)
    assert len(found["requester_names"]) < 1000
    assert found["requester_names"].isascii()


def test_a_usable_value_is_not_blamed():
    found = reasons({"requester_names": {"names": ISSUE[:3]}}, csr_for("a.example.com"), ALICE)
    assert "placeholders" not in found["requester_names"]


def test_the_list_combines_with_a_list_for_everyone():
    both = {
        "requester_names": {"names": ["{username}.example.com", "{username}.example.org"]},
        "whitelist_names": {"names": ["%.example.com"], "allow_dns_id": True},
    }
    assert reasons(both, csr_for("alice.example.com"), ALICE) == {}
    assert reasons(both, csr_for("bob.example.com"), ALICE).keys() == {"requester_names"}
    assert reasons(both, csr_for("alice.example.org"), ALICE).keys() == {"whitelist_names"}


# ---- names of the credential

ANY, ALL = {"credential_names": "any"}, {"credential_names": "all"}


def token(*names):
    return AuthDetails("web1", allowed_names=names)


def test_every_name_has_to_be_one_of_the_credential():
    identity = token("web1.example.com", "www.example.com", "10.0.0.1")
    for options in (ANY, ALL):
        names = ("web1.example.com", "www.example.com", "10.0.0.1")
        assert is_allowed(csr_for(*names, common_name="WWW.example.com"), identity, **options)
        more = (*names, "web2.example.com")
        assert not is_allowed(csr_for(*more), identity, **options)
        assert not is_allowed(csr_for(*names, common_name="web2.example.com"), identity, **options)
    assert is_allowed(csr_for("web1.example.com"), identity, **ANY)
    assert is_allowed(csr_for(common_name="web1.example.com"), identity, **ANY)


def test_all_names_of_the_credential_have_to_be_there():
    identity = token("web1.example.com", "www.example.com")
    found = reasons({"requester_names": ALL}, csr_for("web1.example.com"), identity)
    assert "missing in subjectAltName (names 'www.example.com')" in found["requester_names"]
    in_subject = csr_for("web1.example.com", common_name="www.example.com")
    assert not is_allowed(in_subject, identity, **ALL)


def test_a_fixup_can_add_the_common_name_that_is_missing():
    csr = csr_for("web1.example.com", common_name="www.example.com")
    fixups = {"enforce_alternative_names_present": {}}
    identity = token("web1.example.com", "www.example.com")
    assert reasons({"requester_names": ALL}, csr, identity, fixups) == {}


def test_a_credential_without_a_limit_is_refused_only_where_a_limit_is_required():
    csr = csr_for("alice.example.com")
    for options in (ANY, ALL):
        found = reasons({"requester_names": options}, csr, ALICE)
        assert "is not limited to names" in found["requester_names"]
    assert reasons({}, csr, ALICE) == {}


# ---- the mandatory check


def mandatory(csr, identity, validators=None):
    return reasons(validators or {}, csr, identity).get("allowed_names", "")


@pytest.mark.parametrize(
    ("allowed", "name", "expected"),
    [
        ("web1.example.com", "web1.example.com", True),
        ("web1.example.com", "WEB1.Example.COM.", True),
        ("WEB1.example.com.", "web1.example.com", True),
        ("web1.example.com", "web2.example.com", False),
        ("web1.example.com", "a.web1.example.com", False),
        ("web1.example.com", "*.example.com", False),
        ("*.example.com", "*.example.com", True),
        ("*.example.com", "web1.example.com", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:DB8::0:1", "2001:db8::1", True),
        ("192.0.2.1", x509.DNSName("192.0.2.1"), False),
        ("spiffe://Example.com/a", x509.UniformResourceIdentifier("SPIFFE://example.com/a"), True),
        ("spiffe://example.com/a", x509.UniformResourceIdentifier("spiffe://example.com/A"), False),
        (
            "spiffe://example.com/a",
            x509.UniformResourceIdentifier("spiffe://example.com/a/"),
            False,
        ),
        (
            "spiffe://example.com/a",
            x509.UniformResourceIdentifier("spiffe://example.com/%61"),
            False,
        ),
        ("web1.example.com", x509.UniformResourceIdentifier("https://web1.example.com"), False),
        ("alice@example.com", x509.RFC822Name("alice@EXAMPLE.com"), True),
        ("alice@example.com", x509.RFC822Name("Alice@example.com"), False),
        ("alice@example.com", x509.DNSName("alice@example.com"), False),
        ("alice@example.com", other_name(UPN, utf8("alice@example.com")), True),
        ("alice@example.com", other_name(UPN, utf8("bob@example.com")), False),
        ("web1.example.com", x509.DirectoryName(subject("web1.example.com")), False),
        ("web1.example.com", x509.RegisteredID(x509.ObjectIdentifier("1.2.3")), False),
        ("example.com", x509.RFC822Name("alice@example.com"), False),
    ],
)
def test_a_limited_credential_gets_its_names_only(allowed, name, expected):
    assert (mandatory(csr_for(name), token(allowed)) == "") is expected
    if isinstance(name, str):
        assert (mandatory(csr_for(common_name=name), token(allowed)) == "") is expected


def test_a_limit_holds_whatever_the_validators_allow():
    everything = {
        "whitelist_names": {
            "names": ["%.example.com"],
            "allow_cn_id": True,
            "allow_dns_id": True,
            "allow_wildcard": True,
        },
        "requester_names": {"names": ["%.example.com"]},
    }
    identity = token("web1.example.com")
    assert mandatory(csr_for("web1.example.com"), identity, everything) == ""
    reason = mandatory(csr_for("web1.example.com", "web2.example.com"), identity, everything)
    assert reason == (
        "the credential is limited to other names: use one for these, such as a token created with "
        "--name (names 'DNS:web2.example.com')"
    )


def test_an_empty_limit_allows_nothing():
    for csr in (csr_for("web1.example.com"), csr_for(common_name="web1"), make_csr(None)):
        assert mandatory(csr, token())


def with_subject(*attributes):
    builder = x509.CertificateSigningRequestBuilder(subject(None, *attributes))
    return builder.sign(shared_key(), hashes.SHA256()).public_bytes(Encoding.PEM)


def test_a_request_without_names_is_not_for_a_limited_credential():
    csr = with_subject((NameOID.USER_ID, "web1.example.com"))
    assert "none of the names" in mandatory(csr, token("web1.example.com"))


def test_mail_addresses_in_the_subject_are_names():
    identity = token("web1.example.com", "alice@example.com")
    for name in ("alice", "bob"):
        csr = with_subject((NameOID.EMAIL_ADDRESS, f"{name}@example.com"))
        assert ("email:bob@example.com" in mandatory(csr, identity)) is (name == "bob")


def test_the_common_name_of_an_intermediate_is_compared_as_text():
    validators = {"ca_status": {"ca_requested": True}}
    ca = [(x509.BasicConstraints(True, 0), True)]
    csr = make_csr("Example Intermediate CA", extensions=ca)
    for allowed in ("Example Intermediate CA", "example intermediate ca"):
        assert reasons(validators, csr, token(allowed)) == {}
    for allowed in ("Example Intermediate CA 2", "example.com"):
        assert reasons(validators, csr, token(allowed)).keys() == {"allowed_names"}


@pytest.mark.parametrize(
    "allowed", ["%.example.com", "10.0.0.0/8", "", "b\xfccher.example.com", "%"]
)
def test_an_invalid_name_in_a_credential_is_no_pattern(allowed):
    identity = token("web1.example.com", allowed)
    for name in ("web1.example.com", "a.example.com", "10.0.0.1"):
        assert "limited to an invalid name" in mandatory(csr_for(name), identity)


def test_a_fixup_cannot_add_a_name_that_the_credential_does_not_allow(monkeypatch, plugins):
    plugins(
        "from cryptography import x509\n"
        "def add(csr):\n"
        "    return csr.with_alternative_names([x509.DNSName('web2.example.com')])\n",
        "[anchor.fixups]\nadd = trouble:add\n",
    )
    csr = csr_for("web1.example.com")
    assert reasons({}, csr, ALICE, {"add": {}}) == {}
    assert reasons({}, csr, token("web1.example.com"), {"add": {}}).keys() == {"allowed_names"}


TEXTS = st.text(st.sampled_from("ab1.*%-@:/ AB"), max_size=8) | st.sampled_from(
    ["web1.example.com", "*.example.com", "10.0.0.1", "::1", "spiffe://a/b", "a@b.c", "Example CA"]
)


@settings(max_examples=examples(1000))
@given(TEXTS, TEXTS, st.sampled_from(["", "."]), st.booleans())
def test_an_allowed_name_is_literally_one_of_the_credential(allowed, name, end, upper):
    text = f"{name.upper() if upper else name}{end}"
    try:
        names = AllowedNames.parse([allowed])
    except ValueError:
        return
    for kind in (NameKind.COMMON_NAME, NameKind.DNS, NameKind.URI, NameKind.MAIL):
        literal = literal_name(RequestedName(kind, text, None, text))
        if literal is not None and literal in names:
            assert allowed.lower().removesuffix(".") == text.lower().removesuffix(".")
            assert not set("%/") & set(literal.text) or literal.kind == "URI"


@pytest.mark.slow
def test_a_thousand_names_in_a_credential_cost_little():
    names = [f"h{number}.example.com" for number in range(1000)]
    csr, context = csr_for(*names), asking(token(*names))
    a_policy = make_policy({"requester_names": ALL})
    assert refusals(a_policy, csr, context=context) == {}
    assert_cpu_below(0.1, lambda: refusals(a_policy, csr, context=context))


# ---- options


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, "exactly one of 'names' and 'credential_names' is needed"),
        ({"allow_cn_id": True}, "exactly one of"),
        ({"names": ["a"], "credential_names": "any"}, "exactly one of"),
        ({"credential_names": "any", "allow_cn_id": True}, "are for 'names'"),
        ({"credential_names": "some"}, "'any' or 'all'"),
        ({"credential_names": True}, "'any' or 'all'"),
        ({"names": "a"}, "validators.requester_names.names"),
        ({"names": ["{username}{group}"]}, "validators.requester_names.names.0"),
        ({"names": ["a", "{user}"]}, "validators.requester_names.names.1"),
        ({"names": [""]}, "validators.requester_names.names.0"),
        ({"names": None}, "validators.requester_names.names"),
    ],
)
def test_wrong_options_are_found_at_start_up(options, error):
    assert error in config_errors({"requester_names": options})


@pytest.mark.parametrize("name", ["{username}.example.com", "spiffe://a/{claim:x:name}", "{group}"])
def test_placeholders_are_for_requester_names_only(name):
    found = config_errors({"whitelist_names": {"names": [name]}})
    assert "validators.whitelist_names.names.0" in found
    assert "has a meaning in 'requester_names' only" in found


def test_other_braces_in_a_list_are_characters():
    options = {"names": ["system {a}"], "allow_cn_id": True}
    assert reasons({"whitelist_names": options}, csr_for(common_name="system {a}"), ALICE) == {}


# ---- through the form


def test_the_service_binds_names_to_the_user_who_authenticates(document, serve):
    document["authentication"]["static"]["groups"] = ["web"]
    authority = document["registration_authority"]["default"]
    authority["validators"] = {"requester_names": {"names": ISSUE}}
    service = serve(document)
    certificate = service.issue(make_csr("alice.example.com", "web.svc.example.com"))
    assert "web.svc.example.com" in str(names_of(certificate))
    refused = service.sign(make_csr("bob.example.com"), status=400)
    assert "requester_names" in refused.text
    assert "CN:bob.example.com" in refused.text


LIMITED = """
from anchor.plugin_api import AuthDetails

def authenticate(ra, user, secret):
    names = {"none": None, "bad": ["%"], "nothing": []}
    return AuthDetails(user, allowed_names=names.get(user, [f"{user}.example.com"]),
                       claims={"project": "shop"})
"""


def test_the_service_holds_a_credential_to_its_names(document, serve, plugins):
    plugins(LIMITED, "[anchor.authentication]\nlimited = trouble:authenticate\n")
    document["authentication"]["static"] = {"backend": "limited"}
    service = serve(document)
    for user, name, status in (
        ("web1", "web1.example.com", 200),
        ("web1", "web2.example.com", 400),
        ("none", "web2.example.com", 200),
        ("bad", "web2.example.com", 400),
        ("nothing", "web2.example.com", 400),
    ):
        answer = service.sign(make_csr(name), user=user, secret="x", status=status)
        if status == 400:
            assert "allowed_names" in answer.text
