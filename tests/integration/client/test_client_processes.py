"""Client processes that are killed at any step, run out of disk space or run at once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

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


def test_a_full_disk_keeps_the_existing_files(machine):
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
    machine.assert_key_matches()
    assert [] == machine.leftovers()
    assert 0 == machine.renew("--force")


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
