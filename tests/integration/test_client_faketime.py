"""The client with a wrong clock, simulated by faketime."""

from __future__ import annotations

import datetime
import subprocess

import pytest

from tests.support.machine import ANCHOR
from tests.support.pki import now
from tests.support.servers.https_anchor import running
from tests.support.servers.processes import program


@pytest.fixture(autouse=True)
def tracking(machine):
    assert 0 == machine.request("www.example.com")


def at(shift, *arguments):
    """Run a command with an offset to the clock."""
    return subprocess.run(
        [program("faketime", "faketime"), "-f", shift, ANCHOR, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_certificate_that_is_not_valid_yet_is_listed_as_such(machine):
    process = at("-2h", "list", "--state", machine.state)

    assert 1 == process.returncode
    assert "www.example.com  not yet valid  2" in process.stdout


@pytest.mark.parametrize(
    ("shift", "words", "asked"),
    [("+30h", "ahead of", 1), ("-30h", "behind", 0)],
)
def test_renew_reports_a_wrong_clock(machine, tmp_path, document, shift, words, asked):
    (tmp_path / "plain").mkdir()
    with running(tmp_path / "plain", document, None) as anchor:
        machine.config = anchor.client_json(allow_http=True)
        assert 0 == machine.request("www.example.com")
        for _ in range(3):
            process = at(shift, "renew", "--quiet", "--state", machine.state)
            assert 1 == process.returncode
            assert "this machine's clock is 1 day, " in process.stderr
            assert f"{words} that of {anchor.url}: set it right" in process.stderr
        assert 1 + asked == anchor.submissions


def test_an_expired_server_certificate_is_reported_with_the_local_time(machine):
    process = at("+400d", "renew", "--state", machine.state)

    year = (now() + datetime.timedelta(days=400)).year
    assert 1 == process.returncode
    assert f"certificate has expired; it is {year}-" in process.stderr
    assert "by this machine's clock" in process.stderr
