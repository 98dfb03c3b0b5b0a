"""Client processes that are killed at any step, run out of disk space or run at once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from tests.support.servers.processes import wait_for
from tests.unit.client.test_client_faults import script

# Each persistent step ends with an fsync, so the process dies between any two steps.
# A real process cannot be made to die at a chosen step.
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
    """Run a command that is killed at a step; return True if it was."""
    command = [sys.executable, "-c", _DIE_AT_STEP, step, arguments[0], "--state", machine.state]
    finished = subprocess.run(
        [*map(str, command), *map(str, arguments[1:])], capture_output=True, check=False
    )
    assert finished.returncode in (0, -signal.SIGKILL), finished.stderr
    return finished.returncode != 0


def test_a_killed_renewal_leaves_a_matching_key_and_certificate(machine):
    assert 0 == machine.request("www.example.com")
    step = 1
    while die_at_step(step, machine, "renew", "--force", "--quiet"):
        machine.assert_key_matches()
        assert 0 == machine.run("list")
        assert 0 == machine.renew()
        assert [] == machine.leftovers()
        step += 1

    assert step > 8
    machine.assert_key_matches()
    assert 0 == machine.renew("--force")
    assert [] == machine.leftovers()
    assert 2 == len(list((machine.directory / "versions").iterdir()))


def test_a_killed_first_request_leaves_all_files_or_none(machine):
    step = 1
    request = ("request", "--config", machine.config, "www.example.com")
    while die_at_step(step, machine, *request):
        if (machine.directory / "key.pem").exists():
            machine.assert_key_matches()
        else:
            assert not (machine.directory / "cert.pem").exists()
        assert 0 == machine.renew()
        assert [] == machine.leftovers()
        step += 1

    assert step > 8
    machine.assert_key_matches()
    assert 0 == machine.renew("--force")
    assert [] == machine.leftovers()


def test_the_next_run_executes_the_hook_of_a_killed_run(machine, tmp_path):
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


def test_every_kind_of_run_removes_the_files_of_killed_runs(machine, daemon):
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
    machine.force_renewal_due()
    first = machine.certificate()
    daemon()
    wait_for(lambda: machine.certificate() != first, what="a renewal")
    wait_for(lambda: not machine.leftovers(), what="the leftovers to be gone")


def test_a_full_disk_keeps_the_existing_files(machine, https_anchor):
    assert 0 == machine.request("www.example.com")
    first = machine.certificate()

    # A file size limit of 0 simulates a full disk for one process.
    process = machine.start(
        "renew", "--force", prefix=["sh", "-c", 'ulimit -f 0; trap "" XFSZ; exec "$@"', "sh"]
    )
    _, err = process.communicate(timeout=60)

    assert 1 == process.returncode
    assert "File too large; valid until" in err
    assert 1 == err.count("\n")
    assert first == machine.certificate()
    assert 1 == https_anchor.submissions
    machine.assert_key_matches()
    assert [] == machine.leftovers()
    assert 0 == machine.renew("--force")


@pytest.fixture
def small_disk(tmp_path):
    """A directory on a file system with room for one small file."""
    path = tmp_path / "small"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k,mode=755", "tmpfs", path]
    assert 0 == subprocess.run(mount, check=False).returncode, "this needs to be root"
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


@pytest.mark.parametrize("full", ["directory", "state"])
def test_a_full_disk_is_noticed_before_any_request(
    machine, https_anchor, small_disk, tmp_path, capsys, full
):
    """Otherwise a token that is good once would be spent without a certificate."""
    (small_disk / "filler").write_text("x")
    directory = tmp_path / "directory"
    if full == "directory":
        directory = small_disk
    else:
        machine.state = small_disk

    assert 1 == machine.request("www.example.com", "--directory", directory)

    assert "No space left on device" in capsys.readouterr().err
    assert [] == https_anchor.requests
    assert not (directory / "key.pem").is_symlink()
    assert [] == list(small_disk.rglob(".?????*.*"))


def test_an_owner_that_may_not_be_set_is_noticed_before_any_request(machine, https_anchor):
    process = machine.start(
        "request",
        "--config",
        machine.config,
        "--group",
        "daemon",
        "www.example.com",
        prefix=["setpriv", "--bounding-set=-chown"],
    )

    assert "Operation not permitted" in process.communicate(timeout=60)[1]
    assert [] == https_anchor.requests


def test_simultaneous_runs_renew_once(machine, https_anchor):
    assert 0 == machine.request("www.example.com")
    machine.force_renewal_due()

    runs = [machine.start("renew") for _ in range(3)]
    outputs = [run.communicate(timeout=120) for run in runs]

    assert [0, 0, 0] == [run.returncode for run in runs], outputs
    assert 2 == https_anchor.submissions
    machine.assert_key_matches()
    assert [] == machine.leftovers()


def test_simultaneous_forced_runs_take_turns(machine, https_anchor):
    assert 0 == machine.request("www.example.com")

    runs = [machine.start("renew", "--force") for _ in range(3)]
    outputs = [run.communicate(timeout=120) for run in runs]

    assert [0, 0, 0] == [run.returncode for run in runs], outputs
    assert 4 == https_anchor.submissions
    machine.assert_key_matches()
    assert [] == machine.leftovers()


def test_the_output_of_a_hook_is_not_mixed_with_json(machine, tmp_path):
    hooked = script(tmp_path / "hook", "echo noise")
    process = machine.start(
        "request", "--config", machine.config, "--hook", hooked, "--json", "www.example.com"
    )
    out, err = process.communicate(timeout=60)

    assert "issued" == json.loads(out)["result"]
    assert "noise\n" == err
