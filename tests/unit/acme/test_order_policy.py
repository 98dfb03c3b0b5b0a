"""The policy decides about the names in an order before there is a CSR."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.auth.presented import Origin
from anchor.auth.results import AuthDetails
from anchor.errors import DatabaseUnavailable
from anchor.plugin_api import ValidationError
from anchor.policy import policy
from anchor.store.bans import Ban
from anchor.timestamps import utc_now
from anchor.validators.errors import judges_names
from anchor.X509.signing_request import X509Csr
from tests.support.acme import BASE_URL, add_binding_token
from tests.support.acme_orders import (
    ERROR,
    acme_with,
    add_client,
    assert_problem,
    csr_text,
    finalize,
    new_order,
)
from tests.support.pki import ca_certificate, key_pem, make_csr, shared_key

ORIGIN = Origin(address="192.0.2.7", request_id="1", door="acme")


@pytest.fixture
def client_with(serve, document):
    """Makes a client of a service with a policy; ``account`` changes the account."""

    def make(validators=None, fixups=None, account=None, **options):
        configuration = acme_with(document, validators=validators, fixups=fixups, **options)
        service = serve(configuration, base_url=BASE_URL)
        client = add_client(service, **(account or {}))
        client.service = service
        return client

    return make


REFUSALS = [
    ({"whitelist_names": {"names": ["good.example.com"], "allow_dns_id": True}}, "whitelist_names"),
    ({"requester_names": {"names": ["good.example.com"]}}, "requester_names"),
    ({"blacklist_names": {"domains": [".bad.example.com"]}}, "blacklist_names"),
    ({"alternative_names": {"allowed_domains": [".example.com"]}}, "alternative_names"),
    (
        {"alternative_names_ip": {"allowed_domains": [".example.com"], "allowed_networks": []}},
        "alternative_names_ip",
    ),
    ({"server_group": {"group_prefixes": {"Nova": "nv"}}}, "server_group"),
]
BAD = {
    "blacklist_names": "www.bad.example.com",
    "alternative_names": "www.example.org",
    "alternative_names_ip": "www.example.org",
    "server_group": "nv-1.example.com",
}


@pytest.mark.parametrize(("validators", "check"), REFUSALS, ids=[each[1] for each in REFUSALS])
def test_each_validator_of_names_refuses_the_identifier_that_it_would_refuse_later(
    client_with, validators, check
):
    client = client_with(validators)
    bad = BAD.get(check, "bad.example.com")
    assert new_order(client, "good.example.com").json["status"] == "ready"

    answer = new_order(client, "good.example.com", bad, status=400)

    assert_problem(answer, "rejectedIdentifier", 400, f"{check}: ")
    [problem] = answer.json["subproblems"]
    assert problem["type"] == f"{ERROR}rejectedIdentifier"
    assert problem["identifier"] == {"type": "dns", "value": bad}
    assert problem["detail"].startswith(f"{check}: ")
    # The validator has the same words when the certificate is requested.
    authority = client.service.settings.authorities["default"]
    csr = X509Csr.from_pem(make_csr(None, bad))
    context = authority.policy.context(AuthDetails("machines"), ORIGIN, authority.conf)
    assert problem["detail"] in map(str, authority.policy.evaluate(csr, context).failures)


def test_a_name_that_is_banned_is_refused(client_with):
    client = client_with()
    bans = client.service.settings.acme["default"].bans
    bans.add(Ban(kind="name", value="bad.example.com", since=utc_now()))

    answer = new_order(client, "good.example.com", "bad.example.com", status=400)

    assert_problem(answer, "rejectedIdentifier", 400)
    assert [
        (each["identifier"]["value"], each["detail"]) for each in answer.json["subproblems"]
    ] == [("bad.example.com", "not_banned: the name is banned (name 'bad.example.com')")]


@pytest.mark.parametrize("names", [["a.example.com"], ["a.example.com", "b.example.com"]])
def test_a_requester_that_is_banned_orders_nothing_and_no_name_is_blamed(client_with, names):
    client = client_with()
    bans = client.service.settings.acme["default"].bans
    bans.add(Ban(kind="requester", value="machines", since=utc_now()))

    answer = new_order(client, *names, status=400)

    assert_problem(answer, "rejectedIdentifier", 400, "not_banned: the requester is banned")
    assert "subproblems" not in answer.json


OTHER_NAMES = (
    "the credential is limited to other names: use one for these, such as a token created with "
    "--name"
)


def test_an_account_orders_only_names_of_its_token(client_with):
    client = client_with(account={"allowed_names": ("a.example.com", "10.0.0.1")})
    assert new_order(client, "A.example.com", "10.0.0.1").json["status"] == "ready"

    answer = new_order(client, "a.example.com", "b.example.com", "10.0.0.2", status=400)

    assert_problem(answer, "rejectedIdentifier", 400, "is limited to other names: use ")
    assert [
        (each["identifier"]["value"], each["detail"]) for each in answer.json["subproblems"]
    ] == [
        (
            "b.example.com",
            f"allowed_names: {OTHER_NAMES} (names 'DNS:b.example.com')",
        ),
        (
            "10.0.0.2",
            f"allowed_names: {OTHER_NAMES} (names 'IP:10.0.0.2')",
        ),
    ]


def test_what_two_checks_say_is_said_once(client_with):
    client = client_with(
        {"requester_names": {"credential_names": "any"}},
        account={"allowed_names": ("a.example.com",)},
    )

    answer = new_order(client, "b.example.com", status=400)

    reason = f"allowed_names, requester_names: {OTHER_NAMES} (names 'DNS:b.example.com')"
    assert answer.json["detail"] == f"the policy refuses the order: {reason}"
    assert [each["detail"] for each in answer.json["subproblems"]] == [reason]


def test_a_refused_address_is_no_question_of_names(client_with):
    client = client_with({"source_cidrs": {"cidrs": ["198.51.100.0/24"]}})

    answer = new_order(client, "a.example.com", status=400)

    assert answer.json["detail"].startswith("the policy refuses the order: source_cidrs: ")
    assert "subproblems" not in answer.json


def test_a_token_without_names_is_refused_without_blaming_a_name(client_with):
    client = client_with({"requester_names": {"credential_names": "any"}})

    answer = new_order(client, "a.example.com", status=400)

    assert answer.json["detail"] == (
        "the policy refuses the order: requester_names: the credential is not limited to names: "
        "use one that is, such as a token created with --name"
    )
    assert "subproblems" not in answer.json


@pytest.mark.parametrize(
    ("names", "blamed"),
    [
        (["a.example.com", "*.example.com"], []),
        (["10.0.0.1"], []),
        (["a.example.com", "b.example.com"], ["b.example.com"]),
        (["b.example.com", "10.0.0.2"], ["b.example.com", "10.0.0.2"]),
    ],
)
def test_no_name_is_blamed_for_those_that_the_order_lacks(client_with, names, blamed):
    token_names = ("a.example.com", "*.example.com", "10.0.0.1", "2001:db8::1")
    client = client_with(
        {"requester_names": {"credential_names": "all"}}, account={"allowed_names": token_names}
    )
    assert new_order(client, *token_names).json["status"] == "ready"

    answer = new_order(client, *names, status=400)

    assert_problem(answer, "rejectedIdentifier", 400, "requester_names: ")
    assert [each["identifier"]["value"] for each in answer.json.get("subproblems", ())] == blamed


def test_the_groups_and_the_name_of_the_requester_count(client_with):
    validators = {
        "requester_names": {"names": ["{username}.example.com", "nv-1.example.com"]},
        "server_group": {"group_prefixes": {"Nova": "nv"}},
    }
    client = client_with(validators, account={"groups": ("Nova",), "requester": "web1"})

    assert new_order(client, "web1.example.com", "nv-1.example.com").json["status"] == "ready"
    answer = new_order(client, "web2.example.com", status=400)
    assert_problem(answer, "rejectedIdentifier", 400, "requester_names: names are not allowed")


def test_where_the_client_is_counts_too_and_no_name_is_blamed(client_with):
    client = client_with({"source_cidrs": {"cidrs": ["198.51.100.0/24"]}})

    answer = new_order(client, "a.example.com", "b.example.com", status=400)

    assert_problem(answer, "rejectedIdentifier", 400, "source_cidrs: ")
    assert "subproblems" not in answer.json


def test_checks_of_other_parts_wait_for_the_csr(client_with):
    client = client_with(
        {
            "common_name": {"allowed_domains": [".example.com"]},
            "public_key": {"allowed_keys": {"RSA": 4096}},
            "extensions": {"allowed_extensions": []},
            "subject_attributes": {"allowed": {"O": ["Example"]}, "required": ["O"]},
        }
    )

    order = new_order(client, "a.example.com").json

    assert order["status"] == "ready"
    answer = finalize(client, order, status=400)
    assert_problem(answer, "badCSR", 400, "public_key: ")
    failed = {each["check"] for each in answer.json["failures"]}
    assert {"public_key", "extensions", "subject_attributes"} <= failed
    assert client.post(order["finalize"].removesuffix("/finalize"), None).json["status"] == "ready"


def test_names_that_the_constraints_of_the_ca_exclude_are_refused(client_with, ca):
    constrained = ca_certificate("CA", permitted=[x509.DNSName("example.com")])
    ca.cert_path.write_bytes(constrained.public_bytes(Encoding.PEM))
    ca.key_path.chmod(0o600)
    ca.key_path.write_bytes(key_pem(shared_key()))
    client = client_with()

    answer = new_order(client, "www.example.com", "www.example.org", status=400)

    assert_problem(answer, "rejectedIdentifier", 400, "name_constraints: ")
    assert [each["identifier"]["value"] for each in answer.json["subproblems"]] == [
        "www.example.org"
    ]


def plugin(monkeypatch, function, name="source_cidrs"):
    """Let a plug-in of Anchor's be another function."""
    load = policy.load_plugin
    monkeypatch.setattr(
        policy,
        "load_plugin",
        lambda namespace, each: function if each == name else load(namespace, each),
    )


def test_fixups_change_the_names_before_the_policy_decides(client_with, monkeypatch):
    def complete(csr):
        names = [
            x509.DNSName(f"{name.removesuffix('.example.com')}.example.com")
            for name in csr.dns_names
        ]
        return csr.with_alternative_names(names)

    plugin(monkeypatch, complete, "normalize_names")
    allowed = {"names": ["a.example.com"], "allow_dns_id": True}
    client = client_with({"whitelist_names": allowed}, {"normalize_names": {}})

    assert new_order(client, "a").json["status"] == "ready"
    [problem] = new_order(client, "a", "b", status=400).json["subproblems"]
    assert "DNS:b.example.com" in problem["detail"]


def test_a_fixup_that_refuses_the_probe_leaves_the_decision_to_the_csr(client_with, monkeypatch):
    def refuse(csr):
        raise ValidationError("there is no subject")

    plugin(monkeypatch, refuse, "normalize_names")
    client = client_with({"whitelist_names": {"names": ["a.example.com"]}}, {"normalize_names": {}})

    order = new_order(client, "a.example.com").json

    assert_problem(finalize(client, order, status=400), "badCSR", 400, "there is no subject")


def test_a_plugin_that_is_marked_is_asked_and_others_are_not(client_with, monkeypatch):
    calls = []

    @judges_names
    def marked(csr):
        calls.append(csr.dns_names)
        if "bad.example.com" in csr.dns_names:
            raise ValidationError("it is bad", name="bad.example.com")

    plugin(monkeypatch, marked)
    client = client_with({"source_cidrs": {}})

    answer = new_order(client, "good.example.com", "bad.example.com", status=400)

    assert calls[0] == ("good.example.com", "bad.example.com")
    [problem] = answer.json["subproblems"]
    assert problem["detail"] == "source_cidrs: it is bad (name 'bad.example.com')"


def test_a_plugin_that_relies_on_a_name_can_refuse_names(client_with, monkeypatch):
    @judges_names
    def first_name(csr):
        if csr.dns_names[0] != "good.example.com":
            raise ValidationError("it is not good")

    plugin(monkeypatch, first_name)
    client = client_with({"source_cidrs": {}})

    answer = new_order(client, "bad.example.com", status=400)

    assert_problem(answer, "rejectedIdentifier", 400, "source_cidrs: it is not good")
    assert len(answer.json["subproblems"]) == 1


def test_a_plugin_that_is_not_marked_is_not_asked_about_orders(client_with, monkeypatch):
    calls = []

    def refuse(csr):
        calls.append(csr)
        raise ValidationError("never")

    plugin(monkeypatch, refuse)
    client = client_with({"source_cidrs": {}})

    order = new_order(client, "www.example.com").json

    assert calls == []
    assert_problem(finalize(client, order, status=400), "badCSR", 400, "never")
    assert len(calls) == 1


def test_a_plugin_that_crashes_is_an_internal_error(client_with, monkeypatch):
    @judges_names
    def crash(csr):
        raise RuntimeError("secret detail")

    plugin(monkeypatch, crash)
    client = client_with({"source_cidrs": {}})

    answer = new_order(client, "www.example.com", status=500)

    assert_problem(answer, "serverInternal", 500, "internal error")
    assert "secret" not in answer.text


def test_nothing_is_ordered_while_the_bans_cannot_be_read(client_with, monkeypatch):
    client = client_with()
    nonce = client.nonce()

    def away(*_):
        raise DatabaseUnavailable("it is away")

    bans = client.service.settings.acme["default"].authority.policy.bans
    monkeypatch.setattr(type(bans), "find", away)

    answer = client.post(
        "/new-order", {"identifiers": [{"type": "dns", "value": "a.example.com"}]}, nonce=nonce
    )

    assert_problem(answer, "serverInternal", 503, "the database cannot be used now")
    assert int(answer.headers["Retry-After"]) > 0


def test_the_policy_decides_again_when_the_certificate_is_requested(client_with):
    client = client_with()
    order = new_order(client, "www.example.com").json
    bans = client.service.settings.acme["default"].bans
    bans.add(Ban(kind="name", value="www.example.com", since=utc_now()))

    answer = client.post(order["finalize"], {"csr": csr_text("www.example.com")})

    assert_problem(answer, "badCSR", 400, "not_banned: the name is banned")


def test_an_account_whose_token_the_authority_accepts_no_more_orders_nothing(serve, document):
    configuration = acme_with(document, open=True)
    service = serve(configuration, base_url=BASE_URL)
    token_id, _ = add_binding_token(service.settings.database)
    client = add_client(service, token_id=token_id)
    configuration["registration_authority"]["default"]["authentication"] = "static"
    client.http = serve(configuration, base_url=BASE_URL).http

    answer = new_order(client, "www.example.com", status=403)

    assert_problem(answer, "unauthorized", 403, "accepts no tokens")
