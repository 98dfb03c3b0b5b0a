"""Faults during a renewal leave the old key and certificate or the new ones, never a mixture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.client import hook
from anchor.client.certificate_directory import CertificateDirectory
from tests.support.canned import problem_response, response
from tests.support.pki import certificate_with_invalid_version, make_ca
from tests.support.servers.processes import wait_for


def test_files_that_a_running_command_writes_are_kept(machine):
    assert 0 == machine.request("www.example.com")
    other = CertificateDirectory(machine.state / "certificates" / "other")
    with other.locked():
        (other.path / "versions" / ".1.01234567").mkdir(parents=True)

        assert 0 == machine.renew()

        assert [".1.01234567"] == machine.leftovers()
    assert 0 == machine.renew()
    assert [] == machine.leftovers()


def test_a_deleted_directory_is_created_again(machine):
    assert 0 == machine.request("www.example.com")
    for path in sorted(machine.directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    assert 0 == machine.renew()

    machine.assert_key_matches()


@pytest.mark.parametrize("name", ["key.pem", "cert.pem"])
@pytest.mark.parametrize("text", ["garbage", certificate_with_invalid_version()])
def test_an_invalid_key_pair_is_replaced(machine, name, text):
    assert 0 == machine.request("www.example.com")
    path = (machine.directory / name).resolve()
    path.write_text(text)

    assert 0 == machine.renew()

    machine.assert_key_matches()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"{}",
        b'{"certificate": "x"}',
        b"x" * 1000000,
        b"\xff",
        json.dumps({"certificate": certificate_with_invalid_version(), "chain": []}).encode(),
    ],
)
def test_garbage_keeps_the_existing_files(machine, https_anchor, capsys, body):
    assert 0 == machine.request("www.example.com")
    first = machine.certificate()
    https_anchor.wsgi = response("200 OK", body)

    assert 75 == machine.renew("--force")

    assert first == machine.certificate()
    machine.assert_key_matches()
    err = capsys.readouterr().err
    assert "; valid until 2" in err
    assert 1 == err.count("\n")


def test_a_certificate_for_another_key_keeps_the_existing_files(
    machine, https_anchor, tmp_path, capsys
):
    assert 0 == machine.request("www.example.com")
    first = machine.certificate()
    stranger = make_ca(tmp_path, name="stranger").certificate.public_bytes(Encoding.PEM)
    https_anchor.wsgi = response("200 OK", {"certificate": stranger.decode(), "chain": []})

    assert 75 == machine.renew("--force")

    assert first == machine.certificate()
    machine.assert_key_matches()
    assert "a certificate for another key" in capsys.readouterr().err


def test_an_unavailable_service_is_a_temporary_failure(machine, https_anchor, capsys):
    assert 0 == machine.request("www.example.com")
    machine.force_renewal_due()
    https_anchor.stop()

    assert 75 == machine.renew()
    assert 0 == machine.run("list")

    assert "is not available: Connection refused" in capsys.readouterr().out
    https_anchor.start()
    assert 0 == machine.renew()
    assert machine.tracked().history.error is None


def test_retry_after_of_the_service_is_respected(machine, https_anchor, capsys):
    assert 0 == machine.request("www.example.com")
    machine.force_renewal_due()
    working = https_anchor.wsgi
    https_anchor.wsgi = problem_response("503 Service Unavailable", "busy", Retry_After="600")

    assert 75 == machine.renew()
    assert 75 == machine.renew()
    assert 2 == https_anchor.submissions
    assert "left alone for now after: " in capsys.readouterr().err

    https_anchor.wsgi = working
    assert 0 == machine.renew("--force")


# ---- hooks


def script(path, text, mode=0o755):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


def test_the_hook_gets_all_paths(machine, tmp_path):
    output = tmp_path / "output"
    hooked = script(tmp_path / "hook", f'env >{output}; echo "$@" >>{output}')

    assert 0 == machine.request("www.example.com", "--hook", f"{hooked} one 'two $HOME'")

    lines = output.read_text().splitlines()
    directory = machine.directory
    for expected in (
        "ANCHOR_NAME=www.example.com",
        "ANCHOR_NAMES=www.example.com",
        f"ANCHOR_DIRECTORY={directory}",
        f"ANCHOR_KEY={directory}/key.pem",
        f"ANCHOR_CERTIFICATE={directory}/cert.pem",
        f"ANCHOR_CHAIN={directory}/chain.pem",
        f"ANCHOR_FULL_CHAIN={directory}/fullchain.pem",
        f"ANCHOR_COMBINED={directory}/combined.pem",
        "one two $HOME",
    ):
        assert expected in lines


def test_a_relative_hook_path_works_from_any_directory(machine, tmp_path, monkeypatch):
    script(tmp_path / "hook", f"touch {tmp_path}/ran")
    monkeypatch.chdir(tmp_path)
    assert 0 == machine.request("www.example.com", "--hook", "./hook one/two")
    (tmp_path / "ran").unlink()
    monkeypatch.chdir("/")

    assert 0 == machine.renew("--force")

    assert (tmp_path / "ran").exists()
    assert (str(tmp_path / "hook"), "one/two") == machine.tracked().spec.hook


def test_the_hook_runs_only_after_a_success(machine, https_anchor, tmp_path):
    ran = tmp_path / "ran"
    hooked = script(tmp_path / "hook", f"echo x >>{ran}")
    assert 0 == machine.request("www.example.com", "--hook", hooked)
    https_anchor.stop()

    assert 0 == machine.renew()
    assert 75 == machine.renew("--force")

    assert "x\n" == ran.read_text()


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        ("exit 3", 0o755, "exited with 3"),
        ("kill -9 $$", 0o755, "ended by signal 9"),
        ("exit 0", 0o644, "cannot be run: Permission denied"),
        ("exit 0", 0o000, "cannot be run: Permission denied"),
    ],
)
def test_a_failed_hook_is_reported_and_retried_after_installation(
    machine, tmp_path, https_anchor, capsys, text, mode, reason
):
    hooked = script(tmp_path / "hook", "exit 0")
    assert 0 == machine.request("www.example.com", "--hook", hooked)
    first = machine.certificate()
    script(hooked, text, mode)

    assert 3 == machine.renew("--force")

    second = machine.certificate()
    assert first != second
    machine.assert_key_matches()
    assert reason in capsys.readouterr().err
    assert reason in machine.tracked().history.error

    assert 3 == machine.renew()
    script(hooked, "exit 0")
    assert 0 == machine.renew()
    assert "www.example.com: hook done" in capsys.readouterr().out
    assert 0 == machine.renew()

    assert second == machine.certificate()
    assert 2 == https_anchor.submissions
    assert machine.tracked().history.error is None


def test_a_missing_hook_is_reported(machine, capsys):
    assert 3 == machine.request("www.example.com", "--hook", "/no/such/hook")

    assert "the hook /no/such/hook cannot be run: No such file" in capsys.readouterr().err
    machine.assert_key_matches()


def test_a_hanging_hook_is_killed_with_its_children(tmp_path):
    hooked = script(tmp_path / "hook", f"sleep 600 & echo $! >{tmp_path}/child; wait")

    with pytest.raises(hook.HookFailed, match="took longer than 1 seconds"):
        hook.run([str(hooked)], {}, 1)

    status = Path("/proc", (tmp_path / "child").read_text().strip(), "status")

    def ended():
        try:
            return "\nState:\tZ" in status.read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True

    wait_for(ended, what="the end of the hook's child")
