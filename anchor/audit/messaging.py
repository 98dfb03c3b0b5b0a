"""``audit.target: messaging``: CADF events over oslo.messaging, for whoever listens on the bus.

A request never waits for the broker: its event goes into a queue of a bounded length, and a thread
of each process's own sends it on.  What cannot be sent goes to the log instead.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import oslo_messaging
from oslo_config import cfg
from pycadf import attachment, cadftaxonomy, event, host, reason, resource

from anchor.audit.events import AUTHENTICATION, Event

LOG = logging.getLogger(__name__)

# Names in CADF are identified by UUIDs: the same name always by the same one.
_NAMES = uuid.uuid5(uuid.NAMESPACE_URL, "https://opendev.org/anchor")
_ACTIONS = {AUTHENTICATION: cadftaxonomy.ACTION_AUTHENTICATE}


class MessagingTrail:
    """Hands events to a thread that sends them.

    Args:
        connect: makes what sends an event, or raises; called in the thread, so after any fork.
        queue_size: how many events may wait to be sent.
        flush_seconds: how long the end of a process waits for them.
        unsent: keeps an event that could not be sent.
    """

    def __init__(
        self,
        connect: Callable[[], Callable[[Event], None]],
        queue_size: int,
        flush_seconds: float,
        unsent: Callable[[Event], None],
    ):
        self._connect = connect
        self._queue_size = queue_size
        self._flush_seconds = flush_seconds
        self._unsent = unsent
        self._starting = threading.Lock()
        self._sender: _Sender | None = None

    def record(self, event: Event) -> None:
        """Queue the event; returns at once, whatever has become of the broker."""
        sender = self._sender
        if sender is None or sender.pid != os.getpid():
            sender = self._start()
        sender.put(event)

    def _start(self) -> _Sender:
        with self._starting:
            if self._sender is None or self._sender.pid != os.getpid():
                self._sender = _Sender(self._connect, self._queue_size, self._unsent)
                atexit.register(self._sender.flush, self._flush_seconds)
            return self._sender


class _Sender:
    """A process's queue, and the thread that empties it."""

    def __init__(
        self,
        connect: Callable[[], Callable[[Event], None]],
        queue_size: int,
        unsent: Callable[[Event], None],
    ):
        self.pid = os.getpid()
        self._connect = connect
        self._unsent = unsent
        self._events: queue.Queue[Event] = queue.Queue(queue_size)
        self._in_hand: Event | None = None
        threading.Thread(target=self._run, name="anchor-audit", daemon=True).start()

    def put(self, event: Event) -> None:
        try:
            self._events.put_nowait(event)
        except queue.Full:
            self._give_up(event, "too many wait already")

    def flush(self, seconds: float) -> None:
        """Wait until everything is sent, but not longer than that; the rest goes to the log."""
        if self.pid != os.getpid():
            return
        deadline = time.monotonic() + seconds
        while self._events.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.01)
        if self._in_hand is not None:
            # It may arrive after all; in doubt it is in both places.
            self._give_up(self._in_hand, "the process ends")
        while True:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return
            self._give_up(event, "the process ends")

    def _run(self) -> None:
        send: Callable[[Event], None] | None = None
        while True:
            event = self._in_hand = self._events.get()
            try:
                send = send or self._connect()
                send(event)
            except Exception as error:  # noqa: BLE001  # whatever a driver raises, nothing is lost
                # The text of an error may quote the URL, which has a password in it.
                self._give_up(event, type(error).__name__)
            finally:
                self._in_hand = None
                self._events.task_done()

    def _give_up(self, event: Event, why: str) -> None:
        LOG.error("an audit event could not be sent: %s", why)
        self._unsent(event)


def connector(url: str, topic: str) -> Callable[[], Callable[[Event], None]]:
    """What connects to a broker.

    Args:
        url: as oslo.messaging takes it, ``rabbit://user:password@host:5672/``.
        topic: of the notifications.

    Raises:
        ValueError: the URL names no driver there is.
    """
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[], default_config_dirs=[])
    try:
        # Makes no connection yet; a driver is found, or not.
        oslo_messaging.get_notification_transport(conf, url)
    except Exception as error:  # noqa: BLE001  # drivers raise what they like
        raise ValueError(f"is not usable: {type(error).__name__}") from None

    def connect() -> Callable[[Event], None]:
        transport = oslo_messaging.get_notification_transport(conf, url)
        target = oslo_messaging.Target(topic=f"{topic}.info")

        def send(event: Event) -> None:
            # What Notifier.info() does, but that swallows every error.
            message = {
                "message_id": str(uuid.uuid4()),
                "publisher_id": "anchor",
                "event_type": event.kind,
                "priority": "INFO",
                "payload": as_cadf(event),
                "timestamp": event.time.isoformat(),
            }
            transport._send_notification(target, {}, message, version=2.0, retry=1)

        return send

    return connect


def as_cadf(recorded: Event) -> dict[str, Any]:
    """The event in the form of DMTF's Cloud Auditing Data Federation, with all details attached."""
    document = event.Event(
        eventTime=recorded.time.isoformat(),
        name=recorded.kind,
        action=_ACTIONS.get(recorded.kind, cadftaxonomy.ACTION_CREATE),
        outcome=(
            cadftaxonomy.OUTCOME_FAILURE if recorded.reasons else cadftaxonomy.OUTCOME_SUCCESS
        ),
        initiator=resource.Resource(
            id=_identify("user", recorded.authority, recorded.user),
            typeURI=cadftaxonomy.SECURITY_ACCOUNT_USER,
            name=recorded.user,
            host=host.Host(address=recorded.address),
        ),
        target=resource.Resource(
            id=_identify("authority", recorded.authority),
            typeURI=cadftaxonomy.SERVICE_SECURITY,
            name=recorded.authority,
        ),
        observer=resource.Resource(
            id=_identify("anchor"), typeURI=cadftaxonomy.SERVICE_SECURITY, name="anchor"
        ),
        reason=(
            reason.Reason(reasonType="anchor", reasonCode="; ".join(recorded.reasons))
            if recorded.reasons
            else None
        ),
    )
    document.add_attachment(
        attachment.Attachment(
            typeURI="application/json", content=recorded.as_dict(), name="anchor.audit"
        )
    )
    found: dict[str, Any] = document.as_dict()
    return found


def _identify(*names: str) -> str:
    return str(uuid.uuid5(_NAMES, "\n".join(names)))
