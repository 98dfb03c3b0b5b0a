"""The web server that runs this process: its first process and its capacity."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from typing import Any, NamedTuple


class Capacity(NamedTuple):
    """How many requests a service serves at once.

    Attributes:
        whole: the number for all processes; None if it is unknown.
        process: the number for one process, if a connection may wait for a busy process while
            others are idle.
    """

    whole: int | None = None
    process: int | None = None


def leader() -> int:
    """The id of the process from which all workers of this service are forked."""
    module = uwsgi()
    if module is not None:
        if master := int(module.masterpid()):
            return master
        # Without a master the first worker forks the others.
        return os.getpid() if module.worker_id() <= 1 else os.getppid()
    if os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/"):
        settings = sys.modules.get("anchor.gunicorn")
        if settings is not None:
            return int(settings.MASTER)
        # With --preload the master loads the application.
        return os.getpid() if is_gunicorns_master() else os.getppid()
    return os.getpid()


def is_gunicorns_master() -> bool:
    """True if gunicorn's master is loading the application, before it forks workers."""
    return _gunicorn("Arbiter") is not None and _gunicorn("Worker") is None


def capacity() -> Capacity:
    """How many requests the server that loads this application serves at once."""
    module = uwsgi()
    if module is not None:
        return Capacity(int(module.numproc) * int(module.cores))
    running = _gunicorn("Worker") or _gunicorn("Arbiter")
    if running is None:
        return Capacity()
    kind, workers, threads = (
        running.cfg.worker_class_str,
        int(running.cfg.workers),
        int(running.cfg.threads),
    )
    if kind == "sync":
        return Capacity(workers)
    if kind == "gthread":
        # A worker accepts more connections than it has threads.
        return Capacity(workers * threads, threads)
    return Capacity()


def uwsgi() -> Any:
    """The module ``uwsgi``, or None if this process does not run under uwsgi."""
    try:
        module = importlib.import_module("uwsgi")
    except ImportError:
        return None
    # A directory with the name uwsgi is imported as an empty module.
    return module if hasattr(module, "masterpid") else None


def _gunicorn(kind: str) -> Any:
    """The ``Arbiter`` or ``Worker`` of gunicorn that is loading the application, or None.

    gunicorn has no interface for this, so it is searched in the call stack.
    """
    module = {"Arbiter": "gunicorn.arbiter", "Worker": "gunicorn.workers.base"}[kind]
    if module not in sys.modules:
        return None
    expected_class = getattr(sys.modules[module], kind)
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, expected_class):
            return owner
        frame = frame.f_back
    return None
