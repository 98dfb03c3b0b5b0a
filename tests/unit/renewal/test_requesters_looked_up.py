"""At a renewal, the backend says whether the requester is still one."""

from __future__ import annotations

import sys
import urllib.parse

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from anchor.auth.presented import ClientCertificate, Origin
from anchor.auth.results import AuthDetails
from anchor.errors import BackendUnavailable, NotAuthenticated, TooManyAttempts
from anchor.store.database.certificates import Selection
from anchor.store.database.tokens import Tokens
from tests.support.pki import make_csr, shared_key
from tests.support.properties import examples
from tests.support.refused_renewals import refused_renewal
from tests.support.renewal import renew
from tests.support.tokens import HOUR, add_token, token_configuration
from tests.support.users import SECRET, user_line, write_users

CSR = make_csr("nv-1.example.com")
PREFIXES = {"server_group": {"group_prefixes": {"Nova": "nv"}}}


def renewed(service, certificate, csr=CSR):
    """The renewed certificate."""
    answer = renew(service, certificate, shared_key(), csr, status=200)
    return x509.load_pem_x509_certificate(answer.body)


def last_issuance(service):
    """The record of the last certificate."""
    inventory = service.settings.authorities["default"].inventory
    return max(inventory.select(Selection()), key=lambda each: each.issuance.renewals).issuance


# Users in the configuration and in a file.


def test_the_user_of_the_configuration_renews_until_the_name_or_the_group_is_gone(serve, document):
    user = document["authentication"]["static"]
    user["groups"] = ["Nova"]
    document["registration_authority"]["default"]["validators"] = PREFIXES
    service = serve(document)
    certificate = service.issue(CSR)
    user["secret"] = "another"
    renewed(serve(document), certificate)

    user["groups"] = ["Swift"]
    assert "server_group" in refused_renewal(serve(document), certificate, CSR, status=400)
    user |= {"user": "bob", "groups": ["Nova"]}
    assert "not known any more" in refused_renewal(serve(document), certificate, CSR)


def test_a_user_in_a_file_renews_until_the_line_is_gone(serve, document, tmp_path, audit):
    path = write_users(tmp_path / "users.jsonl", user_line("web1", groups=["Nova", "web"]))
    document["authentication"]["static"] = {"backend": "static", "users_file": path.name}
    document["registration_authority"]["default"]["validators"] = PREFIXES
    service = serve(document)
    certificate = service.issue(CSR, user="web1", secret=SECRET)

    write_users(path, user_line("web1", "another-good-secret", groups=["db", "Nova"]))
    renewed(service, certificate)
    # A group that was not recorded with the first certificate is not gained by a renewal.
    assert last_issuance(service).groups == ("Nova",)

    write_users(path, user_line("web1", groups=["web"]))
    assert "server_group" in refused_renewal(service, certificate, CSR, status=400)
    write_users(path, user_line("web1", groups=["Nova"], names=["nv-2.example.com"]))
    assert "nv-1.example.com" in refused_renewal(service, certificate, CSR, status=400)
    write_users(path, user_line("web2"))
    assert "not known any more" in refused_renewal(service, certificate, CSR)
    event = audit.events()[-1]
    assert (event["event"], event["outcome"]) == ("audit.auth", "failure")
    assert event["reasons"] == ["the requester is not known any more"]
    path.unlink()
    answer = refused_renewal(service, certificate, CSR, status=503)
    assert "users.jsonl" not in answer


# Tokens.


@pytest.fixture
def with_token(serve, document):
    """A service, the certificate of a token that is good for one, and the token's identifier."""
    service = serve(token_configuration(document))
    token = add_token(service.settings.database, groups=("web",))
    return service, service.issue(CSR, **token), token["user"]


def test_the_certificate_of_a_used_token_is_renewed_until_the_token_is_revoked(with_token):
    service, certificate, token_id = with_token
    certificate = renewed(service, certificate)
    assert (last_issuance(service).token_id, last_issuance(service).groups) == (token_id, ("web",))

    Tokens(service.settings.database).revoke(token_id)

    assert "was revoked" in refused_renewal(service, certificate, CSR)


def test_pruning_leaves_the_token_of_a_certificate_that_can_be_renewed(with_token):
    service, certificate, token_id = with_token
    tokens = Tokens(service.settings.database)
    end = tokens.find(token_id).expires

    assert tokens.prune(end + HOUR) == 0
    renewed(service, certificate)
    assert tokens.prune(end + 48 * HOUR) == 1
    assert "not exist any more" in refused_renewal(service, certificate, CSR)


# Other backends.

BACKEND = """
from anchor.plugin_api import AuthDetails

class Backend:
    def authenticate(self, user, secret):
        return AuthDetails(user, ["Nova", "web"], "17", allowed_names=["nv-1.example.com"])

    def look_up(self, recorded):
        return Backend.answer(recorded)
"""


@pytest.fixture
def answering(plugins, serve, document):
    """A service with a certificate, and a function that sets what the backend answers."""
    plugins(BACKEND, "[anchor.authentication]\ntrouble = trouble:Backend\n")
    document["authentication"]["static"] = {"backend": "trouble"}
    service = serve(document)

    def answer(function):
        sys.modules["trouble"].Backend.answer = staticmethod(function)

    return service, service.issue(CSR), answer


def raises(error):
    def look_up(_recorded):
        raise error

    return look_up


@pytest.mark.parametrize(
    ("look_up", "status", "text"),
    [
        (raises(NotAuthenticated("the user left")), 401, "the user left"),
        (raises(BackendUnavailable("no answer of ldap1")), 503, "cannot be checked now"),
        (raises(TooManyAttempts(7)), 429, "too many"),
        (raises(KeyError("s3cret")), 500, "internal error"),
        (raises(SystemExit(0)), 500, "internal error"),
        (lambda recorded: True, 500, "internal error"),
        (lambda recorded: recorded.username, 500, "internal error"),
        (lambda recorded: [recorded], 500, "internal error"),
        (lambda recorded: AuthDetails("bob"), 401, "another name or identifier"),
        (lambda recorded: AuthDetails("alice", user_id="18"), 401, "another name or identifier"),
    ],
    ids=lambda value: None if callable(value) else str(value),
)
def test_a_backend_that_does_not_know_the_requester_renews_nothing(
    answering, look_up, status, text
):
    service, certificate, answer = answering
    answer(look_up)

    refused = refused_renewal(service, certificate, CSR, status=status)

    assert text in refused
    assert "s3cret" not in refused and "ldap1" not in refused


def test_a_backend_that_cannot_tell_leaves_the_recorded_identity(answering):
    service, certificate, answer = answering
    answer(lambda recorded: None)

    renewed(service, certificate)

    assert last_issuance(service).groups == ("Nova", "web")


def test_a_tls_client_certificate_does_not_avoid_the_question(answering):
    service, certificate, answer = answering
    answer(raises(NotAuthenticated("the user left")))
    pem = urllib.parse.quote(certificate.public_bytes(Encoding.PEM))

    refused = service.http.post(
        "/v1/renew/default",
        {"encoding": "pem", "csr": CSR},
        extra_environ={"ANCHOR_CLIENT_CERTIFICATE": pem},
        status=401,
    )

    assert "the user left" in refused.text


GROUPS = st.lists(st.sampled_from(["Nova", "web", "admin", "NOVA", ""]) | st.text(max_size=3))
IDENTITIES = st.builds(
    AuthDetails,
    st.sampled_from(["alice", "alice", "alice", "bob"]),
    GROUPS,
    st.sampled_from([None, "17", "17", "18"]),
    st.none() | st.text(max_size=3),
    claims=st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    allowed_names=st.none() | st.lists(st.sampled_from(["nv-1.example.com", "a.example.com"])),
    token_id=st.none() | st.just("tk_aaaaaaaaaaaaaaaa"),
)


def test_a_renewal_never_gains_a_group_whatever_the_backend_answers(answering, document, serve):
    _, certificate, answer = answering
    document["registration_authority"]["default"]["max_failures"] = 0
    document["registration_authority"]["default"]["max_address_failures"] = 0
    authority = serve(document).settings.authorities["default"]
    presented = ClientCertificate(
        der=certificate.public_bytes(Encoding.DER),
        origin=Origin(address="192.0.2.7", request_id="1"),
    )

    @given(current=st.none() | IDENTITIES)
    @settings(max_examples=examples(100), deadline=None)
    def renewals(current):
        answer(lambda _recorded: current)
        try:
            identity = authority.authenticate(presented)
        except NotAuthenticated:
            assert current.username != "alice" or current.user_id == "18"
            return
        lost = set() if current is None else {"Nova", "web"} - set(current.groups)
        assert set(identity.groups) == {"Nova", "web"} - lost
        assert (identity.username, identity.user_id) == ("alice", "17")
        assert (identity.token_id, dict(identity.claims)) == (None, {})

    renewals()


def test_a_plug_in_of_another_distribution_looks_its_users_up(serve, document):
    section = {"backend": "third_party_class", "users": ["alice", "bob"], "secret": "s3cret"}
    document["authentication"]["static"] = section
    certificate = serve(document).issue(CSR)
    renewed(serve(document), certificate)

    section["users"] = ["bob"]

    assert "not listed any more" in refused_renewal(serve(document), certificate, CSR)


def test_an_authentication_of_another_kind_under_the_same_name_is_asked(serve, document):
    """The recorded authentication is a name of the configuration, not a backend."""
    certificate = serve(document).issue(CSR)
    document["authentication"]["static"] = {"backend": "token"}

    assert "not exist any more" in refused_renewal(serve(document), certificate, CSR)
