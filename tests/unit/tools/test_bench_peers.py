"""The comparison with other servers counts and prints correctly."""

from __future__ import annotations

import importlib
import stat
import subprocess
import sys
from types import ModuleType

import pytest

from tests.support.paths import ROOT


@pytest.fixture
def bench_peers(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("bench_peers")


@pytest.fixture
def bench_load(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("bench_load")


def cpu_of(bench_peers, **milliseconds):
    """A comparison in which each server took so much CPU in all rounds."""
    servers = {
        name: bench_peers.Result((value / 1e3,) * 3, 0) for name, value in milliseconds.items()
    }
    return bench_peers.Comparison(0.0005, servers)


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "bin/bao"
    path.parent.mkdir()
    path.touch(stat.S_IRWXU)
    return path


def test_the_median_of_the_rounds_counts(bench_peers):
    assert bench_peers.Result((0.001, 0.009, 0.002), 0).cpu == 0.002


def test_cpu_while_others_are_asked_counts_to_no_certificate(bench_peers):
    # Two rounds of 10 requests: 0.5 s of CPU in 1 s.  Of the other 4 s, the server uses 0.2 s.
    result = bench_peers.result([(0.2, 0.4), (0.3, 0.6)], cpu=0.7, elapsed=5, requests=10)

    assert result.rounds == pytest.approx((0.02, 0.03))
    assert result.idle == pytest.approx(0.05)


def test_the_table_shows_shares_and_goals(bench_peers):
    comparison = cpu_of(bench_peers, Anchor=1.0, cfssl=1.6, OpenBao=2.0)

    lines = [line.split() for line in bench_peers.describe("rsa-2048", comparison)]

    assert lines[0] == ["rsa-2048", "signature", "0.500", "ms"]
    assert lines[1][:3] == ["Anchor", "1.000", "ms"]
    assert lines[2][-4:] == ["0.31", "0.62", "0.65", "met"]
    assert lines[3][-4:] == ["0.25", "0.50", "0.42", "missed"]


def test_the_table_of_anchor_alone_has_no_goals(bench_peers):
    text = "\n".join(bench_peers.describe("ec-p256", cpu_of(bench_peers, Anchor=1.0)))

    assert "Anchor" in text
    assert "met" not in text


@pytest.mark.parametrize("kind", ["rsa-2048", "rsa-4096", "ec-p256"])
def test_every_kind_of_key_has_a_goal_for_every_peer(bench_peers, kind):
    assert bench_peers.GOALS[kind].keys() == bench_peers.PACKAGES.keys()


def test_programs_are_found_on_the_path(bench_peers, program, monkeypatch):
    monkeypatch.setenv("PATH", str(program.parent))
    given = {"cfssl": None, "OpenBao": None}

    found = bench_peers.find_programs(given)

    assert found["OpenBao"] == program
    assert "cfssl" not in found


def test_a_program_can_be_named(bench_peers, program, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")

    assert bench_peers.find_programs({"OpenBao": program}) == {"OpenBao": program}


def test_a_named_program_that_does_not_exist_is_an_error(bench_peers, program):
    with pytest.raises(SystemExit, match="nothing"):
        bench_peers.find_programs({"OpenBao": program.with_name("nothing")})


@pytest.mark.slow
def test_the_cpu_of_a_server_includes_its_descendants(bench_load):
    work = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}])"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", parent], **pipes) as process:
        process.stdout.readline()
        assert bench_load.cpu_seconds(process.pid) >= 0.3
        process.stdin.write(b"\n")
