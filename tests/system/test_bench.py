"""``make bench`` runs; its results are for people."""

from __future__ import annotations

import subprocess
import sys

from tests.support.servers.anchor import ROOT


def run(script, options):
    """What a script prints with these options."""
    done = subprocess.run(
        [sys.executable, ROOT / script, *options],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_benchmark_prints_its_figures():
    options = [
        "--requests",
        "10",
        "--connections",
        "2",
        "--keys",
        "ec-p256",
        "--hsm-seconds",
        "0.1",
    ]
    output = run("tools/bench.py", options)

    steps = ("HTTP form", "proof of possession", "verifying", "storage", "the whole request")
    assert all(step in output for step in steps)
    assert output.count("ec-p256") >= 3
    assert "with all 5 requests of its order" in output
    assert "C_Sign" in output


def test_the_scale_benchmark_prints_its_figures():
    few = ["--stored", "50", "--authorities", "5", "--listed", "50"]
    few += ["--bans", "5", "--tokens", "5", "--turns", "1"]
    output = run("tools/bench_scale.py", few)

    for line in (
        "all of these: CPU of the service",
        "goal: 1.10",
        "50 certificates: CPU to store",
        "5 authorities",
        "uwsgi -p 4: memory",
        "anchor certs --for",
    ):
        assert line in output


def test_the_comparison_verifies_every_server_that_is_installed():
    few = ["--requests", "10", "--rounds", "2", "--connections", "2", "--keys", "ec-p256"]
    output = run("tools/bench_peers.py", few)

    lines = [line.split() for line in output.splitlines()]
    assert any(line[:1] == ["Anchor"] and line[2:3] == ["ms"] for line in lines)
    for peer in ("cfssl", "OpenBao"):
        measured = any(line[:1] == [peer] and line[-1] in {"met", "missed"} for line in lines)
        assert measured or f"{peer} is not installed" in output


def test_the_benchmark_of_several_nodes_prints_its_figures():
    few = ["--requests", "10", "--turns", "1", "--share", "0.2"]
    output = run("tools/bench_nodes.py", few)

    # Only root can limit the CPU of processes, and not on every machine.
    assert "CPU of PostgreSQL" in output or "cannot make the control group" in output
