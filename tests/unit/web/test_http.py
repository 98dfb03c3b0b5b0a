"""HTTP responses and their statuses."""

from __future__ import annotations

import base64
import contextlib
import json
from ipaddress import ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from anchor.auth.static import StaticAuthentication
from anchor.config.file_types import Secret
from anchor.errors import NotAuthenticated
from anchor.web.request import TRUSTED_PROXIES, Request
from tests.support.pki import DAY, assert_is_leaf, make_ca, make_csr, now


def basic(user="alice", secret="s3cret"):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}


def test_the_ca_is_served_in_pem_by_default_and_on_request(service, ca):
    for query in ("", "?encoding=pem"):
        answer = service.http.get(f"/v1/ca/default{query}")
        assert ca.certificate == x509.load_pem_x509_certificate(answer.body)
        assert answer.content_type == "text/plain"


def test_the_ca_is_served_in_der_and_json_too(service, ca):
    der = service.http.get("/v1/ca/default?encoding=der")
    found = service.http.get("/v1/ca/default", headers={"Accept": "application/json"}).json

    assert ca.certificate == x509.load_der_x509_certificate(der.body)
    assert ca.certificate == x509.load_pem_x509_certificate(found["certificate"].encode())
    assert ca.certificate.fingerprint(hashes.SHA256()).hex() == found["fingerprint"]


def test_the_chain_is_served(serve, document, tmp_path):
    root = make_ca(tmp_path, name="root", not_after=now() + 900 * DAY)
    intermediate = make_ca(tmp_path, name="intermediate", issuer=root)
    document["signing_ca"]["local"] |= {
        "cert_path": str(intermediate.cert_path),
        "key_path": str(intermediate.key_path),
        "chain_path": str(root.cert_path),
    }
    service = serve(document)

    answer = service.http.get("/v1/ca/default?chain=1")
    signed = service.sign(headers={"Accept": "application/json"}, status=200).json

    expected = [intermediate.certificate, root.certificate]
    assert expected == x509.load_pem_x509_certificates(answer.body)
    assert expected == x509.load_pem_x509_certificates("".join(signed["chain"]).encode())


@pytest.mark.parametrize("query", ["encoding=pkcs12", "chain=2", "encoding=der&encoding=pem"])
def test_a_wrong_query_for_the_ca_is_a_400(service, query):
    assert service.http.get(f"/v1/ca/default?{query}", status=400)


def test_robots_are_disallowed(service):
    assert "Disallow: /" in service.http.get("/robots.txt").text


@pytest.mark.parametrize("path", ["/v1/sign/other", "/v1/sign/", "/v1/sign", "/v2", "/v1"])
def test_an_unknown_path_is_a_404_for_any_posted_data(service, path):
    assert service.http.post(path, {"user": "x"}, status=404)


@pytest.mark.parametrize("name", ["index", "_lookup", "__class__", "find", "default\n", "default/"])
def test_attribute_names_are_not_authorities(service, name):
    assert service.http.post(f"/v1/sign/{name.replace(chr(10), '%0a')}", {}, status=404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/sign/default", "POST"),
        ("DELETE", "/v1/sign/default", "POST"),
        ("POST", "/v1/ca/default", "GET, HEAD"),
        ("PUT", "/robots.txt", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_a_405_that_names_the_right_ones(service, method, path, allowed):
    answer = service.http.request(path, method=method, status=405)

    assert allowed == answer.headers["Allow"]


def test_a_query_cannot_change_the_method(service):
    assert service.http.get("/v1/sign/default?_method=post", status=405)


def test_an_authority_name_can_contain_a_dot(serve, document):
    authorities = document["registration_authority"]
    authorities["ra.pem"] = authorities.pop("default")

    assert serve(document).issue(authority="ra.pem")


@pytest.mark.parametrize("field", ["user", "encoding", "csr"])
def test_a_missing_field_is_a_400_that_names_it(service, field):
    fields = {field: None} if field != "csr" else {}
    form = {"user": "alice", "secret": "s3cret", "encoding": "pem", "csr": make_csr()} | fields
    form = {name: value for name, value in form.items() if value is not None}
    if field == "csr":
        del form["csr"]

    answer = service.http.post("/v1/sign/default", form, status=400)

    assert repr(field) in answer.text


@pytest.mark.parametrize("secret", [None, ""])
def test_a_missing_or_empty_secret_is_a_401_and_the_backend_is_not_asked(
    service, monkeypatch, secret
):
    monkeypatch.setattr("anchor.auth.static.StaticAuthentication.authenticate", pytest.fail)

    answer = service.sign(secret=secret, status=401)

    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("wrong", [{"user": "bob"}, {"secret": "x"}, {"user": "", "secret": "x"}])
def test_wrong_credentials_are_a_401_that_does_not_say_which(service, wrong):
    answer = service.sign(status=401, **wrong)

    assert answer.text == "the credentials were not accepted\n"


# Values with different boundaries between user and secret, and with leading digits.
SHIFTED = st.text("1 ab", min_size=1, max_size=4)


@given(SHIFTED, SHIFTED, SHIFTED, SHIFTED)
def test_static_credentials_are_one_user_with_one_secret(user, secret, claimed, shown):
    static = StaticAuthentication(user, Secret(secret))
    right = (user, secret) == (claimed, shown)
    expected = contextlib.nullcontext() if right else pytest.raises(NotAuthenticated)

    assert static.authenticate(user, secret).username == user
    with expected:
        static.authenticate(claimed, shown)


@given(SHIFTED, SHIFTED)
def test_user_and_secret_are_compared_separately(user, secret):
    static = StaticAuthentication(user, Secret(secret))
    both = user + secret
    for at in range(len(both) + 1):
        if at != len(user):
            with pytest.raises(NotAuthenticated):
                static.authenticate(both[:at], both[at:])


def test_credentials_in_a_query_string_are_ignored(service):
    answer = service.http.post(
        "/v1/sign/default?user=alice&secret=s3cret",
        {"encoding": "pem", "csr": make_csr()},
        status=401,
    )
    assert "credentials" in answer.text


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_bare_pkcs10_with_basic_credentials_is_signed(service, ca, encoding):
    csr = x509.load_pem_x509_csr(make_csr())
    answer = service.http.post(
        "/v1/sign/default",
        csr.public_bytes(encoding),
        {**basic(), "Content-Type": "application/pkcs10"},
    )

    assert_is_leaf(x509.load_pem_x509_certificate(answer.body), issued_by=ca)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ({}, 401),
        (basic(secret="wrong"), 401),
        (basic(secret=""), 401),
        ({"Authorization": "Basic %%%"}, 400),
        ({"Authorization": "Digest abc"}, 400),
        ({"Authorization": "Basic " + base64.b64encode(b"nocolon").decode()}, 400),
    ],
)
def test_a_bare_pkcs10_without_valid_credentials_is_rejected(service, header, status):
    service.http.post(
        "/v1/sign/default",
        make_csr(),
        {**header, "Content-Type": "application/pkcs10"},
        status=status,
    )


def test_credentials_in_two_places_are_ambiguous(service):
    assert "both" in service.sign(headers=basic(), status=400).text


def test_an_uploaded_file_is_read_like_a_field(service, ca):
    fields = {"user": "alice", "secret": "s3cret", "encoding": "der"}
    der = x509.load_pem_x509_csr(make_csr()).public_bytes(Encoding.DER)

    answer = service.http.post(
        "/v1/sign/default", fields, upload_files=[("csr", "my.csr", der)], status=200
    )

    assert_is_leaf(x509.load_pem_x509_certificate(answer.body), issued_by=ca)


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "nonsense", "a/b/c; ="])
def test_other_content_types_are_a_415(service, content_type):
    service.http.post(
        "/v1/sign/default", b"{}", {**basic(), "Content-Type": content_type}, status=415
    )


def test_a_body_over_the_limit_is_a_413_and_the_limit_can_be_set(serve, document):
    service = serve(document, max_body_bytes=2048)

    assert service.sign(user="x" * 3000, status=413)
    assert service.sign(status=200)


@pytest.mark.parametrize("length", ["-1", "1e3", "٣", "9" * 30])
def test_a_content_length_that_is_not_a_number_is_a_400(service, length):
    environ = {"CONTENT_LENGTH": length}
    service.http.post("/v1/sign/default", b"", extra_environ=environ, status=400)


def test_a_body_of_unknown_length_is_a_411(service):
    service.http.post("/v1/sign/default", b"", {"Transfer-Encoding": "chunked"}, status=411)


def test_json_contains_the_certificate_its_chain_and_serial(service, ca):
    found = service.sign(headers={"Accept": "application/json"}, status=200).json

    certificate = x509.load_pem_x509_certificate(found["certificate"].encode())
    assert_is_leaf(certificate, issued_by=ca)
    assert [ca.certificate] == [x509.load_pem_x509_certificate(c.encode()) for c in found["chain"]]
    assert f"{certificate.serial_number:x}" == found["serial"]
    assert certificate.fingerprint(hashes.SHA256()).hex() == found["fingerprint"]
    assert f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}" == found["not_after"]
    assert found["not_before"] < found["renew_after"] < found["not_after"]


@pytest.mark.parametrize("accept", ["*/*", "text/plain", "text/html, application/json;q=0.1, */*"])
def test_the_response_is_text_unless_json_is_requested(service, accept):
    assert service.sign(headers={"Accept": accept}, status=200).content_type == "text/plain"


def test_errors_are_problem_details_if_json_is_requested(service):
    answer = service.sign(b"nonsense", headers={"Accept": "application/json"}, status=400)

    assert answer.content_type == "application/problem+json"
    problem = json.loads(answer.body)
    assert (400, "Bad Request") == (problem["status"], problem["title"])
    assert problem["request_id"] == answer.headers["X-Request-Id"]


def test_a_rejection_names_every_failed_check(serve, document):
    document["registration_authority"]["default"]["validators"] = {
        "source_cidrs": {"cidrs": ["10.0.0.0/8"]},
        "standards_compliance": {},
    }
    service = serve(document)
    csr = make_csr("*.*.example.com", "a_b..example.com")

    text = service.sign(csr, status=400).text
    problem = service.sign(csr, headers={"Accept": "application/json"}, status=400).json

    checks = ["source_cidrs", "standards_compliance"]
    assert checks == [failure["check"] for failure in problem["failures"]]
    assert all(check in text for check in checks)
    assert "192.0.2.7" in text


def test_internal_errors_reveal_no_details(service, monkeypatch, caplog, tmp_path):
    (tmp_path / "certs").rmdir()
    (tmp_path / "certs").write_text("in the way")

    answer = service.sign(status=500)

    assert answer.text == f"internal error, request {answer.headers['X-Request-Id']}\n"
    assert "StorageError" in caplog.text


def test_an_error_outside_the_pipeline_is_a_500_too(service, monkeypatch):
    def broken(*_):
        raise RuntimeError("with a secret in it")

    monkeypatch.setattr("anchor.web.dispatch.StrictDispatch.route", broken)

    answer = service.sign(status=500)

    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


PROXIES = [ip_network("10.0.0.0/8"), ip_network("::1")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", "203.0.113.5", "192.0.2.1"),
        ("10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "203.0.113.5, 10.0.0.2", "203.0.113.5"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "", "unknown"),
        ("10.0.0.1", " \t", "unknown"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("::1", "2001:db8::5", "2001:db8::5"),
        ("::ffff:10.0.0.1", "::ffff:203.0.113.5", "203.0.113.5"),
        ("::ffff:192.0.2.1", "203.0.113.5", "192.0.2.1"),
        ("", "203.0.113.5", "unknown"),
    ],
)
def test_only_trusted_proxies_set_the_client_address(peer, forwarded, expected):
    environ = {"REMOTE_ADDR": peer, TRUSTED_PROXIES: PROXIES}
    if forwarded is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    request = Request.blank("/", environ=environ)

    assert expected == request.client_addr


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ("203.0.113.5:8080", "203.0.113.5"),
        ("203.0.113.5:0", "203.0.113.5"),
        ('"203.0.113.5:8080"', "203.0.113.5"),
        ('"203.0.113.5"', "203.0.113.5"),
        ("\t203.0.113.5  ", "203.0.113.5"),
        ("2001:DB8::5", "2001:db8::5"),
        ("[2001:db8::5]", "2001:db8::5"),
        ("[2001:db8::5]:65535", "2001:db8::5"),
        ('"[2001:db8::5]:443"', "2001:db8::5"),
        ("2001:db8:0:0:0:0:0:5", "2001:db8::5"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("[::ffff:203.0.113.5]:443", "203.0.113.5"),
        ("::ffff:cb00:7105", "203.0.113.5"),
        ("fe80::5%eth0", "fe80::5"),
        ("[fe80::5%25eth0.1]:80", "fe80::5"),
        ("[::ffff:203.0.113.5%eth0]:80", "203.0.113.5"),
    ],
)
def test_client_addresses_are_parsed_in_every_proxy_format(element, expected):
    assert expected == client_of(element)
    assert expected == client_of(f"6.6.6.6, {element},10.0.0.2")
    assert "10.0.0.3" == client_of("10.0.0.3:4711, [::1]:80, [::ffff:10.0.0.2]:443")


UNREADABLE = [
    *(
        "",
        ",",
        ", ,",
        "unknown",
        "_hidden",
        "_obfuscated:80",
        "nonsense",
        "localhost",
        "unix:",
        "-",
    ),
    *("203.0.113.5:", "203.0.113.5:65536", "203.0.113.5:123456", "203.0.113.5:http", ":80"),
    *("203.0.113.5:_port", "203.0.113.5:80:80", "203.0.113.5/32", "203.0.113.005", "203.0.113"),
    *("203.0.113.256", "3405803781", "0xcb.0.113.5", "203.0.113.5 203.0.113.6", "203.0.113.5;"),
    *("[203.0.113.5]", "[203.0.113.5]:80", "[2001:db8::5", "2001:db8::5]", "[2001:db8::5]80"),
    *("[2001:db8::5]:", "[2001:db8::5]:65536", "[[::1]]", "[]", "[]:80", "2001:db8:::5", ":::"),
    *('"203.0.113.5', '203.0.113.5"', '""', '"', "'203.0.113.5'", "for=203.0.113.5", "%", "%eth0"),
    *("fe80::5%", "fe80::5%a\nb", "fe80::5%a b", "fe80::5%\u00e9", "203.0.113.5%eth0"),
    *("203.0.113.5\n", "\u0662\u0660\u0663.0.113.5", "\xa0203.0.113.5", "203.0.113.5\0", "\udcff"),
    *(f"fe80::1%{'a' * 10_000}", "1" * 10_000, ":" * 10_000, "10.0.0.1:" + "0" * 5000),
]


@pytest.mark.parametrize("element", UNREADABLE)
@pytest.mark.parametrize("around", ["{}, 10.0.0.2", "6.6.6.6, {},10.0.0.2,::1", "10.0.0.3,{}"])
def test_an_unreadable_address_is_unknown_not_the_proxys(element, around):
    assert "unknown" == client_of(around.format(element))


@pytest.mark.slow
@pytest.mark.parametrize("count", [10_000, 10_001])
def test_ten_thousand_forwarded_elements_are_read_from_the_right(count):
    assert "10.0.0.1" == client_of(",".join(["10.0.0.1"] * count))
    assert "203.0.113.5" == client_of(",".join(["6.6.6.6"] * count + ["203.0.113.5"]))
    assert "unknown" == client_of("," * count)


def client_of(forwarded):
    """The client address if a trusted proxy sends this header."""
    environ = {"REMOTE_ADDR": "10.0.0.1", TRUSTED_PROXIES: PROXIES}
    request = Request.blank("/", environ=environ | {"HTTP_X_FORWARDED_FOR": forwarded})
    text = request.client_addr
    assert (request.client_address is None) == (text == "unknown")
    return text


@pytest.mark.parametrize("element", ["", ",", "unknown", "_hidden", "nonsense", "192.0.2.7:x"])
def test_an_unknown_client_is_in_no_network(serve, document, audit, element):
    everywhere = ["0.0.0.0/0", "::/0"]
    authority = document["registration_authority"]["default"]
    authority["validators"]["source_cidrs"] = {"cidrs": everywhere}
    service = serve(document, trusted_proxies=["192.0.2.7/32"], metrics_networks=everywhere)
    forwarded = {"X-Forwarded-For": f"192.0.2.7, {element}, 192.0.2.7"}

    refused = service.sign(headers=forwarded, status=400)
    service.http.get("/metrics", headers=forwarded, status=403)

    assert "source address is unknown" in refused.text
    assert {"unknown"} == {event["address"] for event in audit.events()}
    del authority["validators"]["source_cidrs"]
    serve(document, trusted_proxies=["192.0.2.7/32"]).sign(headers=forwarded, status=200)
