"""uwsgi for Debian's Python, compiled once for all tests: this takes most of a minute."""

from __future__ import annotations

import fcntl
import os
import subprocess

from tests.support.paths import ROOT

WHEELS = ROOT / ".cache/wheels"


def uwsgi_wheels():
    """A directory with the wheel of uwsgi that the Debian packages contain."""
    WHEELS.mkdir(parents=True, exist_ok=True)
    with (WHEELS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(
            ["make", "--file=debian/rules", f"WHEELS={WHEELS}", f"{WHEELS}/uwsgi.stamp"],
            cwd=ROOT,
            # The compiler's optimisation takes longer than the tests gain.
            env={**os.environ, "CFLAGS": "-O0"},
            check=True,
            capture_output=True,
            timeout=600,
        )
    return WHEELS
