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
import uuid
import warnings
from collections.abc import Callable
from typing import Any, Protocol

from oslo_config import cfg
from pycadf import attachment, cadftaxonomy, event, host, reason, resource

from anchor.audit.events import AUTHENTICATION, Event
from anchor.errors import AuditError
from anchor.logs.bounds import shorten
from anchor.runtime import threads

with warnings.catch_warnings():
    # It imports eventlet, with many warnings, for a way of running servers that nobody here uses.
    warnings.simplefilter("ignore")
    import oslo_messaging

LOG = logging.getLogger(__name__)

# Names in CADF are identified by UUIDs: the same name always by the same one.
_NAMES = uuid.uuid5(uuid.NAMESPACE_URL, "https://opendev.org/anchor")
# The group of the driver's options.
_RABBIT = "oslo_messaging_rabbit"
_ACTIONS = {AUTHENTICATION: cadftaxonomy.ACTION_AUTHENTICATE}


class Bus(Protocol):
    """A connection to a broker."""

    def send(self, event: Event) -> None:
        """Send an event; raises whatever the driver raises if it did not arrive."""

    def close(self) -> None:
        """End the connection."""


class MessagingSink:
    """Hands events to a thread that sends them.

    Args:
        connect: to the broker, or raise; called in the thread, so after any fork.
        queue_size: how many events may wait to be sent.
        flush_seconds: how long the end of a process waits for them.
        unsent: keeps an event that could not be sent, or raises AuditError.
        prove: raises ConfigurationError if that would lose events.
    """

    def __init__(
        self,
        connect: Callable[[], Bus],
        queue_size: int,
        flush_seconds: float,
        unsent: Callable[[Event], None],
        prove: Callable[[], None] = lambda: None,
    ):
        self._check = prove
        self._connect = connect
        self._queue_size = queue_size
        self._flush_seconds = flush_seconds
        self._unsent = unsent
        self._starting = threading.Lock()
        self._sender: _Sender | None = None

    def record(self, event: Event) -> None:
        """Queue the event; returns at once, whatever has become of the broker.

        Raises:
            AuditError: the queue is full, and the log cannot keep the event either.
        """
        sender = self._sender
        if sender is None or sender.pid != os.getpid():
            sender = self._start()
        sender.put(event)

    def check(self) -> None:
        """Return if the log keeps what cannot be sent; raises ConfigurationError if not."""
        self._check()

    def close(self) -> None:
        """Send what waits, as far as there is time for it; the rest goes to the log."""
        if self._sender is not None and self._sender.pid == os.getpid():
            self._sender.close(self._flush_seconds)

    def _start(self) -> _Sender:
        with self._starting:
            if self._sender is None or self._sender.pid != os.getpid():
                self._sender = _Sender(self._connect, self._queue_size, self._unsent)
                atexit.register(self.close)
            return self._sender


class _Sender:
    """A process's queue, and the thread that empties it."""

    def __init__(
        self, connect: Callable[[], Bus], queue_size: int, unsent: Callable[[Event], None]
    ):
        self.pid = os.getpid()
        self._connect = connect
        self._unsent = unsent
        self._events: queue.Queue[Event] = queue.Queue(queue_size)
        self._in_hand: Event | None = None
        self._ending = threading.Event()
        self._thread = threads.start(self._run, "anchor-audit")

    def put(self, event: Event) -> None:
        try:
            self._events.put_nowait(event)
        except queue.Full:
            self._give_up(event, "too many wait already")

    def close(self, seconds: float) -> None:
        self._ending.set()
        self._thread.join(seconds)
        if not self._thread.is_alive():
            return
        in_hand = self._in_hand
        if in_hand is not None:
            # It may arrive after all; in doubt it is in both places.
            self._give_up_at_the_end(in_hand)
        while True:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return
            self._give_up_at_the_end(event)

    def _run(self) -> None:
        bus: Bus | None = None
        while True:
            try:
                event = self._in_hand = self._events.get(timeout=POLL_SECONDS)
            except queue.Empty:
                # Something may have come since, but nothing does after the end was asked for.
                if self._ending.is_set() and self._events.empty():
                    break
                continue
            while True:
                try:
                    bus = bus or self._connect()
                    bus.send(event)
                except Exception as error:  # noqa: BLE001  # whatever a driver raises
                    # The text of an error may quote the URL, which has a password in it.
                    if not self._kept(event, type(error).__name__):
                        # Neither the broker nor the log takes it; both may come back. Meanwhile
                        # the queue fills, and from then on requests fail.
                        if not self._ending.wait(RETRY_SECONDS):
                            continue
                        LOG.error("an audit event is lost: the process ends")
                break
            self._in_hand = None
        if bus is not None:
            bus.close()

    def _kept(self, event: Event, why: str) -> bool:
        """True if the log has the event."""
        try:
            self._give_up(event, why)
        except AuditError as error:
            LOG.error("an audit event could not be logged either: %s", error)
            return False
        return True

    def _give_up_at_the_end(self, event: Event) -> None:
        if not self._kept(event, "the process ends"):
            LOG.error("an audit event is lost: the process ends")

    def _give_up(self, event: Event, why: str) -> None:
        LOG.error("an audit event could not be sent: %s", why)
        self._unsent(event)


POLL_SECONDS = 0.2
RETRY_SECONDS = 2.0


def connector(url: str, topic: str) -> Callable[[], Bus]:
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
    return lambda: OsloBus(oslo_messaging.get_notification_transport(conf, url), topic)


class OsloBus:
    """Sends events as notifications of priority INFO."""

    def __init__(self, transport: Any, topic: str):
        self._transport = transport
        self._target = oslo_messaging.Target(topic=f"{topic}.info")

    def send(self, event: Event) -> None:
        """Send it, with one more attempt when the connection turns out to be gone."""
        message = {
            "message_id": str(uuid.uuid4()),
            "publisher_id": "anchor",
            "event_type": event.kind,
            "priority": "INFO",
            "payload": as_cadf(event),
            "timestamp": event.time.isoformat(),
        }
        try:
            self._send(message)
        except RuntimeError as error:
            # To be sure that the broker is there, RabbitMQ's driver starts a thread with its first
            # connection.  Python 3.12.0 to 3.12.2 have none any more for a process that ends.
            if "shutdown" not in str(error) or _RABBIT not in self._transport.conf:
                raise
            self._transport.conf.set_override("heartbeat_timeout_threshold", 0, group=_RABBIT)
            self._send(message)

    def _send(self, message: dict[str, Any]) -> None:
        # What Notifier.info() does; but that swallows errors, and what is lost has to be known.
        self._transport._send_notification(self._target, {}, message, version=2.0, retry=1)

    def close(self) -> None:
        """End the connection."""
        self._transport.cleanup()


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
            reason.Reason(reasonType="anchor", reasonCode="; ".join(map(shorten, recorded.reasons)))
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
