"""Background threads."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable


def start(target: Callable[[], object], name: str) -> threading.Thread:
    """Start a daemon thread that gets no signals.

    uwsgi's signal handlers end the process in the thread that gets the signal, so they must not run
    in a background thread.
    """
    thread = threading.Thread(target=target, name=name, daemon=True)
    # A thread inherits the signal mask.
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
    return thread
