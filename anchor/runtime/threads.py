"""Threads beside the one that serves."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable


def start(target: Callable[[], object], name: str) -> threading.Thread:
    """Run this in a thread of its own, which ends with the process and gets no signals.

    uwsgi's handlers end the process right where they run.  In a thread that the end of the process
    waits for, or one that is abandoned, that is no end in order.
    """
    thread = threading.Thread(target=target, name=name, daemon=True)
    # A thread begins with the mask of the one that starts it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return thread
