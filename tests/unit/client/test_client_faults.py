"""Faults during a renewal leave the old key and certificate or the new ones, never a mixture."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.client import hook
from anchor.client.certificate_directory import CertificateDirectory
from tests.support.canned import answering, problem
from tests.support.pki import make_ca, of_no_known_version
from tests.support.servers.processes import wait_for

# Each step that is kept on disk ends with an fsync.  So being killed before each fsync covers being
# killed between any two steps. A real kill cannot be aimed at a step.
_DIE_AT_STEP = """
import os, signal, sys
from anchor.cli import main
left = int(sys.argv[1])
real = os.fsync
def fsync(descriptor):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(descriptor)
os.fsync = fsync
sys.exit(main.main(sys.argv[2:]))
"""


def die_at_step(step, machine, *arguments):
    """Run a command that is killed at a step; return True if it was killed."""
    command = [sys.executable, "-c", _DIE_AT_STEP, step, arguments[0], "--state", machine.state]
    finished = subprocess.run(
        [*map(str, command), *map(str, arguments[1:])], capture_output=True, check=False
    )
    assert finished.returncode in (0, -signal.SIGKILL), finished.stderr
    return finished.returncode != 0


def test_killed_at_any_step_of_a_renewal_leaves_a_pair_that_fits(machine):
    assert 0 == machine.request("www.example.com")
    step = 1
    while die_at_step(step, machine, "renew", "--force", "--quiet"):
        machine.assert_fits()
        assert 0 == machine.run("list")
        assert 0 == machine.renew()
        assert [] == machine.leftovers()
        step += 1

    assert step > 8
    machine.assert_fits()
    assert 0 == machine.renew("--force")
    assert [] == machine.leftovers()
    assert 2 == len(list((machine.directory / "versions").iterdir()))


def test_killed_at_any_step_of_the_first_request_leaves_all_or_nothing(machine):
    step = 1
    request = ("request", "--config", machine.config, "www.example.com")
    while die_at_step(step, machine, *request):
        if (machine.directory / "key.pem").exists():
            machine.assert_fits()
        else:
            assert not (machine.directory / "cert.pem").exists()
        assert 0 == machine.renew()
        assert [] == machine.leftovers()
        step += 1

    assert step > 8
    machine.assert_fits()
    assert 0 == machine.renew("--force")
    assert [] == machine.leftovers()


def test_a_run_that_was_killed_before_its_hook_is_made_up_for(machine, tmp_path):
    ran = tmp_path / "ran"
    assert 0 == machine.request("www.example.com", "--hook", f"touch {ran}")
    step = 1
    while True:
        ran.unlink(missing_ok=True)
        before = machine.certificate()
        if not die_at_step(step, machine, "renew", "--force", "--quiet"):
            break
        if machine.certificate() != before and not ran.exists():
            assert 0 == machine.renew()
            assert ran.exists()
        step += 1


def test_what_killed_runs_have_left_is_removed_by_the_next_run_of_any_kind(machine, daemon):
    assert 0 == machine.request("www.example.com")
    versions = machine.state / "certificates" / "never-tracked" / "versions"

    def leave():
        (versions / ".1.01234567").mkdir(parents=True, exist_ok=True)
        (versions / ".1.01234567" / "key.pem").write_text("a key")
        (versions.parent / ".lock").touch()
        (machine.state / "tracked" / ".never-tracked.json.01234567").touch()
        (machine.directory / "versions" / ".2.01234567").mkdir()
        (machine.directory / ".current.01234567").symlink_to("versions/2")
        (machine.directory / ".key.pem.01234567").symlink_to("current/key.pem")

    leave()
    assert 0 == machine.renew("--dry-run")
    assert 0 == machine.run("list")
    assert 5 <= len(machine.leftovers())

    assert 0 == machine.renew()
    assert [] == machine.leftovers()

    leave()
    machine.make_due()
    first = machine.certificate()
    daemon()
    wait_for(lambda: machine.certificate() != first, what="a renewal")
    wait_for(lambda: not machine.leftovers(), what="the leftovers to be gone")


def test_what_a_run_is_writing_at_this_moment_is_left_alone(machine):
    assert 0 == machine.request("www.example.com")
    other = CertificateDirectory(machine.state / "certificates" / "other")
    with other.locked():
        (other.path / "versions" / ".1.01234567").mkdir(parents=True)

        assert 0 == machine.renew()

        assert [".1.01234567"] == machine.leftovers()
    assert 0 == machine.renew()
    assert [] == machine.leftovers()


def test_a_full_disk_leaves_what_was_there(machine):
    assert 0 == machine.request("www.example.com")
    first = machine.certificate()

    # Only empty files can be written, as on a full disk, but for one process.
    process = machine.start(
        "renew", "--force", prefix=["sh", "-c", 'ulimit -f 0; trap "" XFSZ; exec "$@"', "sh"]
    )
    _, err = process.communicate(timeout=60)

    assert 1 == process.returncode
    assert "File too large; valid until" in err
    assert 1 == err.count("\n")
    assert first == machine.certificate()
    machine.assert_fits()
    assert [] == machine.leftovers()
    assert 0 == machine.renew("--force")


def test_a_directory_that_is_not_there_any_more_is_made_again(machine):
    assert 0 == machine.request("www.example.com")
    for path in sorted(machine.directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    assert 0 == machine.renew()

    machine.assert_fits()


@pytest.mark.parametrize("name", ["key.pem", "cert.pem"])
@pytest.mark.parametrize("text", ["garbage", of_no_known_version()])
def test_a_pair_that_is_no_good_any_more_is_replaced(machine, name, text):
    assert 0 == machine.request("www.example.com")
    path = (machine.directory / name).resolve()
    path.write_text(text)

    assert 0 == machine.renew()

    machine.assert_fits()


def test_two_runs_at_once_renew_once(machine, https_anchor):
    assert 0 == machine.request("www.example.com")
    machine.make_due()

    runs = [machine.start("renew") for _ in range(3)]
    outputs = [run.communicate(timeout=120) for run in runs]

    assert [0, 0, 0] == [run.returncode for run in runs], outputs
    assert 2 == https_anchor.submissions
    machine.assert_fits()
    assert [] == machine.leftovers()


def test_forced_runs_at_once_take_turns(machine, https_anchor):
    assert 0 == machine.request("www.example.com")

    runs = [machine.start("renew", "--force") for _ in range(3)]
    outputs = [run.communicate(timeout=120) for run in runs]

    assert [0, 0, 0] == [run.returncode for run in runs], outputs
    assert 4 == https_anchor.submissions
    machine.assert_fits()
    assert [] == machine.leftovers()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"{}",
        b'{"certificate": "x"}',
        b"x" * 1000000,
        b"\xff",
        json.dumps({"certificate": of_no_known_version(), "chain": []}).encode(),
    ],
)
def test_garbage_leaves_what_was_there(machine, https_anchor, capsys, body):
    assert 0 == machine.request("www.example.com")
    first = machine.certificate()
    https_anchor.wsgi = answering("200 OK", body)

    assert 75 == machine.renew("--force")

    assert first == machine.certificate()
    machine.assert_fits()
    err = capsys.readouterr().err
    assert "; valid until 2" in err
    assert 1 == err.count("\n")


def test_a_certificate_for_another_key_leaves_what_was_there(
    machine, https_anchor, tmp_path, capsys
):
    assert 0 == machine.request("www.example.com")
    first = machine.certificate()
    stranger = make_ca(tmp_path, name="stranger").certificate.public_bytes(Encoding.PEM)
    https_anchor.wsgi = answering("200 OK", {"certificate": stranger.decode(), "chain": []})

    assert 75 == machine.renew("--force")

    assert first == machine.certificate()
    machine.assert_fits()
    assert "a certificate for another key" in capsys.readouterr().err


def test_a_service_that_is_down_is_for_now(machine, https_anchor, capsys):
    assert 0 == machine.request("www.example.com")
    machine.make_due()
    https_anchor.stop()

    assert 75 == machine.renew()
    assert 0 == machine.run("list")

    assert "is not available: Connection refused" in capsys.readouterr().out
    https_anchor.start()
    assert 0 == machine.renew()
    assert machine.tracked().history.error is None


def test_a_service_that_wants_to_be_left_alone_is(machine, https_anchor, capsys):
    assert 0 == machine.request("www.example.com")
    machine.make_due()
    working = https_anchor.wsgi
    https_anchor.wsgi = problem("503 Service Unavailable", "busy", Retry_After="600")

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


def test_the_hook_is_told_where_everything_is(machine, tmp_path):
    told = tmp_path / "told"
    hooked = script(tmp_path / "hook", f'env >{told}; echo "$@" >>{told}')

    assert 0 == machine.request("www.example.com", "--hook", f"{hooked} one 'two $HOME'")

    lines = told.read_text().splitlines()
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


def test_a_hook_that_is_named_from_here_is_found_from_anywhere(machine, tmp_path, monkeypatch):
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
def test_a_hook_that_fails_is_told_and_tried_again_with_the_certificate_in_place(
    machine, tmp_path, https_anchor, capsys, text, mode, reason
):
    hooked = script(tmp_path / "hook", "exit 0")
    assert 0 == machine.request("www.example.com", "--hook", hooked)
    first = machine.certificate()
    script(hooked, text, mode)

    assert 3 == machine.renew("--force")

    second = machine.certificate()
    assert first != second
    machine.assert_fits()
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


def test_a_hook_that_is_missing_is_told(machine, capsys):
    assert 3 == machine.request("www.example.com", "--hook", "/no/such/hook")

    assert "the hook /no/such/hook cannot be run: No such file" in capsys.readouterr().err
    machine.assert_fits()


def test_a_hook_that_hangs_is_ended_with_its_children(tmp_path):
    hooked = script(tmp_path / "hook", f"sleep 600 & echo $! >{tmp_path}/child; wait")

    with pytest.raises(hook.HookFailed, match="took longer than 1 seconds"):
        hook.run([str(hooked)], {}, 1)

    child = (tmp_path / "child").read_text().strip()
    state = subprocess.run(["ps", "-o", "stat=", "-p", child], capture_output=True, check=False)
    assert state.stdout.strip()[:1] in (b"", b"Z")


def test_the_output_of_a_hook_does_not_get_into_json(machine, tmp_path):
    hooked = script(tmp_path / "hook", "echo noise")
    process = machine.start(
        "request", "--config", machine.config, "--hook", hooked, "--json", "www.example.com"
    )
    out, err = process.communicate(timeout=60)

    assert "issued" == json.loads(out)["result"]
    assert "noise\n" == err
