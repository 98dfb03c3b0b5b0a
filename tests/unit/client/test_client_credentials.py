"""Requests and renewals with a token, a JWT or a password, with and without ``client.json``."""

from __future__ import annotations

import getpass
import json
import sys

import pytest

from anchor.client import certmonger
from anchor.client.daemon import Daemon
from anchor.client.outcome import Result
from anchor.client.renewal import Renewer
from anchor.client.tracking import StateDirectory
from tests.support.credentials import (
    JWT,
    OTHER_JWT,
    TOKEN_ID,
    TOKEN_SECRET,
    Recorder,
    private,
    token_file,
)
from tests.support.pki import make_csr, names_of
from tests.support.servers.https_anchor import running


@pytest.fixture
def document(three_ways_in):
    """The configuration of the service."""
    return three_ways_in


@pytest.fixture
def received(https_anchor):
    """The forms that the service gets."""
    recorder = Recorder(https_anchor.wsgi)
    https_anchor.wsgi = recorder
    return recorder


@pytest.fixture
def token(tmp_path):
    return token_file(tmp_path / "token", expires="2026-12-01T00:00:00Z", uses=1)


@pytest.fixture
def jwt(tmp_path):
    return private(tmp_path / "jwt", f"\n {JWT}\r\n")


@pytest.fixture
def request_by(machine, https_anchor, received, monkeypatch, tmp_path):
    """Runs ``anchor request`` with options only, on a machine without a client.json."""
    monkeypatch.setenv("ANCHOR_CLIENT_CONF", str(tmp_path / "no-client.json"))
    ca = https_anchor.tls.ca.cert_path

    def run(*arguments, url=https_anchor.url):
        options = ["--url", url, "--ca-file", ca, "--no-renew-with-certificate"]
        return machine.run("request", "www.example.com", *options, *arguments)

    return run


def test_a_token_needs_no_client_json(request_by, machine, received, token):
    assert 0 == request_by("--authority", "tokens", "--token-file", token)

    assert ["www.example.com"] == names_of(machine.certificate())
    assert [(TOKEN_ID, TOKEN_SECRET)] == received.credentials


def test_files_that_others_can_read_are_used_with_a_warning_about_tokens(
    request_by, received, token, jwt, capsys
):
    token.chmod(0o644)
    jwt.chmod(0o644)

    assert 0 == request_by("--authority", "tokens", "--token-file", token)
    assert f"other users can read the token in {token}: chmod 600" in capsys.readouterr().err
    assert 0 == request_by("--authority", "jwts", "--jwt-file", jwt)
    assert "other users" not in capsys.readouterr().err


def test_a_jwt_is_sent_without_a_user_and_without_white_space(request_by, machine, received, jwt):
    assert 0 == request_by("--authority", "jwts", "--jwt-file", jwt)

    assert ["www.example.com"] == names_of(machine.certificate())
    assert [("", JWT)] == received.credentials


def test_a_password_in_a_file_is_sent_with_its_user(request_by, machine, received, tmp_path):
    secret = private(tmp_path / "password", "s3cret\n")

    assert 0 == request_by("--user", "alice", "--secret-file", secret)
    assert 0 == machine.renew("--force")

    assert [("alice", "s3cret")] * 2 == received.credentials


@pytest.mark.parametrize("end", ["/v1/sign/tokens", "/v1/sign/tokens/"])
def test_the_url_may_be_that_of_an_authority(request_by, machine, https_anchor, token, end):
    url = https_anchor.url + end
    assert 0 == request_by("--token-file", token, url=url)
    assert 0 == request_by("--token-file", token, "--authority", "tokens", url=url)
    machine.config = https_anchor.client_json(
        url=url,
        user=None,
        secret_file=None,
        token_file=str(token),
        renew_with_certificate=False,
    )
    assert 0 == machine.request("www.example.com")
    assert 0 == machine.renew("--force")

    asked = {path for method, path in https_anchor.requests if method == "POST"}
    assert {"/v1/sign/tokens"} == asked


def test_two_different_authorities_are_an_error(request_by, machine, https_anchor, token, capsys):
    url = f"{https_anchor.url}/v1/sign/tokens"

    assert 1 == request_by("--token-file", token, "--authority", "jwts", url=url)
    first = capsys.readouterr().err
    machine.config = https_anchor.client_json(url=url, authority="jwts")
    assert 1 == machine.request("www.example.com")

    reason = "url: is that of the authority 'tokens', but 'authority' is 'jwts'"
    assert f"--{reason}" in first
    assert f"anchor: {reason}" in capsys.readouterr().err
    assert [] == https_anchor.requests


@pytest.mark.parametrize("end", ["/v1/sign/", "/v1/sign/a b", "/v1/sign/%2e", "/v1/sign/-a"])
def test_a_url_with_an_invalid_authority_is_an_error(request_by, https_anchor, token, capsys, end):
    assert 1 == request_by("--token-file", token, url=https_anchor.url + end)

    assert "--url: " in capsys.readouterr().err
    assert [] == https_anchor.requests


def test_a_renewal_uses_the_options_of_the_request_in_any_directory(
    request_by, machine, received, token, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert 0 == request_by("--authority", "tokens", "--token-file", "token")
    monkeypatch.chdir("/")

    assert 0 == machine.renew("--force")

    assert [(TOKEN_ID, TOKEN_SECRET)] * 2 == received.credentials


def test_a_service_without_tls_is_asked_again_if_that_was_allowed(
    request_by, machine, document, token, tmp_path
):
    with running(tmp_path, document, None) as plain:
        url = f"{plain.url}/v1/sign/tokens"
        assert 1 == request_by("--token-file", token, url=url)
        assert [] == plain.requests
        assert 0 == request_by("--token-file", token, "--allow-http", url=url)
        assert 0 == machine.renew("--force")


@pytest.mark.parametrize("client", [None, {"url": ["x"]}, "x"])
def test_a_state_without_valid_options_is_damaged(request_by, machine, token, capsys, client):
    assert 0 == request_by("--authority", "tokens", "--token-file", token)
    path = machine.state / "tracked" / "www.example.com.json"
    document = json.loads(path.read_text())
    document["wish"]["client"] = client
    path.write_text(json.dumps(document))

    assert 1 == machine.renew("--force")

    assert "www.example.com.json is damaged" in capsys.readouterr().err


def test_options_in_the_state_that_nobody_knows_are_reported(request_by, machine, token, capsys):
    assert 0 == request_by("--authority", "tokens", "--token-file", token)
    path = machine.state / "tracked" / "www.example.com.json"
    path.write_text(path.read_text().replace('"token_file"', '"tokenfile"'))

    assert 1 == machine.renew("--force")

    assert "unknown option 'tokenfile'" in capsys.readouterr().err


def test_a_renewal_reads_the_jwt_again(request_by, machine, received, jwt, accepted):
    assert 0 == request_by("--authority", "jwts", "--jwt-file", jwt)
    accepted.write_text(json.dumps([["", OTHER_JWT]]))
    private(jwt, OTHER_JWT)

    assert 0 == machine.renew("--force")

    assert [("", JWT), ("", OTHER_JWT)] == received.credentials


def test_a_jwt_behind_the_links_of_kubernetes_is_read(request_by, received, tmp_path):
    """The kubelet replaces a directory by renaming a link to it."""
    (tmp_path / "..2026").mkdir()
    private(tmp_path / "..2026" / "jwt", JWT)
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "jwt").symlink_to("..data/jwt")

    assert 0 == request_by("--authority", "jwts", "--jwt-file", tmp_path / "jwt")

    assert [("", JWT)] == received.credentials


@pytest.mark.slow
def test_each_retry_reads_the_jwt_again(request_by, https_anchor, received, jwt, accepted):
    accepted.write_text(json.dumps([["", OTHER_JWT]]))
    service = received.application

    def busy_at_first(environ, start_response):
        private(jwt, OTHER_JWT)
        received.application = service
        start_response("503 Service Unavailable", [("Retry-After", "1")])
        return [b"busy"]

    received.application = busy_at_first

    assert 0 == request_by("--authority", "jwts", "--jwt-file", jwt, "--wait", "60")

    assert [("", JWT), ("", OTHER_JWT)] == received.credentials


@pytest.mark.parametrize(("kind", "option"), [("tokens", "token_file"), ("jwts", "jwt_file")])
def test_client_json_names_the_file_of_a_credential(
    machine, https_anchor, received, token, jwt, kind, option
):
    path = {"token_file": token, "jwt_file": jwt}[option]
    machine.config = https_anchor.client_json(
        authority=kind,
        user=None,
        secret_file=None,
        renew_with_certificate=False,
        **{option: path.name},
    )

    assert 0 == machine.request("www.example.com")
    assert 0 == machine.renew("--force")

    expected = {"tokens": (TOKEN_ID, TOKEN_SECRET), "jwts": ("", JWT)}[kind]
    assert [expected] * 2 == received.credentials


def test_a_used_up_token_is_reported_with_what_to_do(request_by, machine, accepted, token, capsys):
    assert 0 == request_by("--authority", "tokens", "--token-file", token)
    first = machine.certificate()
    accepted.write_text("[]")

    assert 1 == machine.renew("--force")

    message = (
        f"refused the credentials: the credentials were not accepted; the token in {token} may be "
        "used up, expired or revoked: write the output of `anchor token create --json` to the "
        "file, or use another credential; valid until 2"
    )
    assert message in capsys.readouterr().err
    assert first == machine.certificate()


def test_a_refused_jwt_is_reported_with_what_may_be_wrong(request_by, accepted, jwt, capsys):
    accepted.write_text("[]")

    assert 1 == request_by("--authority", "jwts", "--jwt-file", jwt)

    assert (
        f"; the JWT in {jwt} may be expired, used already, or for another audience"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("kind", ["token", "jwt"])
def test_the_daemon_tries_a_new_credential_at_once(
    request_by, machine, clock, received, accepted, token, jwt, kind
):
    path = {"token": token, "jwt": jwt}[kind]
    assert 0 == request_by("--authority", f"{kind}s", f"--{kind}-file", path)
    accepted.write_text("[]")
    machine.force_renewal_due()
    outcomes = []
    renewer = Renewer(StateDirectory(machine.state), lambda _line: None, clock)
    daemon = Daemon(renewer, outcomes.append, outcomes.append)
    daemon.cycle()
    daemon.cycle()
    assert [Result.FAILED] == [outcome.result for outcome in outcomes]

    new = {"token": (TOKEN_ID, "another"), "jwt": ("", OTHER_JWT)}[kind]
    accepted.write_text(json.dumps([new]))
    if kind == "token":
        token_file(path, secret="another")
    else:
        private(path, OTHER_JWT)
    daemon.cycle()

    assert [Result.FAILED, Result.RENEWED] == [outcome.result for outcome in outcomes]
    assert new == received.credentials[-1]


def test_no_secret_is_in_the_state_or_in_the_output(
    request_by, machine, accepted, token, jwt, capsys
):
    for kind, path in (("token", token), ("jwt", jwt)):
        assert 0 == request_by("--authority", f"{kind}s", f"--{kind}-file", path, "--json")
        accepted.write_text("[]")
        assert 1 == request_by("--authority", f"{kind}s", f"--{kind}-file", path, "--json")
        accepted.write_text(json.dumps([["", JWT]]))
    assert 0 == machine.run("list", "--json")

    captured = capsys.readouterr()
    state = "".join(path.read_text() for path in (machine.state / "tracked").iterdir())
    for text in (captured.out, captured.err, state):
        assert text
        assert TOKEN_SECRET not in text
        assert JWT not in text


# ---- passwords that are typed in


@pytest.fixture
def typed(monkeypatch):
    """Type a secret on a terminal; the fixture lists the prompts."""
    prompts = []

    def type_in(secret):
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(getpass, "getpass", lambda prompt: prompts.append(prompt) or secret)
        return prompts

    return type_in


def test_a_password_is_asked_for_once_and_kept_nowhere(request_by, machine, received, typed):
    prompts = typed("s3cret")

    assert 0 == request_by("--user", "alice")

    assert ["secret of alice: "] == prompts
    assert [("alice", "s3cret")] == received.credentials
    assert "s3cret" not in (machine.state / "tracked" / "www.example.com.json").read_text()


def test_a_renewal_does_not_ask_for_a_password(request_by, machine, received, typed, capsys):
    prompts = typed("s3cret")
    assert 0 == request_by("--user", "alice")

    assert 1 == machine.renew("--force")

    assert "--user: its secret was typed in; request the certificate again" in (
        capsys.readouterr().err
    )
    assert 1 == len(prompts) == len(received.forms)


@pytest.mark.parametrize("secret", ["", "\udcff", "a\x00b", "x" * 16385])
def test_a_typed_password_that_cannot_be_sent_is_an_error(request_by, received, typed, secret):
    typed(secret)

    assert 1 == request_by("--user", "alice")

    assert [] == received.forms


# ---- certmonger's helper


@pytest.fixture
def helper(https_anchor, received, monkeypatch, capsys, tmp_path):
    """Runs the helper with options only; returns its exit code and its output."""
    monkeypatch.setenv("ANCHOR_CLIENT_CONF", str(tmp_path / "no-client.json"))
    monkeypatch.setenv("CERTMONGER_OPERATION", "SUBMIT")
    monkeypatch.setenv("CERTMONGER_CSR", make_csr("www.example.com").decode())

    def run(authority, *arguments):
        url = f"{https_anchor.url}/v1/sign/{authority}"
        ca = https_anchor.tls.ca.cert_path
        options = ["--url", url, "--ca-file", ca, *arguments]
        try:
            code = certmonger.main([str(word) for word in options])
        except SystemExit as ended:
            code = ended.code
        return code, capsys.readouterr().out

    return run


def test_the_helper_takes_the_same_options(helper, received, token, jwt, tmp_path):
    secret = private(tmp_path / "password", "s3cret")

    answers = [
        helper("tokens", "--token-file", token),
        helper("jwts", "--jwt-file", jwt),
        helper("default", "--user", "alice", "--secret-file", secret),
    ]

    assert [0, 0, 0] == [code for code, _ in answers]
    assert all("BEGIN CERTIFICATE" in out for _, out in answers)
    assert [(TOKEN_ID, TOKEN_SECRET), ("", JWT), ("alice", "s3cret")] == received.credentials


def test_the_helper_says_what_to_do_about_a_used_up_token(helper, accepted, token):
    accepted.write_text("[]")

    code, out = helper("tokens", "--token-file", token)

    assert certmonger.UNCONFIGURED == code
    assert "may be used up, expired or revoked" in out
    assert 1 == out.count("\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--user", "alice"], "--user needs --secret-file"),
        ([], "--url needs one of --token-file, --jwt-file and --user"),
        (["--jwt-file", "a", "--token-file", "b"], "not allowed with argument"),
        (["--token-file", "/no/such/file"], "--token-file: /no/such/file cannot be read"),
    ],
)
def test_wrong_options_of_the_helper_are_a_configuration_error(helper, received, arguments, reason):
    code, out = helper("tokens", *arguments)

    assert certmonger.UNCONFIGURED == code
    assert reason in out
    assert [] == received.forms
