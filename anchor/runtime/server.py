"""What the web server that runs this process says of itself."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from typing import Any, NamedTuple


class Capacity(NamedTuple):
    """How many requests a service serves at once.

    Attributes:
        whole: in all of its processes; None if that is not known.
        process: in one process, if connections wait for that one while others are idle.
    """

    whole: int | None = None
    process: int | None = None


def leader() -> int:
    """The id of the process that all workers of this service descend from."""
    uwsgi = _uwsgi()
    if uwsgi is not None:
        if master := int(uwsgi.masterpid()):
            return master
        # Without a master the first worker starts the others.
        return os.getpid() if uwsgi.worker_id() <= 1 else os.getppid()
    if os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/"):
        settings = sys.modules.get("anchor.gunicorn")
        if settings is not None:
            return int(settings.MASTER)
        # With --preload the leader itself loads the application.
        return os.getpid() if is_gunicorns_master() else os.getppid()
    return os.getpid()


def is_gunicorns_master() -> bool:
    """True if gunicorn's master is loading the application, for the workers to come."""
    return _gunicorn("Arbiter") is not None and _gunicorn("Worker") is None


def capacity() -> Capacity:
    """How many requests the server that loads this application serves at once."""
    uwsgi = _uwsgi()
    if uwsgi is not None:
        return Capacity(int(uwsgi.numproc) * int(uwsgi.cores))
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


def _uwsgi() -> Any:
    """uwsgi's module, which exists inside of it only; elsewhere a directory may have its name."""
    try:
        uwsgi = importlib.import_module("uwsgi")
    except ImportError:
        return None
    return uwsgi if hasattr(uwsgi, "masterpid") else None


def _gunicorn(kind: str) -> Any:
    """The ``Arbiter`` or ``Worker`` of gunicorn that is loading the application, or None.

    gunicorn tells applications nothing of itself, so this looks for the caller.
    """
    module = {"Arbiter": "gunicorn.arbiter", "Worker": "gunicorn.workers.base"}[kind]
    if module not in sys.modules:
        return None
    wanted = getattr(sys.modules[module], kind)
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, wanted):
            return owner
        frame = frame.f_back
    return None
