"""A SIGTERM finishes what runs and leaves nothing behind, whatever serves.

doc/adr/0073 tells which servers need this.
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

_PR_SET_PDEATHSIG = 1


def install() -> None:
    """Prepare this process, and those that are forked from it, for their end.

    Under uwsgi with a master, gunicorn and others nothing has to be done for that: they see to it
    themselves.
    """
    uwsgi = sys.modules.get("uwsgi")
    # A directory of that name may have been taken for the module, which is inside uwsgi only.
    if uwsgi is not None and hasattr(uwsgi, "masterpid"):
        _ignore_sigpipe()
        if not uwsgi.masterpid():
            _without_a_master(uwsgi)
    elif (
        "pecan.commands.serve" in sys.modules
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, _after_this_request)


def _ignore_sigpipe() -> None:
    """Have uwsgi ignore SIGPIPE, which it logs: without an end once nobody reads the log."""
    ctypes.CDLL(None).uwsgi_manage_opt(b"ignore-sigpipe", b"true")
    # Its own handler may be there already.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def _without_a_master(uwsgi: Any) -> None:
    """Have uwsgi's processes end together, each after the request that it has."""
    program = ctypes.CDLL(None)
    program.strdup.restype = ctypes.c_void_p
    for handler in (
        b"unix_signal:1 goodbye_cruel_world",
        # Whichever process hears of the end tells all, itself too, by SIGHUP.
        b"unix_signal:2 gracefully_kill_them_all",
        b"unix_signal:15 gracefully_kill_them_all",
    ):
        # uwsgi's own handlers come after this; its options are looked at after those.  It keeps the
        # text that it is given.
        program.uwsgi_manage_opt(b"hook-accepting", ctypes.c_void_p(program.strdup(handler)))
    # Until then nothing runs that would have to be finished; uwsgi ignores them.
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)

    def follow_the_first() -> None:
        """Its end, however it comes about, is the end of the others."""
        first = uwsgi.workers()[0]["pid"]
        if os.getpid() != first:
            program.prctl(_PR_SET_PDEATHSIG, signal.SIGHUP, 0, 0, 0)
            if os.getppid() != first:
                os._exit(0)

    def wait_for_the_others() -> None:
        """The first process, which is the one that was started, ends last."""
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
        follow_the_first()
    else:
        _call_also(uwsgi, "post_fork_hook", follow_the_first)
    _call_also(uwsgi, "atexit", wait_for_the_others)


def _call_also(uwsgi: Any, hook: str, function: Callable[[], None]) -> None:
    """Add to a hook, of which there is one: a plug-in may have its own there."""
    before = getattr(uwsgi, hook, None)

    def both() -> None:
        function()
        if before is not None:
            before()

    setattr(uwsgi, hook, both)


def _after_this_request(_number: int, frame: FrameType | None) -> None:
    """Have the server of the standard library, which Pecan serves with, end its loop."""
    while frame is not None:
        if frame.f_code is socketserver.BaseServer.serve_forever.__code__:
            # It waits until the loop has ended, which this thread is in.
            threading.Thread(target=frame.f_locals["self"].shutdown, daemon=True).start()
            return
        frame = frame.f_back
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)
