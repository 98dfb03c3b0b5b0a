"""The helper for certmonger as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.canned import problem_response
from tests.support.pki import make_csr


def test_a_reason_in_any_language_is_printed_in_any_locale(https_anchor):
    environment = os.environ | {
        "PYTHONIOENCODING": "ascii",
        "CERTMONGER_CSR": make_csr().decode(),
    }
    https_anchor.wsgi = problem_response("400 Bad Request", "name nicht erlaubt: bücher\x1b[31m")
    finished = subprocess.run(
        [
            Path(sys.executable).with_name("anchor-certmonger"),
            "--config",
            https_anchor.client_json(),
        ],
        env=environment,
        capture_output=True,
        check=False,
    )

    assert 2 == finished.returncode, finished.stderr
    assert rb"name nicht erlaubt: b\xfccher\x1b[31m" == finished.stdout.strip()

    https_anchor.wsgi = problem_response("400 Bad Request", "bücher")
    again = subprocess.run(finished.args, env=environment, capture_output=True, check=False)
    assert "bücher\n".encode() == again.stdout


def test_an_output_that_cannot_be_written_is_reported_in_one_line():
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(
            [Path(sys.executable).with_name("anchor-certmonger")],
            env=os.environ | {"CERTMONGER_OPERATION": "IDENTIFY"},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert 5 == finished.returncode
    assert finished.stderr.splitlines() == [
        "anchor-certmonger: standard output cannot be written: No space left on device"
    ]
