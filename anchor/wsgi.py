"""The application for servers that import one.

``gunicorn --config python:anchor.gunicorn anchor.wsgi:application``

``config.json`` is found wherever it is looked for, and ``config.py`` as by ``anchor serve``, unless
``$PECAN_CONFIG`` names another.
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

from anchor.config.config_py import find_config_py
from anchor.config.document import find_config

LOG = logging.getLogger(__name__)

# Seconds until gunicorn tries again to replace a worker.
_PAUSE = 2


def _load() -> Any:
    path = os.environ.get("PECAN_CONFIG") or str(find_config_py(find_config()))
    # The whole Config, as a mapping: pecan.load_app knows this and file names.
    return pecan.load_app(conf_from_file(path).to_dict())


def _replaces_another() -> bool:
    """Whether this process is a worker of gunicorn's that was not there at the start."""
    worker: Any = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    # Workers are numbered from 1.
    return hasattr(worker, "age") and worker.age > worker.cfg.workers


try:
    application = _load()
except Exception as error:
    if not _replaces_another():
        raise
    # By any other status gunicorn would take this for a failed start, and end the whole service.
    LOG.error("the configuration is broken, so a worker is missing: %s", error)
    time.sleep(_PAUSE)
    sys.exit(1)
