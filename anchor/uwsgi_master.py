"""Preparation in uwsgi's master, before it forks workers: ``shared-import = anchor.uwsgi_master``.

``anchor check`` ends the start if the configuration is bad.  It runs in a forked process, because
no session with an HSM survives a fork, and executes no other program, so that AppArmor can forbid
them all; the same process makes the tables of the database.  Then the master loads what the workers
share: the code, with the plug-ins that the configuration names, and the templates.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys

# A collection writes to all objects, and a page that a process writes to is no longer shared.
gc.disable()

# For the workers: cryptography imports its backend at the first signature.
import cryptography.hazmat.backends.openssl.backend  # noqa: E402, F401

import anchor.app  # noqa: E402, F401
from anchor.authorities import LoadedConfiguration, load_authorities  # noqa: E402
from anchor.cli import main  # noqa: E402
from anchor.config.document import find_config  # noqa: E402
from anchor.errors import AnchorError  # noqa: E402
from anchor.web.pages.templates import load_templates  # noqa: E402


def check() -> None:
    """End the master with the exit status of ``anchor check``, unless that is 0."""
    checker = os.fork()
    if not checker:
        status = 1
        try:
            status = _run_check()
            if status == 0:
                _make_tables()
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


def _make_tables() -> None:
    """Make or migrate the tables, so that no worker has to import Alembic."""
    # The log says which version of the schema it is then.
    logging.getLogger("anchor").setLevel(logging.INFO)
    # Each worker reports the same error when it loads the service.
    with contextlib.suppress(AnchorError):
        _load_offline().database.prepare()


def load_shared() -> None:
    """Load what the workers share, without keys, secrets and connections."""
    with contextlib.suppress(AnchorError):
        _load_offline()
    load_templates()
    # No collection looks at these objects again, so it does not copy their pages.
    gc.freeze()
    gc.enable()


def _load_offline() -> LoadedConfiguration:
    return load_authorities(find_config(), offline=True)


check()
load_shared()
