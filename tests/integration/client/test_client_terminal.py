"""The output of the client on a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess

from tests.support.machine import ANCHOR


def on_a_terminal(machine, *arguments):
    """Run a command with a terminal as its output; return the visible text."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [ANCHOR, arguments[0], "--state", machine.state, *map(str, arguments[1:])],
        stdout=follower,
        stderr=follower,
        env=os.environ | {"TERM": "xterm", "NO_COLOR": ""},
    )
    os.close(follower)
    seen = _rest_of(leader)
    assert 0 == process.wait(60)
    return seen


def test_a_terminal_shows_progress_colours_and_remaining_time(machine):
    asked = on_a_terminal(machine, "request", "--config", machine.config, "www.example.com")
    listed = on_a_terminal(machine, "list")

    assert "www.example.com: asking https://127.0.0.1" in asked
    assert "\x1b[32mwww.example.com: issued, valid until 2" in asked
    assert "\x1b[1mNAME " in listed and "(24 h)" in listed


def test_a_password_is_typed_in_without_being_shown(machine, https_anchor):
    leader, follower = pty.openpty()
    ca = https_anchor.tls.ca.cert_path
    options = ("--url", https_anchor.url, "--ca-file", ca, "--user", "alice")
    process = machine.start(
        "request", "www.example.com", *options, stdin=follower, start_new_session=True
    )
    os.close(follower)
    prompt = process.stderr.read(len("secret of alice: "))
    os.write(leader, b"s3cret\n")
    out, err = process.communicate(timeout=60)
    seen = _rest_of(leader)

    assert "secret of alice: " == prompt
    assert 0 == process.returncode, err
    assert out.startswith("www.example.com: issued")
    assert "s3cret" not in out + err + seen


def _rest_of(leader):
    seen = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(leader, 4096):
            seen += chunk
    os.close(leader)
    return seen.decode()
