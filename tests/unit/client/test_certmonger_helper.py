"""The helper's reply to each operation of certmonger's protocol."""

from __future__ import annotations

import os

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.client import certmonger
from tests.support.canned import problem_response, response
from tests.support.pki import DAY, make_ca, make_csr, now, shared_key
from tests.support.servers.https_anchor import make_tls, running


@pytest.fixture
def helper(https_anchor, monkeypatch, capsys):
    """Runs the helper as certmonger would; returns its exit code and its output."""
    for name in [name for name in os.environ if name.startswith("CERTMONGER_")]:
        monkeypatch.delenv(name)

    def run(operation, *, config=None, **variables):
        with monkeypatch.context() as patch:
            if operation is not None:
                patch.setenv("CERTMONGER_OPERATION", operation)
            variables = {"CSR": make_csr("www.example.com").decode()} | variables
            for name, value in variables.items():
                if value is not None:
                    patch.setenv(f"CERTMONGER_{name}", value)
            capsys.readouterr()
            code = certmonger.main(["--config", str(config or https_anchor.client_json())])
        return code, capsys.readouterr().out

    return run


@pytest.mark.parametrize("operation", ["SUBMIT", "POLL", None, ""])
def test_a_certificate_for_the_request_is_printed(helper, operation, ca):
    code, out = helper(operation)

    assert 0 == code
    certificate = x509.load_pem_x509_certificate(out.encode())
    assert certificate.public_key() == shared_key().public_key()
    certificate.verify_directly_issued_by(ca.certificate)


@pytest.mark.parametrize(
    "operation",
    [
        "FETCH-SCEP-CA-CAPS",
        "FETCH-SCEP-CA-CERTS",
        "GET-SUPPORTED-TEMPLATES",
        "GET-DEFAULT-TEMPLATE",
        "MAKE-COFFEE",
    ],
)
def test_an_unsupported_operation_exits_with_6(helper, operation):
    assert (6, "") == helper(operation)


@pytest.mark.parametrize(
    "operation", ["GET-NEW-REQUEST-REQUIREMENTS", "GET-RENEW-REQUEST-REQUIREMENTS"]
)
def test_no_attribute_of_a_request_is_required(helper, operation):
    assert (0, "") == helper(operation)


def test_identify_works_without_a_configuration(helper, tmp_path):
    code, out = helper("IDENTIFY", config=tmp_path / "missing.json")

    assert 0 == code
    assert out.startswith("Anchor ")
    assert 1 == out.count("\n")


def test_a_rejection_exits_with_2_and_the_reason_of_the_service(helper, https_anchor):
    https_anchor.wsgi = problem_response("400 Bad Request", "common_name: name is not allowed")

    assert (2, "common_name: name is not allowed\n") == helper("SUBMIT")


@pytest.mark.parametrize(
    ("status", "header", "least"),
    [
        ("503 Service Unavailable", "120", 120),
        ("429 Too Many Requests", "300", 300),
        ("503 Service Unavailable", "soon", 5),
        ("500 Internal Server Error", None, 5),
        ("502 Bad Gateway", None, 5),
        ("503 Service Unavailable", "7200", 7200),
        ("503 Service Unavailable", "999999999", 86400),
    ],
)
def test_a_busy_service_exits_with_5_and_its_retry_after(
    helper, https_anchor, status, header, least
):
    headers = {"Retry_After": header} if header else {}
    https_anchor.wsgi = response(status, b"<html>busy", "text/html", **headers)

    code, out = helper("SUBMIT")

    seconds, cookie = out.split()
    assert 5 == code
    assert "anchor-1" == cookie
    assert least <= int(seconds) <= max(least, 10)


def test_the_wait_grows_with_each_attempt_up_to_an_hour(helper, https_anchor):
    https_anchor.stop()
    cookie, waits = None, []
    for _ in range(14):
        code, out = helper("POLL", CA_COOKIE=cookie)
        assert 5 == code
        seconds, cookie = out.split()
        waits.append(int(seconds))

    for number, wait in enumerate(waits):
        longest = min(3600, 10 * 2**number)
        assert longest / 2 <= wait <= longest


@pytest.mark.parametrize("cookie", ["anchor-99999999999999999", "anchor--1", "x" * 5000, "", "\n"])
def test_an_invalid_cookie_is_ignored(helper, https_anchor, cookie):
    https_anchor.stop()

    code, out = helper("POLL", CA_COOKIE=cookie)

    assert (5, "anchor-1") == (code, out.split()[1])


def test_the_wait_ends_before_the_old_certificate_expires(helper, https_anchor):
    code, old = helper("SUBMIT")
    assert 0 == code
    https_anchor.stop()

    _, out = helper("POLL", CA_COOKIE="anchor-20", CERTIFICATE=old)
    patient = int(out.split()[0])
    _, out = helper("POLL", CA_COOKIE="anchor-20")

    assert 0 < patient <= 3600
    assert int(out.split()[0]) <= 3600


def test_a_certificate_for_another_key_is_not_printed(helper, https_anchor, tmp_path):
    stranger = make_ca(tmp_path, name="stranger").certificate
    pem = stranger.public_bytes(Encoding.PEM).decode()
    https_anchor.wsgi = response("200 OK", {"certificate": pem, "chain": []})

    code, out = helper("SUBMIT")

    assert 5 == code
    assert "CERTIFICATE" not in out


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[" * 100000,
        b"[]",
        b"{}",
        b'{"certificate": 1, "chain": []}',
        b'{"certificate": "-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----"}',
        b"x" * 1000000,
    ],
)
def test_garbage_is_not_printed(helper, https_anchor, body):
    https_anchor.wsgi = response("200 OK", body)

    code, out = helper("SUBMIT")

    assert (5, "anchor-1") == (code, out.split()[1])


def test_a_wrong_chain_is_not_printed(helper, https_anchor, tmp_path):
    stranger = make_ca(tmp_path, name="stranger").certificate
    pem = stranger.public_bytes(Encoding.PEM).decode()
    _, good = helper("SUBMIT")
    https_anchor.wsgi = response("200 OK", {"certificate": good, "chain": [pem]})

    assert 5 == helper("SUBMIT")[0]


@pytest.mark.parametrize("profile", ["../etc", "a b", "-x", "x" * 65, "näme", "a\n"])
def test_an_invalid_profile_name_is_rejected(helper, https_anchor, profile):
    code, out = helper("SUBMIT", CA_PROFILE=profile)

    assert 2 == code
    assert "no name of a registration authority" in out
    assert [] == https_anchor.requests


def test_a_missing_request_is_rejected(helper, https_anchor):
    assert 2 == helper("SUBMIT", CSR=None)[0]
    assert 2 == helper("SUBMIT", CSR="garbage")[0]
    assert [] == https_anchor.requests


def test_an_unknown_authority_is_a_configuration_error(helper):
    code, out = helper("SUBMIT", CA_PROFILE="nobody")

    assert 4 == code
    assert "has no authority 'nobody'" in out


def test_wrong_credentials_are_a_configuration_error(helper, https_anchor, tmp_path):
    (tmp_path / "secret").write_text("hunter2")
    (tmp_path / "secret").chmod(0o600)

    code, out = helper("SUBMIT")

    assert 4 == code
    assert "refused the credentials" in out
    assert "hunter2" not in out


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"secret_file": "missing"}, "cannot be read"),
        ({"secret_file": "loose"}, "mode 0644"),
        ({"secret_file": "empty"}, "is empty"),
        ({"secret_file": None}, "exactly one of"),
        ({"secret_command": ["true"]}, "exactly one of"),
        ({"ca_file": "missing.pem"}, "cannot be read"),
        ({"ca_file": "loose"}, "no certificates"),
        ({"url": "http://127.0.0.1:1"}, "allow_http"),
        ({"url": "ftp://127.0.0.1"}, "should be a URL"),
        ({"url": "https://user:pass@127.0.0.1"}, "without a user"),
        ({"url": "https://127.0.0.1:99999"}, "url"),
        ({"authority": "a/b"}, "authority"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "5"}, "timeout"),
        ({"colour": "red"}, "unknown option 'colour'"),
        ({"user": None}, "missing option 'user'"),
    ],
)
def test_an_invalid_configuration_exits_with_4_and_the_reason(
    helper, https_anchor, tmp_path, changes, reason
):
    for name, contents in (("loose", "x"), ("empty", "")):
        (tmp_path / name).write_text(contents)
        (tmp_path / name).chmod(0o644 if name == "loose" else 0o600)

    code, out = helper("SUBMIT", config=https_anchor.client_json(**changes))

    assert 4 == code
    assert reason in out
    assert 1 == out.count("\n")
    assert [] == https_anchor.requests


def test_all_configuration_errors_are_shown_at_once(helper, https_anchor):
    config = https_anchor.client_json(url="http://a", secret_file="missing", issuer_ca_file="none")

    _, out = helper("SUBMIT", config=config)

    assert "url: is plain http" in out
    assert "secret_file: " in out
    assert "issuer_ca_file: " in out


def test_a_world_writable_configuration_exits_with_4(helper, https_anchor):
    config = https_anchor.client_json()
    config.chmod(0o666)

    code, out = helper("SUBMIT", config=config)

    assert 4 == code
    assert f"{config} is writable by everyone (owner root, mode 0666)" in out
    assert "should be owned by root and have mode 0644" in out


def test_a_server_that_the_ca_file_does_not_verify_gets_no_secret(helper, https_anchor, tmp_path):
    other = make_tls(tmp_path / "other", name="Other")

    code, out = helper("SUBMIT", config=https_anchor.client_json(ca_file=str(other.ca.cert_path)))

    assert 4 == code
    assert "cannot be verified" in out
    assert [] == https_anchor.requests


def test_a_server_of_another_name_gets_no_secret(helper, tmp_path, document):
    tls = make_tls(tmp_path / "named", address="192.0.2.1")
    with running(tmp_path, document, tls) as anchor:
        code, out = helper("SUBMIT", config=anchor.client_json())

        assert 4 == code
        assert "cannot be verified" in out
        assert [] == anchor.requests


def test_an_expired_server_certificate_is_retried_later(helper, tmp_path, document):

    tls = make_tls(tmp_path / "expired", not_after=now() - DAY)
    with running(tmp_path, document, tls) as anchor:
        assert 5 == helper("SUBMIT", config=anchor.client_json())[0]
        assert [] == anchor.requests


def test_a_redirect_is_not_followed(helper, https_anchor):
    https_anchor.wsgi = response(
        "302 Found", b"", "text/plain", Location="https://elsewhere.example.com/"
    )

    code, out = helper("SUBMIT")

    assert 4 == code
    assert "https://elsewhere.example.com/" in out


def test_roots_are_fetched_over_verified_tls_only(helper, tmp_path, document, ca):
    code, out = helper("FETCH-ROOTS")
    assert 0 == code
    nickname, _, pem = out.partition("\n")
    assert "CN=Test CA" == nickname
    assert ca.certificate == x509.load_pem_x509_certificate(pem.encode())

    with running(tmp_path, document, None) as anchor:
        config = anchor.client_json(allow_http=True)
        assert 0 == helper("SUBMIT", config=config)[0]
        assert (6, "") == helper("FETCH-ROOTS", config=config)
        assert [("POST", "/v1/sign/default"), ("GET", "/v1/ca/default")] == anchor.requests


def test_roots_of_an_unavailable_service_are_retried_later(helper, https_anchor):
    https_anchor.stop()

    waits = []
    for _ in range(10):
        code, out = helper("FETCH-ROOTS")
        assert 5 == code
        waits.append(int(out.split()[0]))

    assert 30 <= min(waits) < max(waits) <= 60


def test_a_wrong_command_line_exits_with_4_and_the_reason(capsys):
    with pytest.raises(SystemExit) as ended:
        certmonger.main(["--confg", "x"])

    assert 4 == ended.value.code
    assert "unrecognized arguments" in capsys.readouterr().out


def test_an_internal_error_is_retried_soon(monkeypatch, capsys):
    # No known input causes an internal error.
    monkeypatch.setattr(certmonger.configuration, "load", lambda _path: 1 / 0)

    assert 5 == certmonger.main(["--config", "x"])
    assert "anchor-1" == capsys.readouterr().out.split()[1]
