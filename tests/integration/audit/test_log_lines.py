"""The handler for audit lines in several processes and with closed file descriptors."""

from __future__ import annotations

import subprocess
import sys

import pytest

WRITER = """
import logging, sys
from anchor import logs
handler = logs.Lines(sys.argv[1])
for number in range(500):
    message = f"{sys.argv[2]}-{number} " + "x" * 20000
    handler.handle(logging.LogRecord("audit", logging.INFO, "", 0, message, None, None))
"""


def test_processes_that_share_a_file_write_complete_lines(tmp_path):
    path = tmp_path / "audit.log"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "abcd"]
    assert [writer.wait(60) for writer in writers] == [0] * 4

    written = path.read_text().splitlines()
    assert all(line.endswith(" " + "x" * 20000) for line in written)
    assert sorted(line.split()[0] for line in written) == sorted(
        f"{name}-{number}" for name in "abcd" for number in range(500)
    )


@pytest.mark.parametrize("mode", ["closed", "for reading"])
def test_a_standard_error_that_cannot_be_written_to_is_rejected(mode):
    """The next opened file could get its descriptor and then receive the audit lines."""
    refuse = "import os; os.close(2)\n"
    if mode == "for reading":
        refuse += "assert os.open('/dev/zero', os.O_RDONLY) == 2\n"
    tried = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{refuse}from anchor import logs\ntry: logs.Lines()\nexcept OSError: print('refused')",
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert tried.stdout == "refused\n"
