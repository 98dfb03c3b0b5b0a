"""The helper finds the key of the certificate that certmonger renews, or says why it does not."""

from __future__ import annotations

import os
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from anchor.client import certmonger, certmonger_keys
from tests.support.pki import key_pem, make_csr, make_key, names_of
from tests.support.signing_services import issue, pem


@pytest.fixture
def key():
    return make_key()


@pytest.fixture
def certificate(key, ca):
    csr = x509.load_pem_x509_csr(make_csr("www.example.com", "www.example.com", key=key))
    return issue(csr, ca)


@pytest.fixture
def tracked(monkeypatch, certificate, key, tmp_path):
    """What certmonger tells about the request; a test may change it."""
    path = tmp_path / "s.key"
    path.write_bytes(key_pem(key))
    properties = {
        "nickname": "r1",
        "cert": pem(certificate).replace("\n", "\r\n") + "\n",
        "key-storage": "FILE",
        "key-file": str(path),
        "key-pin": "",
        "key-pin-file": "",
    }
    other = properties | {"cert": "", "key-file": "/no/such/key"}
    monkeypatch.setattr(certmonger_keys, "_requests", lambda: [other, properties])
    return properties


def test_the_key_of_the_same_certificate_is_found(tracked, certificate, key):
    held = certmonger_keys.held_certificate(certificate)

    assert key.public_key() == held.key.public_key() == certificate.public_key()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key-pin": "1234"}, "the key in {path} has a PIN"),
        ({"key-pin-file": "/etc/pin"}, "the key in {path} has a PIN"),
        ({"key-storage": "NSSDB", "key-file": ""}, "its key is not in a file, but in NSSDB"),
        ({"key-file": "/no/such/key"}, "the key in /no/such/key cannot be read: No such file"),
        ({"key-file": "/dev/null"}, "/dev/null is no regular file"),
        ({"cert": ""}, "certmonger has no request with this certificate"),
        ({"cert": None}, "certmonger has no request with this certificate"),
    ],
)
def test_without_a_key_in_a_file_there_is_a_reason(tracked, certificate, changes, reason):
    path = tracked["key-file"]
    tracked |= changes

    held = certmonger_keys.held_certificate(certificate)

    assert held.key is None
    assert held.why_no_key.startswith(reason.format(path=path))
    assert "1234" not in held.why_no_key


def test_a_file_with_something_else_is_not_used(tracked, certificate, key, tmp_path):
    path = tmp_path / "s.key"
    password = BestAvailableEncryption(b"1234")
    contents = {
        "is not that of the certificate": key_pem(make_key()),
        "no key in PEM without a password": key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, password
        ),
        "no key in PEM": b"x" * 100000,
    }
    for reason, written in contents.items():
        path.write_bytes(written)
        held = certmonger_keys.held_certificate(certificate)
        assert held.key is None
        assert reason in held.why_no_key
    path.unlink()
    os.mkfifo(path)
    assert f"{path} is no regular file" == certmonger_keys.held_certificate(certificate).why_no_key


def test_a_bus_that_is_not_there_is_a_reason(certificate, monkeypatch, tmp_path):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/bus")

    held = certmonger_keys.held_certificate(certificate)

    assert "certmonger cannot be asked on the D-Bus: FileNotFoundError" == held.why_no_key


def test_without_the_library_for_the_bus_there_is_a_reason(certificate, monkeypatch):
    monkeypatch.setitem(sys.modules, "jeepney", None)

    held = certmonger_keys.held_certificate(certificate)

    assert "the Python package jeepney is not installed" == held.why_no_key


@pytest.fixture
def helper(https_anchor, monkeypatch, capsys, key):
    """Runs the helper for a request of the same key; returns exit code, output and log."""

    def run(**variables):
        csr = make_csr("www.example.com", "www.example.com", key=key).decode()
        for name, value in {"OPERATION": "SUBMIT", "CSR": csr, **variables}.items():
            monkeypatch.setenv(f"CERTMONGER_{name}", value)
        code = certmonger.main(["--config", str(https_anchor.path / "client.json")])
        return code, *capsys.readouterr()

    https_anchor.client_json()
    return run


def test_the_helper_renews_with_the_certificate_and_without_the_secret(
    helper, tracked, https_anchor, tmp_path
):
    _, first, _ = helper()
    tracked["cert"] = first
    (tmp_path / "secret").unlink()

    code, second, log = helper(CERTIFICATE=first)

    assert 0 == code
    assert ["www.example.com"] == names_of(x509.load_pem_x509_certificate(second.encode()))
    assert "anchor-certmonger: renewed with the certificate\n" == log
    assert ["/v1/sign/default", "/v1/renew/default"] == https_anchor.posted_to


def test_the_helper_uses_the_secret_and_logs_why(helper, tracked, https_anchor):
    _, first, _ = helper()
    tracked |= {"cert": first, "key-storage": "NSSDB"}

    code, _, log = helper(CERTIFICATE=first)

    assert 0 == code
    reason = "its key is not in a file, but in NSSDB"
    assert f"anchor-certmonger: renewed with the secret ({reason})\n" == log
    assert ["/v1/sign/default"] * 2 == https_anchor.posted_to


def test_the_helper_uses_the_secret_if_the_old_certificate_is_malformed(
    helper, tracked, https_anchor, certificate, key, ca
):
    broken = x509.UnrecognizedExtension(x509.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\x05")
    csr = x509.load_pem_x509_csr(make_csr("www.example.com", key=key))
    old = pem(issue(csr, ca, extensions=[broken]))
    tracked["cert"] = old

    code, _, log = helper(CERTIFICATE=old)

    assert 0 == code
    assert "renewed with the secret (the old certificate cannot be read)" in log


def test_the_helper_fetches_the_roots_without_a_secret(helper, https_anchor, tmp_path):
    (tmp_path / "secret").unlink()

    code, out, _ = helper(OPERATION="FETCH-ROOTS")

    assert 0 == code
    assert "BEGIN CERTIFICATE" in out


def test_a_first_request_without_a_secret_is_a_configuration_error(helper, tmp_path):
    (tmp_path / "secret").unlink()

    code, out, _ = helper()

    assert certmonger.UNCONFIGURED == code
    assert out.startswith(f"secret_file: {tmp_path / 'secret'} cannot be read")


def test_a_request_without_a_certificate_or_a_usable_key_needs_the_secret(
    tracked, certificate, monkeypatch
):
    others = [
        {"nickname": "new", "ca": "/ca1", "cert": ""},
        tracked | {"nickname": "pin", "ca": "/ca1", "key-pin": "1234"},
        {"nickname": "elsewhere", "ca": "/ca2", "cert": ""},
    ]
    requests = [tracked | {"ca": "/ca1"}]
    monkeypatch.setattr(certmonger_keys, "_requests", lambda: requests)
    assert certmonger_keys.dependents(certificate) == []

    requests += others

    assert certmonger_keys.dependents(certificate) == ["new", "pin"]


def test_a_certmonger_that_does_not_answer_may_need_the_secret(certificate, monkeypatch, tmp_path):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/bus")

    assert certmonger_keys.dependents(certificate) == [""]
