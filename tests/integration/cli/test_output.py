"""A command whose output cannot be written reports it and fails."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support.machine import ANCHOR


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def environment(request, tmp_path):
    return os.environ | {"PYTHONUNBUFFERED": request.param, "ANCHOR_STATE": str(tmp_path)}


@pytest.fixture
def run(environment):
    def run_command(*arguments, stdout):
        return subprocess.run(
            [ANCHOR, *arguments],
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
            timeout=60,
            check=False,
        )

    return run_command


@pytest.mark.parametrize("arguments", [["schema"], ["list", "--json"], ["renew", "--help"]])
def test_a_full_disk_under_standard_output_is_reported_in_one_line(run, arguments):
    with open("/dev/full", "w") as full:  # noqa: PTH123  # it is a device
        finished = run(*arguments, stdout=full)

    assert (74, "anchor: cannot write standard output: No space left on device\n") == (
        finished.returncode,
        finished.stderr,
    )


def test_a_closed_output_pipe_causes_no_message(run):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        finished = run("schema", stdout=writing)
    finally:
        os.close(writing)

    assert (1, "") == (finished.returncode, finished.stderr)


def test_a_full_disk_under_all_output_fails_too(environment):
    finished = subprocess.run(
        f"'{ANCHOR}' schema >/dev/full 2>&1", shell=True, env=environment, timeout=60, check=False
    )

    assert 0 != finished.returncode


def test_a_closed_standard_output_is_not_an_error(environment):
    finished = subprocess.run(
        f"'{ANCHOR}' schema >&-",
        shell=True,
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (0, b"") == (finished.returncode, finished.stderr)


def test_an_error_takes_precedence_over_a_full_disk(run, tmp_path):
    (tmp_path / "config.json").write_text("[")

    with open("/dev/full", "w") as full:  # noqa: PTH123  # it is a device
        finished = run("certs", "--config", str(tmp_path / "config.json"), stdout=full)

    assert 1 == finished.returncode
    assert "is not JSON" in finished.stderr
