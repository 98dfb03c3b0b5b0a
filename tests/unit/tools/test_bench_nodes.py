"""The comparison of one node with several counts and prints correctly."""

from __future__ import annotations

import importlib
import sys

import pytest

from tests.support.paths import ROOT


@pytest.fixture
def tool(monkeypatch):
    """Import a module of ``tools``."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module


def test_the_ratio_is_the_median_of_the_turns(tool):
    bench_nodes = tool("bench_nodes")
    measured = bench_nodes.Measured(
        one=[10, 20, 10], all=[28, 40, 100], node_cpu=0.006, database_cpu=0.002, flushes=0.95
    )

    assert measured.ratio == 2.8
    text = "\n".join(bench_nodes.describe(measured, 0.15))
    assert "15% of a CPU" in text
    assert "2.80  (goal: at least 2.5)" in text
    assert "CPUs of nodes for one CPU of PostgreSQL    3.0" in text


def test_without_control_groups_nothing_is_measured(tool, tmp_path, monkeypatch, capsys):
    bench_nodes, cpu_share = tool("bench_nodes"), tool("cpu_share")

    def measure(*_):
        with cpu_share.cpu_share("node0", 0.1, tmp_path / "nothing"):
            raise AssertionError

    monkeypatch.setattr(bench_nodes, "measure", measure)
    monkeypatch.setattr(sys, "argv", ["bench_nodes.py"])
    bench_nodes.main()

    assert "were not measured: cannot make the control group" in capsys.readouterr().out
