"""The interface of the counts of failed authentications."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol


class FailureCount(NamedTuple):
    """How often authentication failed, and for how many seconds these failures still count."""

    failures: int
    seconds: float


class FailureCounts(Protocol):
    """The counts of all processes and nodes."""

    def read(self, windows: Mapping[str, float]) -> Mapping[str, FailureCount]:
        """The counts of those keys that have one.

        Args:
            windows: for how many seconds the failures under each key count, from the first one on.

        Raises:
            DatabaseUnavailable: the counts cannot be read.
        """

    def add(self, windows: Mapping[str, float]) -> Mapping[str, FailureCount]:
        """Count a failure under each key, and return the new counts.

        Args:
            windows: for how many seconds the failures under each key count, from the first one on.

        Raises:
            DatabaseUnavailable: the failure cannot be counted.
        """

    def remove(self, keys: Collection[str]) -> None:
        """Forget the counts of keys.

        Raises:
            DatabaseUnavailable: the counts cannot be changed.
        """
