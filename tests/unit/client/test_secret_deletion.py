"""The file of the secret is deleted after a renewal with the certificate, if that is asked for."""

from __future__ import annotations

import json

import pytest

from tests.support.canned import problem_response
from tests.support.credentials import JWT, private


@pytest.fixture
def secret(tmp_path):
    """The file of the secret, in a directory of its own."""
    (tmp_path / "credentials").mkdir()
    return private(tmp_path / "credentials" / "secret", "s3cret\n")


@pytest.fixture
def configure(machine, https_anchor, secret):
    """Writes the client.json of the machine."""

    def write(**changes):
        options = {"secret_file": str(secret), "delete_secret": True} | changes
        machine.config = https_anchor.client_json(**options)

    write()
    return write


def test_the_secret_is_deleted_after_the_first_renewal_with_the_certificate(
    machine, configure, secret, capsys
):
    assert 0 == machine.request("www.example.com")
    assert secret.exists()

    assert 0 == machine.renew("--force", "--json")

    assert not secret.exists()
    [told] = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert str(secret) == told["deleted_secret"]
    assert f"renewed with the certificate; deleted {secret}, valid until" in told["message"]


def test_later_renewals_do_not_miss_the_secret(machine, configure, secret, capsys):
    assert 0 == machine.request("www.example.com")
    assert 0 == machine.renew("--force")
    capsys.readouterr()

    assert 0 == machine.renew("--force")

    captured = capsys.readouterr()
    assert "renewed with the certificate, valid until" in captured.out
    assert "" == captured.err
    assert 1 == machine.request("www.example.com")
    assert f"secret_file: {secret} cannot be read: No such file" in capsys.readouterr().err


def test_a_renewal_with_the_secret_keeps_it(machine, configure, secret, https_anchor, capsys):
    assert 0 == machine.request("www.example.com")
    service, refusal = https_anchor.wsgi, problem_response("403 Forbidden", "no")
    https_anchor.wsgi = lambda environ, start_response: (
        refusal if environ["PATH_INFO"].startswith("/v1/renew/") else service
    )(environ, start_response)

    assert 0 == machine.renew("--force")

    assert secret.exists()
    assert "deleted" not in capsys.readouterr().out


def test_without_the_option_the_secret_is_kept(machine, configure, secret):
    configure(delete_secret=None)
    assert 0 == machine.request("www.example.com")

    assert 0 == machine.renew("--force")

    assert secret.exists()


def test_an_option_of_the_request_deletes_the_secret_too(machine, https_anchor, secret):
    ca = https_anchor.tls.ca.cert_path
    options = ["--url", https_anchor.url, "--ca-file", ca]
    options += ["--user", "alice", "--secret-file", secret, "--delete-secret"]
    assert 0 == machine.run("request", "www.example.com", *options)

    assert 0 == machine.renew("--force")
    assert not secret.exists()
    assert 0 == machine.renew("--force")


def test_a_secret_is_kept_until_every_certificate_was_renewed_without_it(
    machine, configure, secret, capsys
):
    assert 0 == machine.request("www.example.com")
    assert 0 == machine.request("db.example.com")

    assert 0 == machine.renew("--force", "www.example.com")
    assert f"renewed with the certificate; kept {secret} for db.example.com" in (
        capsys.readouterr().out
    )
    assert secret.exists()
    assert 0 == machine.renew("--force", "db.example.com")

    assert not secret.exists()
    assert 0 == machine.renew("--force")


def test_a_certificate_with_another_secret_does_not_count(
    machine, configure, secret, https_anchor, tmp_path
):
    assert 0 == machine.request("www.example.com")
    machine.config = https_anchor.client_json(tmp_path / "other.json")
    assert 0 == machine.request("db.example.com")

    assert 0 == machine.renew("--force", "www.example.com")

    assert not secret.exists()
    assert (tmp_path / "secret").exists()


def test_a_secret_that_a_damaged_state_may_need_is_kept(machine, configure, secret):
    assert 0 == machine.request("www.example.com")
    (machine.state / "tracked" / "db.example.com.json").write_text("{")

    assert 0 == machine.renew("--force", "www.example.com")

    assert secret.exists()


def test_a_link_to_the_secret_is_reported_and_nothing_is_deleted(
    machine, configure, secret, capsys
):
    link = secret.with_name("link")
    link.symlink_to(secret)
    configure(secret_file=str(link))
    assert 0 == machine.request("www.example.com")

    assert 0 == machine.renew("--force")

    assert secret.exists() and link.is_symlink()
    assert (
        f"the secret was not deleted: {link} is a link, or no file; delete what it leads to by hand"
    ) in capsys.readouterr().err


def test_nothing_is_deleted_in_a_directory_that_others_can_write(
    machine, configure, secret, capsys
):
    assert 0 == machine.request("www.example.com")
    secret.parent.chmod(0o777)

    assert 0 == machine.renew("--force")

    assert secret.exists()
    assert f"the secret was not deleted: {secret.parent} is writable by everyone" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"secret_file": None, "secret_command": ["/bin/cat"]},
            "deletes the file of 'secret_file'",
        ),
        ({"renew_with_certificate": False}, "needs renewals with the certificate"),
    ],
)
def test_an_option_that_could_delete_nothing_is_an_error(
    machine, configure, https_anchor, changes, reason, capsys
):
    configure(**changes)

    assert 1 == machine.request("www.example.com")

    assert f"delete_secret: {reason}" in capsys.readouterr().err
    assert [] == https_anchor.requests


def test_a_jwt_is_never_deleted(machine, https_anchor, tmp_path, capsys):
    jwt = private(tmp_path / "jwt", JWT)
    options = ["--url", https_anchor.url, "--jwt-file", jwt, "--delete-secret"]

    assert 1 == machine.run("request", "www.example.com", *options)

    assert "--delete-secret: deletes the file of" in capsys.readouterr().err
