"""A short run of `make fuzz`."""

from __future__ import annotations

import importlib.util
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT as PROJECT
from tests.vectors import make


def fuzz(directory, *options):
    corpus = directory / "corpus"
    corpus.mkdir()
    command = [sys.executable, "tools/fuzz_request.py", "-max_len=16384", "-timeout=60"]
    command += [f"-artifact_prefix={directory}/finding-", *options]
    command += [str(corpus), str(Path(make.__file__).parent)]
    return subprocess.run(
        command, check=False, cwd=PROJECT, capture_output=True, text=True, timeout=300
    )


def test_a_burst_of_fuzzing_finds_nothing(tmp_path):
    if importlib.util.find_spec("atheris") is None:
        pytest.fail(
            f"atheris, of the extra 'test', is not installed; it has wheels for Linux on x86_64, "
            f"and this is {platform.system()} on {platform.machine()}"
        )

    burst = fuzz(tmp_path, "-max_total_time=8")

    assert burst.returncode == 0, burst.stderr[-4000:]
    runs = re.search(r"Done (\d+) runs", burst.stderr)
    assert runs, burst.stderr[-4000:]
    # More inputs than the vectors, even on a busy machine.
    assert int(runs[1]) > 200
    assert [] == list(tmp_path.glob("finding-*"))
