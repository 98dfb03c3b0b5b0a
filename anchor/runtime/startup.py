"""Ending a start that must not be repeated: a token rejected the PIN (doc/adr/0034)."""

from __future__ import annotations

import logging
import os

from anchor.errors import ConfigurationError
from anchor.runtime import server

LOG = logging.getLogger(__name__)


def end_if_final(error: ConfigurationError) -> None:
    """End the service with the error's exit status, unless that is 1.

    Return in a worker of gunicorn, because the master ends if a worker fails to start, and in a
    worker of uwsgi, because it cannot end its master.
    """
    is_gunicorn = os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/")
    if error.exit_status == 1 or (is_gunicorn and not server.is_gunicorns_master()):
        return
    uwsgi = server.uwsgi()
    if uwsgi is None:
        LOG.critical("%s", error)
        raise SystemExit(error.exit_status)
    if not uwsgi.worker_id():
        LOG.critical("%s", error)
        # After a SystemExit uwsgi would run on without an application.
        os._exit(error.exit_status)
