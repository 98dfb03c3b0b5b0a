"""Output that cannot be written causes a one-line error and a distinct exit code."""

from __future__ import annotations

import errno
import sys

import pytest

from anchor.cli import main


class Failing:
    """A standard output that cannot be written to."""

    def __init__(self, number):
        self.error = OSError(number, "the reason")

    def write(self, _text):
        raise self.error

    def flush(self):
        raise self.error

    def fileno(self):
        return self.descriptor


@pytest.fixture
def failing(monkeypatch, tmp_path):
    """Makes standard output fail with an OSError."""
    # The command closes the file descriptor that it could not write to.
    descriptor = (tmp_path / "stdout").open("w")

    def fail(number):
        output = Failing(number)
        output.descriptor = descriptor.fileno()
        monkeypatch.setattr(sys, "stdout", output)

    yield fail
    descriptor.close()


def test_a_full_disk_is_reported_in_one_line(failing, capfd):
    failing(errno.ENOSPC)

    assert main.main(["schema"]) == main.OUTPUT_FAILED == 74
    assert capfd.readouterr().err == "anchor: cannot write standard output: the reason\n"


def test_a_closed_output_pipe_causes_no_message(failing, capfd):
    failing(errno.EPIPE)

    assert main.main(["schema"]) == 1
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("command", main.COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main([command, "--help"])

    assert ended.value.code == 0
    assert f"anchor {command}" in capsys.readouterr().out


def test_an_unknown_command_is_named(capsys):
    with pytest.raises(SystemExit) as ended:
        main.main(["nonsense"])

    assert ended.value.code == 2
    assert "nonsense" in capsys.readouterr().err
