"""EST over HTTP: paths, methods, media types, layouts, and hostile requests."""

from __future__ import annotations

import base64
import itertools
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import jwt
from tests.support.est import BASIC, CSR, EST, body_of, certificates_in, post
from tests.support.pki import DAY, make_ca, make_csr, now
from tests.support.properties import examples

OPERATIONS = {
    "cacerts": "GET, HEAD",
    "csrattrs": "GET, HEAD",
    "simpleenroll": "POST",
    "simplereenroll": "POST",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
BROWSER = {"User-Agent": "curl/8.0"}
MANY_NAMES = make_csr("www.example.com", *(f"host-{n}.example.com" for n in range(60)))


@st.composite
def damaged_requests(draw):
    """The base64 of a request with one changed byte."""
    der = bytearray(base64.b64decode(body_of(CSR)))
    der[draw(st.integers(0, len(der) - 1))] = draw(st.integers(0, 255))
    return base64.b64encode(bytes(der))


def get(service, path, status=200, **headers):
    return service.http.get(f"{EST}/{path}", headers=headers, status=status)


UNKNOWN = [
    "",
    "/",
    "/est",
    "/est/",
    "/est//cacerts",
    "/est/default",
    "/est/default/",
    "/est/default/cacerts/",
    "/est/default/x/cacerts",
    "/est/other/cacerts",
    "/est/cacerts/cacerts",
    "/est/cacerts/",
    "/est/fullcmc",
    "/est/serverkeygen",
    "/est/../est/cacerts",
    "/est/%2e%2e/cacerts",
    "/est/default%2Fcacerts%2F",
    "/est/__class__/cacerts",
    "/est/_authorities",
    "/_web/cacerts",
    "/EST/cacerts",
]


def test_other_paths_are_answered_404(service):
    for path, method in itertools.product(UNKNOWN, ("GET", "POST")):
        service.http.request(f"/.well-known{path}", method=method, status=404)


def test_an_encoded_path_is_the_same_path(service):
    for path in ("/%2ewell-known/est/cacerts", "/.well-known/est/default%2Fcacerts"):
        assert certificates_in(service.http.get(path))


def test_a_wrong_method_is_answered_405_with_those_that_are_right(service):
    for (operation, allowed), method in itertools.product(OPERATIONS.items(), METHODS):
        for path in (operation, f"default/{operation}"):
            if method not in allowed:
                answer = service.http.request(f"{EST}/{path}", method=method, status=405)
                assert answer.headers["Allow"] == allowed


def test_an_authority_with_the_name_of_an_operation_has_no_paths(serve, document):
    authorities = document["registration_authority"]
    authorities["cacerts"] = authorities["default"]
    service = serve(document)

    post(service, "cacerts/simpleenroll", headers=BASIC, status=404)
    assert "cannot be 'cacerts'" in get(service, "cacerts/cacerts", status=404).text
    assert certificates_in(get(service, "cacerts"))


def test_without_an_authority_default_a_label_is_needed(serve, document):
    authorities = document["registration_authority"]
    authorities["web"] = authorities.pop("default")
    service = serve(document)

    get(service, "cacerts", status=404)
    assert certificates_in(get(service, "web/cacerts"))


def test_the_ca_certificates_are_those_of_all_generations_with_their_chains(
    serve, document, tmp_path
):
    root = make_ca(tmp_path, name="Root")
    old, new = (make_ca(tmp_path, name=name, issuer=root) for name in ("Old", "New"))
    document["signing_ca"]["local"] |= {
        "cert_path": str(old.cert_path),
        "key_path": str(old.key_path),
        "chain_path": str(root.cert_path),
        "next": {
            "from": (now() + 10 * DAY).isoformat(),
            "cert_path": str(new.cert_path),
            "key_path": str(new.key_path),
            "chain_path": str(root.cert_path),
        },
    }

    answer = get(serve(document), "cacerts")

    assert {old.certificate, new.certificate, root.certificate} == set(certificates_in(answer))
    assert answer.headers["Content-Type"] == "application/pkcs7-mime"


def test_a_long_message_has_lines_unless_the_client_sends_no_user_agent(service):
    issued = post(service, "simpleenroll", MANY_NAMES, headers=BASIC | BROWSER, status=200)
    for_strongswan = post(service, "simpleenroll", MANY_NAMES, headers=BASIC, status=200)

    assert max(map(len, issued.body.splitlines())) == 64
    assert for_strongswan.body.count(b"\n") == 1
    assert len(certificates_in(issued)) == len(certificates_in(for_strongswan)) == 1


def test_a_short_message_is_one_line(service):
    answer = get(service, "cacerts", **BROWSER)

    assert answer.body.endswith(b"\n") and answer.body.count(b"\n") == 1
    assert answer.headers["Content-Transfer-Encoding"] == "base64"


def test_csr_attributes_are_answered_if_the_policy_requires_a_key(serve, document):
    service = serve(document)
    nothing = get(service, "csrattrs", status=204)
    document["registration_authority"]["default"]["validators"] = {
        "public_key": {"allowed_keys": {"EC": 384}}
    }
    service = serve(document)
    answer = get(service, "csrattrs")

    assert nothing.body == b"" and "Content-Length" not in nothing.headers
    assert answer.headers["Content-Type"] == "application/csrattrs"
    assert base64.b64decode(answer.body).hex() == "3014301206072a8648ce3d0201310706052b81040022"


def test_another_media_type_is_answered_415(service):
    for content_type in (None, "", "application/json", "text/plain", "application/pkcs7-mime"):
        headers = BASIC | {"Content-Type": content_type}
        answer = post(service, "simpleenroll", headers=headers, status=415)
        assert answer.text == "the body should be application/pkcs10\n"


def test_headers_about_the_encoding_do_not_matter(service):
    for headers in (
        {"Content-Type": "APPLICATION/PKCS10; charset=us-ascii"},
        {"Content-Transfer-Encoding": "base64"},
        {"Content-Transfer-Encoding": "binary"},
        {"Content-Transfer-Encoding": "nonsense"},
    ):
        assert certificates_in(post(service, "simpleenroll", headers=BASIC | headers, status=200))


def test_a_body_without_a_request_is_answered_400_and_recorded(service, audit):
    for body in (b"", b"nonsense"):
        answer = post(service, "simpleenroll", body, headers=BASIC, status=400)
        assert "request" in answer.text
    events = [(event["event"], event["outcome"]) for event in audit.events()]
    assert events == [("audit.auth", "success"), ("audit.sign", "failure")] * 2


def test_the_credentials_are_checked_before_the_request_is_read(service):
    assert post(service, "simpleenroll", b"nonsense").status_int == 401


def test_a_malformed_header_is_the_clients_fault(service):
    for header, status in (
        ("Basic", 400),
        ("Basic !", 400),
        ("Basic YWxpY2U=", 400),
        ("Basic YWxpY2U6", 401),
        ("Digest username=alice", 400),
        ("Bearer a b", 400),
        ("Bearer nonsense", 401),
    ):
        post(service, "simpleenroll", headers={"Authorization": header}, status=status)


def test_a_body_over_the_limit_is_answered_413(service):
    post(service, "simpleenroll", b"M" * 70_000, headers=BASIC, status=413)


def test_a_client_certificate_that_is_none_is_the_clients_fault(service):
    for value in ("nonsense", "-----BEGIN%20CERTIFICATE-----", "%00", "x" * 70_000):
        answer = post(service, "simplereenroll", ANCHOR_CLIENT_CERTIFICATE=value)
        assert 400 <= answer.status_int < 500


def test_errors_are_text_or_problem_details(service):
    text = post(service, "simpleenroll", headers=BROWSER, status=401)
    as_json = BROWSER | {"Accept": "application/json"}
    problem = post(service, "simpleenroll", headers=as_json, status=401)

    assert text.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "neither an Authorization header nor a client certificate" in text.text
    assert json.loads(problem.body)["detail"] + "\n" == text.text


def test_a_client_without_user_agent_gets_a_bare_challenge_before_it_sends_a_secret(
    serve, document, tmp_path
):
    document["authentication"]["jobs"] = jwt.oidc_section(tmp_path)
    document["registration_authority"]["default"]["authentication"] = ["static", "jobs"]
    service = serve(document)
    other = make_ca(tmp_path, name="Another CA").certificate
    basic = 'Basic realm="anchor", charset="UTF-8"'

    # Bouncy Castle fails if the response has a body or a second challenge.
    for certificate in (None, other):
        answer = post(service, "simpleenroll", certificate=certificate, status=401)
        assert (answer.body, answer.headers["Content-Length"]) == (b"", "0")
        assert answer.headers["WWW-Authenticate"] == basic
    wrong = {"Authorization": "Basic " + base64.b64encode(b"alice:wrong").decode()}
    for headers in (wrong, BROWSER):
        answer = post(service, "simpleenroll", headers=headers, status=401)
        assert answer.body
        assert answer.headers["WWW-Authenticate"] == f'{basic}, Bearer realm="anchor"'


def test_refusals_of_the_policy_are_answered_400_with_every_reason(serve, document):
    document["registration_authority"]["default"]["validators"] = {
        "public_key": {"allowed_keys": {"RSA": 2048}},
        "common_name": {"allowed_domains": [".example.org"]},
    }

    answer = post(serve(document), "simpleenroll", headers=BASIC, status=400)

    assert "public_key" in answer.text and "common_name" in answer.text


@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(body=st.binary(max_size=300) | damaged_requests())
def test_no_body_is_answered_with_an_error_of_the_server(service, body):
    for operation in ("simpleenroll", "simplereenroll"):
        answer = post(service, operation, body, headers=BASIC)
        assert answer.status_int < 500
