"""``make bench`` runs; its results are for people."""

from __future__ import annotations

import subprocess
import sys

from tests.support.servers.anchor import ROOT


def test_the_benchmark_prints_its_figures():
    options = [
        "--requests",
        "60",
        "--connections",
        "2",
        "--keys",
        "ec-p256",
        "--hsm-seconds",
        "0.1",
    ]
    done = subprocess.run(
        [sys.executable, ROOT / "tools/bench.py", *options],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )

    steps = ("HTTP form", "proof of possession", "verifying", "storage", "the whole request")
    assert all(step in done.stdout for step in steps)
    assert done.stdout.count("ec-p256") >= 3
    assert "with all 5 requests of its order" in done.stdout
    assert "C_Sign" in done.stdout


def test_the_scale_benchmark_prints_its_figures():
    few = ["--stored", "50", "--authorities", "5", "--listed", "50"]
    done = subprocess.run(
        [sys.executable, ROOT / "tools/bench_scale.py", *few],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )

    for line in (
        "50 certificates: CPU to store",
        "5 authorities",
        "uwsgi -p 4: memory",
        "anchor certs --for",
    ):
        assert line in done.stdout
