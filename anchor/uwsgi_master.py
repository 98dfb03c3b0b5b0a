"""What uwsgi's master does once before it makes workers: ``shared-import = anchor.uwsgi_master``.

The import of Anchor's code is shared by the workers.  ``anchor check`` ends the start over a bad
configuration.  It runs in a forked process, because no session with an HSM survives a fork.  No
program is started for it, so AppArmor can forbid all programs.
"""

from __future__ import annotations

import os
import sys

import anchor.app  # noqa: F401  # for the workers
from anchor.cli import main


def check() -> None:
    """End the master with the exit status of ``anchor check``, unless that is 0."""
    checker = os.fork()
    if not checker:
        status = 1
        try:
            status = _run_check()
        finally:
            os._exit(status)
    _, waited = os.waitpid(checker, 0)
    status = os.waitstatus_to_exitcode(waited)
    if status:
        # uwsgi would go on after a SystemExit.
        os._exit(status if status > 0 else 1)


def _run_check() -> int:
    """Return the exit status of ``anchor check``, whose output goes to the log."""
    try:
        status = main.main(["check"])
    except OSError:
        status = main.OUTPUT_FAILED
    if status == main.OUTPUT_FAILED:
        # A log that cannot be written says nothing about the configuration.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        status = main.main(["check"])
    return status


check()
