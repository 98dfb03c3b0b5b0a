"""Preparation in uwsgi's master, before it forks workers: ``shared-import = anchor.uwsgi_master``.

The workers share the imported code.  ``anchor check`` ends the start if the configuration is bad.
It runs in a forked process, because no session with an HSM survives a fork, and executes no other
program, so that AppArmor can forbid them all.
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
        # After a SystemExit uwsgi would run on.
        os._exit(status if status > 0 else 1)


def _run_check() -> int:
    """Run ``anchor check``, with its output in the log, and return its exit status."""
    try:
        status = main.main(["check"])
    except OSError:
        status = main.OUTPUT_FAILED
    if status == main.OUTPUT_FAILED:
        # The log cannot be written, which says nothing about the configuration.
        null = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(null, stream.fileno())
        status = main.main(["check"])
    return status


check()
