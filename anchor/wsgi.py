"""The WSGI application for servers that import it.

``gunicorn --config python:anchor.gunicorn anchor.wsgi:application``

``config.json`` and ``config.py`` are found as by ``anchor serve``; ``$PECAN_CONFIG`` names another
``config.py``.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from typing import Any

import pecan
from pecan.configuration import conf_from_file

from anchor.app import record_of_service
from anchor.config.config_py import find_config_py
from anchor.config.document import find_config

LOG = logging.getLogger(__name__)

# How many seconds a worker waits before it ends; then gunicorn starts the next one.
_PAUSE_SECONDS = 2


def _load() -> Any:
    path = os.environ.get("PECAN_CONFIG") or str(find_config_py(find_config()))
    # pecan.load_app accepts mappings and file names only.
    return pecan.load_app(conf_from_file(path).to_dict())


def _is_replacement_worker() -> bool:
    """Whether this process is a gunicorn worker that was started later than the service."""
    worker: Any = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    # Workers are numbered from 1.
    return hasattr(worker, "age") and worker.age > worker.cfg.workers


try:
    application = _load()
except Exception as error:
    if not _is_replacement_worker():
        raise
    # With another exit status gunicorn would end the whole service.
    # config.py may be broken as well; then anchor.app has not seen it.
    record_of_service().failed()
    LOG.error("the configuration is broken, so a worker is missing: %s", error)
    time.sleep(_PAUSE_SECONDS)
    sys.exit(1)
