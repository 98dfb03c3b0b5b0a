"""The shipped systemd units."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from anchor.cli import main
from tests.support.machine import ANCHOR
from tests.support.servers.processes import program

UNITS = sorted(Path("tools/systemd").glob("*"))


def test_there_are_units_for_a_timer_for_the_daemon_and_for_the_service():
    assert [
        "anchor-renew.service",
        "anchor-renew.timer",
        "anchor-renewd.service",
        "anchor.service",
    ] == [unit.name for unit in UNITS]


def test_systemd_analyze_verifies_the_units(tmp_path):
    for unit in UNITS:
        text = unit.read_text().replace("/usr/bin/anchor ", f"{ANCHOR} ")
        text = text.replace("/opt/anchor/bin/uwsgi", str(ANCHOR.with_name("uwsgi")))
        (tmp_path / unit.name).write_text(text)

    finished = subprocess.run(
        [program("systemd-analyze", "systemd"), "verify", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    ours = [line for line in finished.stderr.splitlines() if str(tmp_path) in line]
    assert (0, []) == (finished.returncode, ours), finished.stderr


def test_the_service_is_as_little_exposed_as_the_page_says(tmp_path):
    page = Path("doc/source/howto/systemd.rst").read_text()
    finished = subprocess.run(
        [
            *(program("systemd-analyze", "systemd"), "security", "--offline=true", "--no-pager"),
            Path("tools/systemd/anchor.service").absolute(),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    [level] = re.findall(r"exposure level for anchor.service: (\d+\.\d+)", finished.stdout)
    [shown] = re.findall(r"exposure at (\d+\.\d+) of 10", " ".join(page.split()))
    # Later versions of systemd rate some settings better.
    assert float(shown) - 0.5 <= float(level) <= float(shown)


@pytest.mark.parametrize(
    "unit",
    [unit for unit in UNITS if unit.name.startswith("anchor-renew") and unit.suffix == ".service"],
)
def test_the_command_of_a_unit_exists(unit, tmp_path, monkeypatch):
    monkeypatch.setenv("ANCHOR_STATE", str(tmp_path))
    (line,) = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]
    program, *arguments = shlex.split(line.removeprefix("ExecStart="))
    assert "/usr/bin/anchor" == program

    # The daemon would keep running.
    arguments = [word for word in arguments if word != "--daemon"]
    assert 0 == main.main(arguments)


def _directories(unit):
    names = re.findall(r"^(\w+)Directory=(.*)$", unit.read_text(), re.MULTILINE)
    return {(kind, name) for kind, value in names for name in value.split() if kind != "Working"}


def test_no_unit_of_root_shares_a_directory_with_the_unit_of_another_user():
    units = [unit for unit in UNITS if unit.suffix == ".service"]
    users = {unit: re.search(r"^User=(.*)$", unit.read_text(), re.MULTILINE) for unit in units}
    of_root = [unit for unit in units if users[unit] is None]
    others = [unit for unit in units if users[unit] is not None]

    assert of_root
    assert others
    for unit in of_root:
        for other in others:
            assert not _directories(unit) & _directories(other), (unit, other)
        assert ("State", "anchor-client") in _directories(unit)
