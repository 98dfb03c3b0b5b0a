"""Renewals with the certificate in hand, and with the secret if the service refuses it."""

from __future__ import annotations

import datetime
import getpass
import json
import os
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from anchor.client import schedule, signing_request
from anchor.client.outcome import Result
from anchor.client.renewal import Renewer
from anchor.client.renewal_proof import algorithm_of
from anchor.client.tracking import StateDirectory
from tests.support.canned import problem_response, response
from tests.support.pki import DAY, now
from tests.support.signing_services import issue, pem, signing

RENEW, SIGN = "/v1/renew/default", "/v1/sign/default"


@pytest.fixture
def requested(machine, https_anchor):
    """The machine has a certificate, requested with the secret."""
    assert 0 == machine.request("www.example.com")
    https_anchor.requests.clear()


@pytest.fixture
def refuse(https_anchor):
    """Makes the service answer every renewal with a certificate like this."""
    service = https_anchor.wsgi

    def start(application):
        def chosen(environ, start_response):
            is_renewal = environ["PATH_INFO"].startswith("/v1/renew/")
            return (application if is_renewal else service)(environ, start_response)

        https_anchor.wsgi = chosen

    return start


def replace_certificate(machine, ca, **changes):
    """Replace the machine's certificate by one for the same key; return it."""
    key = load_pem_private_key((machine.directory / "key.pem").read_bytes(), None)
    csr = signing_request.make(key, ["www.example.com"], None)
    certificate = issue(csr, ca, **changes)
    path = machine.directory / "cert.pem"
    path.resolve().write_text(pem(certificate))
    return certificate


@pytest.mark.parametrize("kind", ["ec-p256", "ec-p384", "rsa-2048", "ed25519"])
def test_a_renewal_sends_a_proof_and_no_secret(machine, https_anchor, capsys, kind):
    assert 0 == machine.request("www.example.com", "--key", kind)
    first = machine.certificate()
    https_anchor.requests.clear()

    assert 0 == machine.renew("--force")

    assert [RENEW] == https_anchor.posted_to
    assert "renewed with the certificate, valid until 2" in capsys.readouterr().out
    assert first.serial_number != machine.certificate().serial_number
    assert first.public_key() != machine.certificate().public_key()
    machine.assert_key_matches()


def test_a_certificate_with_many_names_renews_itself(machine, https_anchor):
    names = [f"host{number}.department.example.com" for number in range(150)]
    assert 0 == machine.request("www.example.com", *names)
    https_anchor.requests.clear()

    assert 0 == machine.renew("--force")

    assert [RENEW] == https_anchor.posted_to


@pytest.mark.parametrize("status", ["400 Bad Request", "401 No", "403 No", "404 No", "405 No"])
def test_the_secret_is_used_if_the_certificate_is_refused(
    machine, https_anchor, requested, refuse, capsys, status
):
    refuse(problem_response(status, "not with this one"))
    capsys.readouterr()

    assert 0 == machine.renew("--force", "--json")

    [told] = json.loads(capsys.readouterr().out)
    assert [RENEW, SIGN] == https_anchor.posted_to
    assert ("renewed", "secret") == (told["result"], told["obtained_with"])
    assert told["why_secret"].endswith("not with this one")
    assert f"renewed with the secret ({told['why_secret']}), valid until" in told["message"]


def test_the_list_tells_with_what_a_certificate_was_obtained(machine, requested, refuse, capsys):
    capsys.readouterr()
    assert 0 == machine.run("list", "--json")
    [first] = json.loads(capsys.readouterr().out)
    assert 0 == machine.renew("--force", "--quiet")
    assert 0 == machine.run("list")
    second = capsys.readouterr().out
    refuse(problem_response("404 Not Found", "no such page"))
    assert 0 == machine.renew("--force", "--quiet")
    assert 0 == machine.run("list")
    third = capsys.readouterr().out

    assert ("secret", None) == (first["obtained_with"], first["why_secret"])
    assert second.endswith("Z  certificate\n")
    assert "Z  secret\n  the secret was used: https://" in third
    assert third.endswith("does not renew certificates of the authority 'default': no such page\n")


@pytest.mark.parametrize("status", ["429 No", "500 No", "502 No", "503 No"])
def test_the_secret_is_not_used_if_the_service_is_not_available(
    machine, https_anchor, requested, refuse, status
):
    refuse(response(status, b"busy", "text/plain"))

    assert 75 == machine.renew("--force")

    assert [RENEW] == https_anchor.posted_to


def test_a_policy_that_refuses_both_is_told_once(machine, https_anchor, requested, capsys):
    https_anchor.wsgi = problem_response("400 Bad Request", "common_name: name is not allowed")

    assert 1 == machine.renew("--force")

    assert [RENEW, SIGN] == https_anchor.posted_to
    assert 1 == capsys.readouterr().err.count("name is not allowed")


def test_the_certificate_is_not_tried_if_that_is_switched_off(
    machine, https_anchor, requested, secret_only, capsys
):
    assert 0 == machine.renew("--force")

    assert [SIGN] == https_anchor.posted_to
    assert "renewed with the secret, valid until" in capsys.readouterr().out


def test_an_option_of_the_request_switches_it_off(machine, https_anchor, tmp_path):
    https_anchor.client_json()
    options = ["--url", https_anchor.url, "--ca-file", https_anchor.tls.ca.cert_path]
    options += ["--user", "alice", "--secret-file", tmp_path / "secret"]
    assert 0 == machine.run("request", "www.example.com", *options, "--no-renew-with-certificate")

    assert 0 == machine.renew("--force")

    assert [SIGN] * 2 == https_anchor.posted_to


@pytest.mark.parametrize("contents", [None, "", "s3cret\n" * 20000])
def test_renewals_go_on_without_a_usable_secret(
    machine, https_anchor, requested, tmp_path, contents
):
    (tmp_path / "secret").unlink()
    if contents is not None:
        (tmp_path / "secret").write_text(contents)

    assert 0 == machine.renew("--force")
    assert 0 == machine.renew("--force")

    assert [RENEW] * 2 == https_anchor.posted_to


def test_renewals_go_on_with_a_client_json_that_names_no_secret(machine, https_anchor, requested):
    https_anchor.client_json(user=None, secret_file=None)

    assert 0 == machine.renew("--force")

    assert [RENEW] == https_anchor.posted_to


def test_a_certificate_that_was_requested_with_a_typed_password_renews_itself(
    machine, https_anchor, monkeypatch
):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "s3cret")
    options = ["--url", https_anchor.url, "--ca-file", https_anchor.tls.ca.cert_path]
    assert 0 == machine.run("request", "www.example.com", *options, "--user", "alice")

    assert 0 == machine.renew("--force")

    assert [SIGN, RENEW] == https_anchor.posted_to


@pytest.fixture
def pipe():
    """The path of a pipe with the secret, which can be read once, as after ``command |``."""
    reading, writing = os.pipe()
    os.write(writing, b"s3cret\n")
    os.close(writing)
    yield f"/dev/fd/{reading}"
    os.close(reading)


def test_a_password_from_a_pipe_is_good_for_each_try(machine, https_anchor, monkeypatch, pipe):
    monkeypatch.setattr(schedule, "FIRST_WAIT", 0.1)
    working = https_anchor.wsgi

    def fail_once(environ, start_response):
        https_anchor.wsgi = working
        return problem_response("503 Service Unavailable", "busy")(environ, start_response)

    https_anchor.wsgi = fail_once
    options = ["--url", https_anchor.url, "--ca-file", https_anchor.tls.ca.cert_path]
    options += ["--user", "alice", "--secret-file", pipe, "--wait", 20]

    assert 0 == machine.run("request", "www.example.com", *options)

    assert [SIGN, SIGN] == https_anchor.posted_to
    # A renewal has no use for the path, and would wait for it, or read what is not meant for it.
    assert "secret_file" not in machine.tracked().spec.client
    assert 0 == machine.renew("--force")
    assert RENEW == https_anchor.posted_to[-1]


def test_without_a_secret_a_refusal_says_that_a_new_one_is_needed(
    machine, https_anchor, requested, refuse, tmp_path, capsys
):
    refuse(problem_response("401 Unauthorized", "renewed too often"))
    (tmp_path / "secret").unlink()

    assert 1 == machine.renew("--force")

    assert [RENEW] == https_anchor.posted_to
    assert (
        "refused the certificate: renewed too often; a new secret is needed, but secret_file: "
        f"{tmp_path / 'secret'} cannot be read: No such file or directory; valid until 2"
    ) in capsys.readouterr().err
    assert machine.tracked().history.credentials_refused


def test_without_a_secret_a_policy_that_refuses_is_told_as_it_is(
    machine, requested, refuse, tmp_path, capsys
):
    refuse(problem_response("400 Bad Request", "common_name: name is not allowed"))
    (tmp_path / "secret").unlink()

    assert 1 == machine.renew("--force")

    assert "www.example.com: common_name: name is not allowed; valid" in capsys.readouterr().err


def test_a_request_without_its_secret_says_what_is_missing(
    machine, https_anchor, requested, tmp_path, capsys
):
    (tmp_path / "secret").unlink()

    assert 1 == machine.request("www.example.com")

    assert [] == https_anchor.posted_to
    assert (
        f"secret_file: {tmp_path / 'secret'} cannot be read: No such file"
        in capsys.readouterr().err
    )


def test_a_request_always_uses_the_secret(machine, https_anchor, requested):
    assert 0 == machine.request("www.example.com")
    assert 0 == machine.request("www.example.com", "other.example.com")

    assert [SIGN] * 2 == https_anchor.posted_to


def test_a_certificate_with_other_names_than_asked_for_is_not_tried(
    machine, https_anchor, requested, capsys
):
    tracked = machine.tracked()
    spec = tracked.spec.model_copy(update={"names": ("www.example.com", "new.example.com")})
    StateDirectory(machine.state).write(tracked.model_copy(update={"spec": spec}))

    assert 0 == machine.renew("--force")

    assert [SIGN] == https_anchor.posted_to
    reason = "the old certificate is a certificate without the name 'new.example.com'"
    assert f"renewed with the secret ({reason})" in capsys.readouterr().out


def test_an_expired_certificate_is_replaced_with_the_secret(
    machine, https_anchor, requested, ca, capsys
):
    old = replace_certificate(machine, ca, not_before=now() - 3 * DAY, not_after=now() - DAY)

    assert 0 == machine.renew()

    assert [SIGN] == https_anchor.posted_to
    end = f"{old.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    assert f"renewed with the secret (the certificate expired at {end})" in capsys.readouterr().out


def test_an_expired_certificate_without_a_secret_says_what_is_needed(
    machine, https_anchor, requested, ca, tmp_path, capsys
):
    replace_certificate(machine, ca, not_before=now() - 3 * DAY, not_after=now() - DAY)
    (tmp_path / "secret").unlink()

    assert 1 == machine.renew()

    # The service may accept it for a while after its end, but this one does not.
    assert [RENEW] == https_anchor.posted_to
    error = capsys.readouterr().err
    assert "the certificate expired at 2" in error
    assert "; a new secret is needed, but secret_file: " in error


def test_an_expired_certificate_is_renewed_without_a_secret_if_the_service_allows_it(
    machine, https_anchor, requested, ca, tmp_path
):
    replace_certificate(machine, ca, not_before=now() - 3 * DAY, not_after=now() - DAY)
    (tmp_path / "secret").unlink()
    https_anchor.wsgi = signing(ca)

    assert 0 == machine.renew()

    assert [RENEW] == https_anchor.posted_to
    assert machine.certificate().not_valid_after_utc > datetime.datetime.now(datetime.UTC)


def test_a_key_without_a_jose_algorithm_is_renewed_with_the_secret(
    machine, https_anchor, requested, monkeypatch, capsys
):
    monkeypatch.setattr("anchor.client.renewal_proof.algorithm_of", lambda key: None)

    assert 0 == machine.renew("--force")

    assert [SIGN] == https_anchor.posted_to
    assert "JOSE has no algorithm for the key of the certificate" in capsys.readouterr().out


def test_each_kind_of_key_has_its_algorithm():
    curves = (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1(), ec.SECP256K1())
    keys = [*map(ec.generate_private_key, curves), ed448.Ed448PrivateKey.generate()]

    assert ["ES256", "ES384", "ES512", None, None] == [algorithm_of(key) for key in keys]


def test_a_clock_that_is_two_minutes_ahead_takes_the_time_of_the_service(
    machine, https_anchor, requested, clock
):
    clock.ahead = 120
    renewer = Renewer(StateDirectory(machine.state), lambda _line: None, clock)

    outcome = renewer.renew("www.example.com", force=True, back_off=False)

    assert (Result.RENEWED, "certificate") == (outcome.result, outcome.obtained_with)
    assert [RENEW] * 2 == https_anchor.posted_to


def test_a_refusal_by_a_service_with_the_same_time_is_not_repeated(
    machine, https_anchor, requested, refuse
):
    refuse(problem_response("401 Unauthorized", "no", Date=f"{now():%a, %d %b %Y %H:%M:%S GMT}"))

    assert 0 == machine.renew("--force")

    assert [RENEW, SIGN] == https_anchor.posted_to


@pytest.mark.parametrize("path", ["", "/anchor", "/anchor/"])
def test_the_proof_names_the_url_to_which_it_is_posted(machine, https_anchor, ca, path):
    machine.config = https_anchor.client_json(url=f"{https_anchor.url}{path}")
    service = https_anchor.wsgi

    def mounted(environ, start_response):
        environ["SCRIPT_NAME"] = path.rstrip("/")
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(path.rstrip("/"))
        return service(environ, start_response)

    https_anchor.wsgi = mounted
    assert 0 == machine.request("www.example.com")
    https_anchor.requests.clear()

    assert 0 == machine.renew("--force")

    assert [f"{path.rstrip('/')}/v1/renew/default"] == https_anchor.posted_to
