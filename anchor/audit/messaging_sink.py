"""Sending audit events to a message broker, from a queue of bounded length.

A request never waits for the broker: its event goes into the queue, and one thread in each process
sends it.  An event that cannot be sent goes to the log instead.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
from collections.abc import Callable
from typing import Protocol

from anchor.audit.events import Event
from anchor.errors import AuditError
from anchor.runtime import threads

LOG = logging.getLogger(__name__)


class Bus(Protocol):
    """A connection to a broker."""

    def send(self, event: Event) -> None:
        """Send an event; raise the driver's error if that fails."""

    def close(self) -> None:
        """Close the connection."""


class MessagingSink:
    """An audit sink whose events are sent by a thread.

    Args:
        connect: connect to the broker, or raise; called in the thread, so after any fork.
        queue_size: the number of events that may wait to be sent.
        flush_seconds: how long a process that ends waits until they are sent.
        log_event: log an event that could not be sent, or raise AuditError.
        check_log: raise ConfigurationError if the log would lose events.
    """

    def __init__(
        self,
        connect: Callable[[], Bus],
        queue_size: int,
        flush_seconds: float,
        log_event: Callable[[Event], None],
        check_log: Callable[[], None] = lambda: None,
    ):
        self._check_log = check_log
        self._connect = connect
        self._queue_size = queue_size
        self._flush_seconds = flush_seconds
        self._log_event = log_event
        self._starting = threading.Lock()
        self._sender: _Sender | None = None

    def record(self, event: Event) -> None:
        """Queue the event and return at once, whether or not the broker answers.

        Raises:
            AuditError: the queue is full, and the event could not be logged either.
        """
        sender = self._sender
        if sender is None or sender.pid != os.getpid():
            sender = self._start()
        sender.put(event)

    def check(self) -> None:
        """Raise ConfigurationError if the log would lose events that cannot be sent."""
        self._check_log()

    def close(self) -> None:
        """Send the waiting events while there is time, and log the others."""
        if self._sender is not None and self._sender.pid == os.getpid():
            self._sender.close(self._flush_seconds)

    def _start(self) -> _Sender:
        with self._starting:
            if self._sender is None or self._sender.pid != os.getpid():
                self._sender = _Sender(self._connect, self._queue_size, self._log_event)
                atexit.register(self.close)
            return self._sender


class _Sender:
    """A process's queue, and the thread that empties it."""

    def __init__(
        self, connect: Callable[[], Bus], queue_size: int, log_event: Callable[[Event], None]
    ):
        self.pid = os.getpid()
        self._connect = connect
        self._log_event = log_event
        self._events: queue.Queue[Event] = queue.Queue(queue_size)
        self._current: Event | None = None
        self._ending = threading.Event()
        self._thread = threads.start(self._run, "anchor-audit")

    def put(self, event: Event) -> None:
        try:
            self._events.put_nowait(event)
        except queue.Full:
            self._log_unsent(event, "too many wait already")

    def close(self, seconds: float) -> None:
        self._ending.set()
        self._thread.join(seconds)
        if not self._thread.is_alive():
            return
        current = self._current
        if current is not None:
            # It may still arrive; then it is both sent and logged.
            self._log_at_exit(current)
        while True:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return
            self._log_at_exit(event)

    def _run(self) -> None:
        bus: Bus | None = None
        while True:
            try:
                event = self._current = self._events.get(timeout=POLL_SECONDS)
            except queue.Empty:
                # An event may have been queued since; none is queued after close().
                if self._ending.is_set() and self._events.empty():
                    break
                continue
            while True:
                try:
                    bus = bus or self._connect()
                    bus.send(event)
                except Exception as error:  # noqa: BLE001  # drivers raise errors of any type
                    # Only the type: the text may quote the URL, which contains a password.
                    if not self._is_logged(event, type(error).__name__):
                        # Neither the broker nor the log accepts it: try again. Meanwhile the queue
                        # fills up, and once it is full, requests fail.
                        if not self._ending.wait(RETRY_SECONDS):
                            continue
                        LOG.error("an audit event is lost: the process ends")
                break
            self._current = None
        if bus is not None:
            bus.close()

    def _is_logged(self, event: Event, reason: str) -> bool:
        """Log an unsent event; return True if that succeeded."""
        try:
            self._log_unsent(event, reason)
        except AuditError as error:
            LOG.error("an audit event could not be logged either: %s", error)
            return False
        return True

    def _log_at_exit(self, event: Event) -> None:
        if not self._is_logged(event, "the process ends"):
            LOG.error("an audit event is lost: the process ends")

    def _log_unsent(self, event: Event, reason: str) -> None:
        LOG.error("an audit event could not be sent: %s", reason)
        self._log_event(event)


POLL_SECONDS = 0.2
RETRY_SECONDS = 2.0
