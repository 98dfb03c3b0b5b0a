"""What uwsgi's master does once before it makes workers: ``shared-import = anchor.uwsgi_master``.

The import of Anchor's code is shared by the workers.  ``anchor check`` ends the start over a bad
configuration.  It runs in a forked process, since no session with an HSM survives a fork, and not
in a program of its own, so that AppArmor can forbid all programs.
"""

from __future__ import annotations

import os
import sys

import anchor.app  # noqa: F401  # for the workers
from anchor import cli


def check() -> None:
    """End the master with the exit status of ``anchor check``, unless that is 0."""
    checker = os.fork()
    if not checker:
        status = 1
        try:
            status = _def _check() -> int:
    """The exit status of ``anchor check``, whose words go to the log."""
    try:
        status = cli.main(["check"])
        sys.stdout.flush()
    except OSError:
        # The log cannot be written.  That says nothing about the configuration.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
        status = cli.main(["check"])
    return status


check()
        finally:
            os._exit(status)
    _, waited = os.waitpid(checker, 0)
    status = os.waitstatus_to_exitcode(waited)
    if status:
        # uwsgi would go on after a SystemExit.
        os._exit(status if status > 0 else 1)


def _check() -> int:
    """The exit status of ``anchor check``, whose words go to the log."""
    try:
        status = cli.main(["check"])
        sys.stdout.flush()
    except OSError:
        # The log cannot be written.  That says nothing about the configuration.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
        status = cli.main(["check"])
    return status


check()
