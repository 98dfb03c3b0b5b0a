"""CADF events over oslo.messaging.

Import this module only if ``audit.target`` is ``messaging``: it needs ``anchor[messaging]``.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable
from typing import Any

from oslo_config import cfg
from pycadf import attachment, cadftaxonomy, event, host, reason, resource

from anchor.audit.events import AUTHENTICATION, REVOCATION, Event
from anchor.audit.messaging_sink import Bus
from anchor.logs.bounds import shorten

with warnings.catch_warnings():
    # It imports eventlet, which warns a lot, for a kind of server that Anchor does not use.
    warnings.simplefilter("ignore")
    import oslo_messaging

# CADF identifies resources by UUIDs; a UUID of version 5 is always the same for a name.
_NAMES = uuid.uuid5(uuid.NAMESPACE_URL, "https://opendev.org/anchor")
# The group of options of the RabbitMQ driver.
_RABBIT = "oslo_messaging_rabbit"
_ACTIONS = {
    AUTHENTICATION: cadftaxonomy.ACTION_AUTHENTICATE,
    REVOCATION: cadftaxonomy.ACTION_DELETE,
}


def connector(url: str, topic: str) -> Callable[[], Bus]:
    """Return a function that connects to a broker.

    Args:
        url: the broker, for oslo.messaging: ``rabbit://user:password@host:5672/``.
        topic: the topic of the notifications.

    Raises:
        ValueError: no installed driver accepts the URL.
    """
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[], default_config_dirs=[])
    try:
        # This finds the driver and does not connect yet.
        oslo_messaging.get_notification_transport(conf, url)
    except Exception as error:  # noqa: BLE001  # drivers raise errors of any type
        raise ValueError(f"is not usable: {type(error).__name__}") from None
    return lambda: OsloBus(oslo_messaging.get_notification_transport(conf, url), topic)


class OsloBus:
    """Sends events as notifications of priority INFO."""

    def __init__(self, transport: Any, topic: str):
        self._transport = transport
        self._target = oslo_messaging.Target(topic=f"{topic}.info")

    def send(self, event: Event) -> None:
        """Send the event; try once more if the connection is lost."""
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
            # RabbitMQ's driver starts a heartbeat thread with its first connection.  Python 3.12.0
            # to 3.12.2 start no threads while a process ends.
            if "shutdown" not in str(error) or _RABBIT not in self._transport.conf:
                raise
            self._transport.conf.set_override("heartbeat_timeout_threshold", 0, group=_RABBIT)
            self._send(message)

    def _send(self, message: dict[str, Any]) -> None:
        # Not Notifier.info(), which ignores errors: a lost event has to be noticed.
        self._transport._send_notification(self._target, {}, message, version=2.0, retry=1)

    def close(self) -> None:
        """Close the connection."""
        self._transport.cleanup()


def as_cadf(recorded: Event) -> dict[str, Any]:
    """The event in CADF (DMTF DSP0262), with all fields as an attachment."""
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
    payload: dict[str, Any] = document.as_dict()
    return payload


def _identify(*names: str) -> str:
    return str(uuid.uuid5(_NAMES, "\n".join(names)))
