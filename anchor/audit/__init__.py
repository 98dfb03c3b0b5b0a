"""The record of what was asked, and of what was answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from anchor.audit.events import Event
from anchor.audit.log import LogTrail
from anchor.errors import ConfigurationError


class Trail(Protocol):
    """Where events go."""

    def record(self, event: Event) -> None:
        """Keep the event; raises AuditError if it cannot be kept, and then nothing is issued."""


class Nowhere:
    """Keeps nothing, for a configuration that was loaded offline and can do nothing either."""

    def record(self, event: Event) -> None:
        """Forget the event."""


def configure(section: Mapping[str, Any], *, offline: bool = False) -> Trail:
    """The trail that the ``audit`` section of the configuration describes.

    Offline its options are proved, and nothing is recorded.

    Raises:
        ConfigurationError: there is no such target, or it has no such option.
    """
    if section.get("target", "log") != "log":
        raise ConfigurationError.about("target", "should be 'log'")
    for option in section:
        if option != "target":
            raise ConfigurationError.about("", f"unknown option {option!r}")
    return Nowhere() if offline else LogTrail()
