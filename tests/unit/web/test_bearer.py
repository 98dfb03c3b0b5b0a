"""``Authorization: Bearer``, and an authority with several authentications."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography import x509

from tests.support.pki import assert_is_leaf, make_csr

# {"alg":"none"} . {"sub":"job"} . a signature that nobody verifies
JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJqb2IifQ.c2lnbmF0dXJl"
OTHER_JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJldmUifQ.c2lnbmF0dXJl"
PKCS10 = {"Content-Type": "application/pkcs10"}


@pytest.fixture
def document(document):
    """An authority that accepts passwords and JWTs."""
    document["authentication"]["jobs"] = {"backend": "third_party_jwt", "jwt": JWT}
    document["registration_authority"]["default"]["authentication"] = ["static", "jobs"]
    return document


def bearer(service, token, status=None, **headers):
    headers = {**PKCS10, "Authorization": f"Bearer {token}", **headers}
    return service.http.post("/v1/sign/default", make_csr(), headers, status=status or "*")


def basic(user, secret):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}


def test_a_jwt_gets_a_certificate_as_bearer_token_as_secret_and_by_basic(service, ca, audit):
    answers = [
        bearer(service, JWT),
        service.sign(user="whoever", secret=JWT),
        service.sign(user="", secret=JWT),
        service.http.post("/v1/sign/default", make_csr(), {**PKCS10, **basic("x", JWT)}),
        # RFC 9110 11.1: schemes are case-insensitive.
        bearer(service, JWT, Authorization=f"bEARER   {JWT}"),
    ]

    for answer in answers:
        assert answer.status_int == 200, answer.text
        assert_is_leaf(x509.load_pem_x509_certificate(answer.body), issued_by=ca)
    for event in audit.events():
        assert (event["user"], event["authentication"], event["credential"]) == (
            "job",
            "jobs",
            "jwt",
        )
        assert event["claims"] == {"project": "web"}


@pytest.mark.parametrize("user", [JWT, f"{JWT}\n", f"Bearer {JWT}"])
@pytest.mark.parametrize("secret", ["x", "x-oauth-basic", JWT[:-1]])
def test_a_jwt_as_the_user_name_is_refused_and_not_recorded(service, audit, caplog, user, secret):
    service.sign(user=user, secret=secret, status=401)

    [event] = audit.events()
    assert ("audit.auth", "failure") == (event["event"], event["outcome"])
    assert JWT not in caplog.text + str(event)


@pytest.mark.parametrize("user", ["eyal.levi.cohen", "eve.example.com", "ey" + "a" * 40, "gAAAAA"])
def test_a_user_name_that_is_no_jwt_is_recorded(service, audit, user):
    service.sign(user=user, secret="wrong", status=401)

    assert user == audit.events()[-1]["user"]


def test_a_form_needs_the_field_user_beside_a_password_only(service):
    service.sign(user=None, secret=JWT, status=200)
    answer = service.sign(user=None, secret="s3cret", status=400)

    assert "the field 'user' is missing" in answer.text


def test_a_password_gets_a_certificate_at_the_same_authority(service, audit):
    service.sign(status=200)

    assert [(event["authentication"], event["credential"]) for event in audit.events()] == [
        ("static", "password")
    ] * 2


def test_a_form_may_come_with_a_bearer_token(service):
    form = {"encoding": "pem", "csr": make_csr()}
    headers = {"Authorization": f"Bearer {JWT}"}

    service.http.post("/v1/sign/default", form, headers, status=200)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {OTHER_JWT}", 401),
        ("Bearer abc", 401),
        ("Bearer abc==", 401),
        ("Bearer", 400),
        ("Bearer ", 400),
        ("Bearer a b", 400),
        (f"Bearer {JWT}, Basic YTpi", 400),
        ("Bearer \u00e9", 400),
        ("Bearer " + "a" * 20_000, 400),
        ("Negotiate abc", 400),
        ("Basic %%%", 400),
        (f"Token {JWT}", 400),
    ],
)
def test_other_headers_get_no_certificate(service, header, status):
    answer = bearer(service, "", Authorization=header)

    assert (answer.status_int, answer.headers.get("WWW-Authenticate")) == (
        status,
        'Basic realm="anchor", charset="UTF-8", Bearer realm="anchor"' if status == 401 else None,
    )
    assert JWT not in answer.text


@pytest.mark.parametrize("field", ["user", "secret"])
def test_credentials_in_the_header_and_in_the_form_are_refused(service, field):
    form = {"encoding": "pem", "csr": make_csr(), field: JWT}

    answer = service.http.post(
        "/v1/sign/default", form, {"Authorization": f"Bearer {JWT}"}, status=400
    )

    assert "both in the form and in the header" in answer.text


def test_a_jwt_is_never_tried_as_a_password_of_the_same_authority(serve, document, audit):
    document["authentication"]["static"]["secret"] = OTHER_JWT
    service = serve(document)

    service.sign(user="alice", secret=OTHER_JWT, status=401)

    [event] = audit.events()
    assert (event["authentication"], event["credential"]) == ("jobs", "jwt")


def test_a_single_authentication_of_passwords_takes_no_bearer_token(serve, document, audit):
    document["registration_authority"]["default"]["authentication"] = "static"
    document["authentication"]["static"]["secret"] = JWT
    service = serve(document)

    answer = bearer(service, JWT, status=401)

    assert answer.headers["WWW-Authenticate"] == 'Basic realm="anchor", charset="UTF-8"'
    [event] = audit.events()
    assert "authentication" not in event
    service.sign(secret=JWT, status=200)


def test_failures_of_one_kind_do_not_lock_out_the_other(serve, document):
    document["registration_authority"]["default"] |= {"max_failures": 2, "max_address_failures": 3}
    service = serve(document)

    statuses = [bearer(service, OTHER_JWT).status_int for _ in range(5)]

    assert statuses[0] == 401
    assert statuses[-1] == 429
    service.sign(status=200)


def test_the_metrics_count_by_the_kind_of_credential(serve, document):
    service = serve(document, metrics_networks=["192.0.2.0/24"])
    service.sign(status=200)
    bearer(service, JWT, status=200)
    bearer(service, JWT, status=200)
    bearer(service, OTHER_JWT, status=401)
    service.sign(secret="", status=401)

    lines = service.http.get("/metrics").text.splitlines()

    for line in (
        'anchor_authentications_total{authentication="jobs",credential="jwt"} 2',
        'anchor_authentications_total{authentication="static",credential="password"} 1',
        'anchor_authentication_failures_total{authentication="jobs",kind="unauthenticated"} 1',
        'anchor_authentication_failures_total{authentication="static",kind="unauthenticated"} 0',
        'anchor_authentication_failures_total{authentication="none",kind="unauthenticated"} 1',
    ):
        assert line in lines


def test_the_front_page_shows_how_to_send_each_kind(service):
    text = service.http.get("/").text
    found = json.loads(service.http.get("/", headers={"Accept": "application/json"}).text)

    assert "curl -u USER" in text
    assert "Authorization: Bearer" in text
    assert found["authorities"][0]["schemes"] == ["Basic", "Bearer"]
    assert " Or: " in found["authorities"][0]["credentials"]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ([], "authentication"),
        (["static", "nobody"], "there is no authentication 'nobody'"),
        (["static", "static"], "both accept a password"),
        (["static", 7], "authentication"),
    ],
)
def test_a_wrong_list_of_authentications_is_a_configuration_error(serve, document, names, problem):
    from anchor.errors import ConfigurationError

    document["registration_authority"]["default"]["authentication"] = names

    with pytest.raises(ConfigurationError, match=problem):
        serve(document)
