"""The units that are shipped."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from anchor import cli
from tests.machine import ANCHOR
from tests.servers.processes import program

UNITS = sorted(Path("tools/systemd").glob("*"))


def test_there_are_units_for_a_timer_and_for_the_daemon():
    assert ["anchor-renew.service", "anchor-renew.timer", "anchor-renewd.service"] == [
        unit.name for unit in UNITS
    ]


def test_systemd_finds_nothing_wrong_with_them(tmp_path):
    for unit in UNITS:
        text = unit.read_text().replace("/usr/bin/anchor ", f"{ANCHOR} ")
        (tmp_path / unit.name).write_text(text)

    finished = subprocess.run(
        [program("systemd-analyze", "systemd"), "verify", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    ours = [line for line in finished.stderr.splitlines() if "anchor-renew" in line]
    assert (0, []) == (finished.returncode, ours), finished.stderr


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"])
def test_the_command_of_a_unit_is_one_that_there_is(unit, tmp_path):
    (line,) = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]
    program, *arguments = shlex.split(line.removeprefix("ExecStart="))
    assert "/usr/bin/anchor" == program

    # The daemon would stay.
    arguments = [word for word in arguments if word != "--daemon"]
    assert 0 == cli.main([str(tmp_path) if "/" in word else word for word in arguments])
