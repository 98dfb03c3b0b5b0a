"""``anchor request`` and ``anchor renew`` against the service behind HTTPS."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import shutil
import stat
import time
from pathlib import Path

import pytest
from cryptography import x509

from anchor.client.tracking import StateDirectory
from tests.support.canned import problem_response
from tests.support.pki import assert_is_leaf, names_of
from tests.support.servers.broken import broken_server


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_request_writes_a_matching_key_certificate_and_chain(machine, ca, capsys):
    assert 0 == machine.request("www.example.com", "192.0.2.1", "::1")

    certificate = machine.certificate()
    assert_is_leaf(certificate, issued_by=ca)
    assert ["www.example.com", "192.0.2.1", "::1"] == names_of(certificate)
    assert "CN=www.example.com" == certificate.subject.rfc4514_string()
    machine.assert_key_matches()
    directory = machine.directory
    chain = (directory / "chain.pem").read_bytes()
    assert [ca.certificate] == x509.load_pem_x509_certificates(chain)
    # The CA is a root, which a server does not need to send.
    alone = (directory / "cert.pem").read_bytes()
    assert alone == (directory / "fullchain.pem").read_bytes()
    assert (directory / "key.pem").read_bytes() + alone == (directory / "combined.pem").read_bytes()
    assert capsys.readouterr().out.startswith("www.example.com: issued, valid until 2")


def test_only_the_owner_can_read_files_with_the_key(machine):
    assert 0 == machine.request("www.example.com")

    modes = {path.name: mode(path) for path in machine.directory.glob("*.pem")}
    assert {
        "key.pem": 0o600,
        "combined.pem": 0o600,
        "cert.pem": 0o644,
        "chain.pem": 0o644,
        "fullchain.pem": 0o644,
    } == modes


@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p384"])
def test_renewal_generates_a_new_key_of_the_requested_kind(machine, kind):
    assert 0 == machine.request("www.example.com", "--key", kind)
    first = machine.certificate()

    assert 0 == machine.renew("--force")

    second = machine.certificate()
    assert first.public_key() != second.public_key()
    assert kind.split("-")[1].removeprefix("p") == str(second.public_key().key_size)
    assert type(first.public_key()) is type(second.public_key())
    machine.assert_key_matches()


def test_a_key_is_reused_on_request(machine):
    assert 0 == machine.request("www.example.com", "--reuse-key")
    first = machine.certificate()

    assert 0 == machine.renew("--force")

    assert first.public_key() == machine.certificate().public_key()
    assert first != machine.certificate()


def test_a_certificate_that_is_not_due_is_not_renewed(machine, capsys):
    assert 0 == machine.request("www.example.com")
    first = machine.certificate()
    capsys.readouterr()

    assert 0 == machine.renew()

    assert first == machine.certificate()
    assert capsys.readouterr().out.startswith("nothing is due; the next is www.example.com, from 2")


def test_json_output_has_the_same_information(machine, capsys):
    assert 0 == machine.request("www.example.com", "--json")
    requested = json.loads(capsys.readouterr().out)
    assert 0 == machine.renew("--json")
    (renewed,) = json.loads(capsys.readouterr().out)
    assert 0 == machine.run("list", "--json")
    (listed,) = json.loads(capsys.readouterr().out)

    assert ("issued", "not due") == (requested["result"], renewed["result"])
    assert requested["not_after"] == renewed["not_after"] == listed["not_after"]
    assert requested["renews_from"] == renewed["renews_from"] == listed["renews_from"]
    assert "valid" == listed["state"]


def test_a_certificate_that_is_due_is_renewed(machine):
    assert 0 == machine.request("www.example.com")
    first = machine.certificate()
    machine.force_renewal_due()

    assert 0 == machine.renew()

    assert first != machine.certificate()
    machine.assert_key_matches()


def test_a_dry_run_changes_nothing(machine, https_anchor, capsys):
    assert 0 == machine.request("www.example.com")
    first = machine.certificate()
    machine.force_renewal_due()

    assert 0 == machine.renew("--dry-run")

    assert "www.example.com: would renew" in capsys.readouterr().out
    assert first == machine.certificate()
    assert 1 == https_anchor.submissions


def test_quiet_prints_nothing_on_success(machine, capsys):
    assert 0 == machine.request("www.example.com", "--quiet")
    assert 0 == machine.renew("--quiet", "--force")
    assert 0 == machine.renew("--quiet")

    captured = capsys.readouterr()
    assert ("", "") == (captured.out, captured.err)


def test_the_directory_owner_and_mode_can_be_chosen(machine, tmp_path):
    directory = tmp_path / "elsewhere"
    if os.geteuid() == 0:
        ownership = ["--owner", "nobody", "--group", "daemon"]
        expected = pwd.getpwnam("nobody").pw_uid, grp.getgrnam("daemon").gr_gid
    else:
        ownership, expected = [], (os.geteuid(), os.getegid())

    assert 0 == machine.request(
        "www.example.com", "--directory", directory, "--key-mode", "640", *ownership
    )
    assert 0 == machine.renew("--force")

    key = (directory / "key.pem").stat()
    assert (0o640, *expected) == (mode(directory / "key.pem"), key.st_uid, key.st_gid)


BY_HAND = {
    "key.pem": (0o640, "nobody", "staff"),
    "combined.pem": (0o440, "root", "mail"),
    "cert.pem": (0o600, "root", "root"),
    "chain.pem": (0o664, "daemon", "daemon"),
    "fullchain.pem": (0o444, "root", "staff"),
}


def access(path):
    status = path.stat()
    names = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name
    return (mode(path), *names)


def test_manually_changed_modes_and_owners_are_kept(machine):
    assert 0 == machine.request("www.example.com", "--owner", "daemon", "--key-mode", "600")
    for name, (permissions, owner, group) in BY_HAND.items():
        path = (machine.directory / name).resolve()
        path.chmod(permissions)
        shutil.chown(path, owner, group)

    for _ in range(3):
        assert 0 == machine.renew("--force")
        assert BY_HAND == {name: access(machine.directory / name) for name in BY_HAND}

    # A second request with options changes them permanently.
    assert 0 == machine.request("www.example.com", "--key-mode", "400")
    assert (0o400, "root", "root") == access(machine.directory / "key.pem")
    assert (0o644, "root", "root") == access(machine.directory / "cert.pem")


def test_a_key_is_never_world_readable_after_manual_changes(machine):
    assert 0 == machine.request("www.example.com")
    for name in ("key.pem", "combined.pem"):
        (machine.directory / name).resolve().chmod(0o4777)

    assert 0 == machine.renew("--force")

    for name in ("key.pem", "combined.pem"):
        assert 0o660 == mode(machine.directory / name)


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_proxy_in_the_environment_is_not_used(machine, monkeypatch, variable):
    with broken_server("closing") as port:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")

        assert 0 == machine.request("www.example.com")
        assert 0 == machine.renew("--force")


def test_an_unknown_owner_is_reported_before_any_request(machine, https_anchor, capsys):
    assert 1 == machine.request("www.example.com", "--owner", "no-such-user")

    assert "no-such-user" in capsys.readouterr().err
    assert [] == https_anchor.requests


def test_a_foreign_file_is_never_replaced(machine, https_anchor, tmp_path, capsys):
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    (directory / "key.pem").write_text("precious")

    assert 1 == machine.request("www.example.com", "--directory", directory)

    assert "precious" == (directory / "key.pem").read_text()
    assert [] == https_anchor.requests
    assert "move it away" in capsys.readouterr().err
    assert [] == StateDirectory(machine.state).names()


@pytest.mark.parametrize("is_dangling", [False, True])
def test_a_link_to_elsewhere_is_never_left_in_place(
    machine, https_anchor, tmp_path, capsys, is_dangling
):
    """The directory of another client, such as certbot's live/NAME, has links of the same names."""
    directory, archive = tmp_path / "live", tmp_path / "archive"
    directory.mkdir()
    archive.mkdir()
    if not is_dangling:
        (archive / "cert1.pem").write_text("precious")
    (directory / "cert.pem").symlink_to("../archive/cert1.pem")

    assert 1 == machine.request("www.example.com", "--directory", directory)

    assert Path("../archive/cert1.pem") == (directory / "cert.pem").readlink()
    assert [] == https_anchor.requests
    assert f"{directory}/cert.pem exists" in capsys.readouterr().err


def test_two_certificates_do_not_share_a_directory(machine, tmp_path, capsys):
    assert 0 == machine.request("a.example.com", "--directory", tmp_path / "d")
    assert 1 == machine.request("b.example.com", "--directory", tmp_path / "d")

    assert "belongs to 'a.example.com'" in capsys.readouterr().err


def test_a_second_request_changes_the_certificate_spec(machine):
    assert 0 == machine.request("www.example.com")
    assert 0 == machine.request("www.example.com", "shop.example.com")

    assert ["www.example.com", "shop.example.com"] == names_of(machine.certificate())
    assert ("www.example.com", "shop.example.com") == machine.tracked().spec.names


def test_the_state_keeps_the_format_of_earlier_versions(machine):
    assert 0 == machine.request("www.example.com")

    state = json.loads((machine.state / "tracked" / "www.example.com.json").read_text())

    assert {"name", "wish", "history"} == state.keys()
    assert ["www.example.com"] == state["wish"]["names"]


def test_a_rejection_keeps_the_existing_files(machine, https_anchor, capsys):
    assert 0 == machine.request("www.example.com")
    first = machine.certificate()
    https_anchor.wsgi = problem_response("400 Bad Request", "common_name: name is not allowed")

    assert 1 == machine.request("www.example.com", "evil.example.com")
    assert 1 == machine.renew("--force")

    assert first == machine.certificate()
    assert ("www.example.com",) == machine.tracked().spec.names
    assert "common_name: name is not allowed; valid until" in capsys.readouterr().err
    assert "common_name: name is not allowed" == machine.tracked().history.error


@pytest.mark.parametrize("name", ["a b", "", "a/b", "a@b", "."])
def test_an_invalid_name_is_reported_before_any_request(machine, https_anchor, name):
    assert 1 == machine.request(name)

    assert [] == https_anchor.requests


def test_internationalised_names_and_wildcards_are_requested(machine):
    assert 0 == machine.request("*.example.com", "bücher.example.com")

    directory = machine.state / "certificates" / "_wildcard.example.com"
    certificate = x509.load_pem_x509_certificate((directory / "cert.pem").read_bytes())
    assert ["*.example.com", "xn--bcher-kva.example.com"] == names_of(certificate)


def test_a_long_name_leaves_the_subject_empty(machine):
    name = ".".join(["a" * 40, "b" * 40, "example.com"])

    assert 0 == machine.request(name, "--name", "long")

    path = machine.state / "certificates" / "long" / "cert.pem"
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    assert [] == list(certificate.subject)


def test_the_list_shows_what_is_tracked(machine, capsys):
    assert 0 == machine.request("www.example.com")
    assert 0 == machine.request("db.example.com")
    capsys.readouterr()

    assert 0 == machine.run("list")

    head, first, second = capsys.readouterr().out.splitlines()
    assert ["NAME", "STATE", "VALID UNTIL", "RENEWS FROM", "OBTAINED WITH"] == re.split("  +", head)
    assert first.startswith("db.example.com   valid  2")
    assert second.startswith("www.example.com  valid  2")
    assert first.endswith("Z  secret")


def test_forgetting_a_certificate_keeps_its_files(machine, capsys):
    assert 0 == machine.request("www.example.com")

    assert 0 == machine.run("forget", "www.example.com")
    assert 1 == machine.run("forget", "www.example.com")

    machine.assert_key_matches()
    capsys.readouterr()
    assert 0 == machine.run("list")
    assert capsys.readouterr().out.startswith("nothing is tracked in ")


def test_a_damaged_file_does_not_prevent_other_renewals(machine, capsys):
    assert 0 == machine.request("www.example.com")
    first = machine.certificate()
    machine.force_renewal_due()
    (machine.state / "tracked" / "a.example.com.json").write_text("{")

    assert 1 == machine.renew()

    assert first != machine.certificate()
    assert "a.example.com.json is damaged" in capsys.readouterr().err
    assert 1 == machine.run("list")
    assert 0 == machine.request("b.example.com")


def test_a_command_can_print_the_secret(machine, https_anchor, tmp_path):
    machine.config = https_anchor.client_json(
        secret_file=None, secret_command=["printf", "s3cret\n"]
    )

    assert 0 == machine.request("www.example.com")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code", "reason"),
    [
        (["false"], 1, "exited with 1"),
        (["/no/such/program"], 1, "cannot be run"),
        (["true"], 1, "did not print a secret"),
        (["printf", "\\377"], 1, "did not print a secret"),
        (["sleep", "60"], 75, "took longer"),
    ],
)
def test_a_command_that_prints_no_secret_is_reported(
    machine, https_anchor, capsys, command, code, reason
):
    machine.config = https_anchor.client_json(secret_file=None, secret_command=command, timeout=1)

    assert code == machine.request("www.example.com")
    assert reason in capsys.readouterr().err
    assert [] == https_anchor.requests


@pytest.mark.slow
def test_a_slow_service_times_out(machine, https_anchor, capsys):
    def drip(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        for _ in range(600):
            time.sleep(0.1)
            yield b" "

    https_anchor.wsgi = drip
    machine.config = https_anchor.client_json(timeout=1)

    before = time.monotonic()
    assert 75 == machine.request("www.example.com")

    assert time.monotonic() - before < 30
    assert "no answer within 1 seconds" in capsys.readouterr().err


@pytest.mark.slow
def test_a_request_can_wait_for_the_service(machine, https_anchor):
    working, asked = https_anchor.wsgi, []

    def busy_at_first(environ, start_response):
        asked.append(time.monotonic())
        answer = problem_response("503 Service Unavailable", "busy", Retry_After="6")
        return (working if len(asked) > 1 else answer)(environ, start_response)

    https_anchor.wsgi = busy_at_first

    assert 75 == machine.request("www.example.com", "--wait", "0")
    asked.clear()
    assert 0 == machine.request("www.example.com", "--wait", "120")
    assert asked[1] - asked[0] >= 6
