"""The end of a start that must not be repeated: a token refused the PIN (doc/adr/0034)."""

from __future__ import annotations

import logging
import os
import sys

from anchor.errors import ConfigurationError
from anchor.runtime import server

LOG = logging.getLogger(__name__)


def end_if_final(error: ConfigurationError) -> None:
    """End the service with the error's exit status, if that says more than 1.

    Return in a worker of gunicorn, whose master ends when one does not start, and in a worker of
    uwsgi, which cannot end its master.
    """
    is_gunicorn = os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/")
    if error.exit_status == 1 or (is_gunicorn and not server.is_gunicorns_master()):
        return
    uwsgi = sys.modules.get("uwsgi")
    # A directory of that name may have been taken for the module, which is inside uwsgi only.
    if uwsgi is None or not hasattr(uwsgi, "worker_id"):
        LOG.critical("%s", error)
        raise SystemExit(error.exit_status)
    if not uwsgi.worker_id():
        LOG.critical("%s", error)
        # uwsgi goes on after a SystemExit, without an application.
        os._exit(error.exit_status)
