"""Colours and the width of tables are those of the terminal."""

from __future__ import annotations

import io
import sys

import pytest

from anchor.cli.table import print_rows
from anchor.cli.terminal import is_coloured


class Terminal(io.StringIO):
    """A standard output that is a terminal."""

    def isatty(self):
        return True


ROWS = [("a" * 30, "b" * 30, "c" * 30)]
HEADER = ("FIRST", "SECOND", "THIRD")


def printed(monkeypatch, stream):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stdout", stream)
    assert print_rows(HEADER, ROWS) == 1
    return stream.getvalue().splitlines()


def test_a_table_is_as_wide_as_the_terminal_and_its_header_is_bold(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")

    header, row = printed(monkeypatch, Terminal())

    assert header.startswith("\x1b[1mFIRST") and header.endswith("\x1b[0m")
    assert row == f"{'a' * 30}  {'b' * 5}..."


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colour_if_the_environment_says_so(monkeypatch, name, value):
    monkeypatch.setenv(name, value)

    assert not is_coloured(Terminal())
    assert printed(monkeypatch, Terminal())[0].startswith("FIRST")


def test_output_to_a_file_is_complete_and_has_no_colour(monkeypatch):
    _, row = printed(monkeypatch, io.StringIO())

    assert row == "  ".join(ROWS[0])
