"""Graceful shutdown: after a SIGTERM the running requests are finished and all processes end.

doc/adr/0073 says which servers need this.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socketserver
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from anchor.runtime import server

_PR_SET_PDEATHSIG = 1


def install() -> None:
    """Prepare this process, and those that are forked from it, for a graceful shutdown.

    gunicorn, uwsgi with a master, and other servers need no preparation.
    """
    uwsgi = server.uwsgi()
    if uwsgi is not None:
        _ignore_sigpipe()
        if not uwsgi.masterpid():
            _prepare_without_master(uwsgi)
    elif (
        "pecan.commands.serve" in sys.modules
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, _stop_after_request)


def _ignore_sigpipe() -> None:
    """Make uwsgi ignore SIGPIPE: it logs each one, and loops if nobody reads the log."""
    ctypes.CDLL(None).uwsgi_manage_opt(b"ignore-sigpipe", b"true")
    # uwsgi may have installed its handler already.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def _prepare_without_master(uwsgi: Any) -> None:
    """Make uwsgi's processes end together, each after its current request."""
    program = ctypes.CDLL(None)
    program.strdup.restype = ctypes.c_void_p
    for handler in (
        b"unix_signal:1 goodbye_cruel_world",
        # The process that gets the signal sends SIGHUP to all processes, itself included.
        b"unix_signal:2 gracefully_kill_them_all",
        b"unix_signal:15 gracefully_kill_them_all",
    ):
        # A hook, because uwsgi installs its own handlers after this code runs.  strdup, because
        # uwsgi keeps the pointer.
        program.uwsgi_manage_opt(b"hook-accepting", ctypes.c_void_p(program.strdup(handler)))
    # uwsgi ignores these signals until the hooks run. No request runs yet, so they may end it.
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)

    def end_with_first() -> None:
        """End this process when the first process ends, for any reason."""
        first = uwsgi.workers()[0]["pid"]
        if os.getpid() != first:
            program.prctl(_PR_SET_PDEATHSIG, signal.SIGHUP, 0, 0, 0)
            if os.getppid() != first:
                os._exit(0)

    def wait_for_others() -> None:
        """Keep the first process, which was started by the user, until the others have ended."""
        pids = [worker["pid"] for worker in uwsgi.workers()]
        if os.getpid() != pids[0]:
            return
        for pid in filter(None, pids[1:]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP)
        for pid in filter(None, pids[1:]):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    if uwsgi.worker_id():
        end_with_first()
    else:
        _call_also(uwsgi, "post_fork_hook", end_with_first)
    _call_also(uwsgi, "atexit", wait_for_others)


def _call_also(uwsgi: Any, hook: str, function: Callable[[], None]) -> None:
    """Add a function to one of uwsgi's hooks, after which a plug-in's function still runs."""
    previous = getattr(uwsgi, hook, None)

    def both() -> None:
        function()
        if previous is not None:
            previous()

    setattr(uwsgi, hook, both)


def _stop_after_request(_number: int, frame: FrameType | None) -> None:
    """Signal handler that stops the standard library's server, which Pecan uses."""
    while frame is not None:
        if frame.f_code is socketserver.BaseServer.serve_forever.__code__:
            # In a thread: shutdown() waits for the loop, which runs in this thread.
            threading.Thread(target=frame.f_locals["self"].shutdown, daemon=True).start()
            return
        frame = frame.f_back
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)
