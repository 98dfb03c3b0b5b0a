"""When the processes of a service loaded their configuration, and whether a later load failed.

The service goes on with the old configuration if it cannot load the new one.  The process that
fails may end, so it leaves a file for the processes that serve.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import logging
import os
import time
from pathlib import Path

from anchor.runtime import process_directory
from anchor.timestamps import timestamp

LOG = logging.getLogger(__name__)

REMIND_SECONDS = 600.0
"""The time between two lines in the log."""

LOOK_SECONDS = 5.0
"""The time after which a process looks again whether a load has failed."""

KEEP_SECONDS = 3600.0
"""The time after which a process keeps the files again from being deleted as unused."""


class LoadRecord:
    """The loads of all processes of a service.

    Args:
        directory: for the files of the service; None to know the loads of this process only.
    """

    def __init__(self, directory: Path | None = None):
        self._directory = directory
        self._loaded: float | None = None
        self._next_look = 0.0
        self._next_keep = 0.0

    @classmethod
    def of_service(cls, config_json: Path) -> LoadRecord:
        """The record in the directory that the processes of this service share."""
        with contextlib.suppress(OSError):
            return cls(process_directory.make(process_directory.find(config_json)))
        return cls()

    def succeeded(self) -> None:
        """Record that this process has loaded the configuration."""
        self._loaded = time.time()
        if self._directory is not None:
            with contextlib.suppress(OSError):
                (self._directory / _LOADED).touch()
                for name in (_FAILED, _REMINDED):
                    (self._directory / name).unlink(missing_ok=True)

    def failed(self) -> None:
        """Record that a running service could not load its configuration."""
        if self._directory is not None and self._time(_LOADED) is not None:
            with contextlib.suppress(OSError):
                # The time of the first failure stays.
                (self._directory / _FAILED).touch(exist_ok=False)

    def loaded_at(self) -> datetime.datetime | None:
        """When a process of the service last loaded the configuration."""
        return _moment(self._time(_LOADED) or self._loaded)

    def failed_since(self) -> datetime.datetime | None:
        """When the first load failed after the last one that succeeded; None if none did."""
        return _moment(self._time(_FAILED))

    def remind(self) -> None:
        """Log a failure, in one process of the service at a time, every REMIND_SECONDS.

        Each request calls this, so it also keeps the service's files from being deleted as unused.
        """
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        if self._directory is not None and now >= self._next_keep:
            self._next_keep = now + KEEP_SECONDS
            with contextlib.suppress(OSError):
                process_directory.keep(self._directory)
        since = self.failed_since()
        if since is not None and self._is_time_to_remind():
            LOG.error(
                "the new configuration could not be loaded at %s, so the service still has the old "
                "one: see the errors with `anchor check`, correct them, and reload",
                timestamp(since),
            )

    def _is_time_to_remind(self) -> bool:
        directory = self._directory
        if directory is None:
            return False
        try:
            with (directory / _REMINDED).open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                status = os.fstat(file.fileno())
                # The file is empty until the first line was logged.
                if status.st_size and time.time() - status.st_mtime < REMIND_SECONDS:
                    return False
                file.write(b".")
        except OSError:
            # Another process reminds.
            return False
        return True

    def _time(self, name: str) -> float | None:
        if self._directory is not None:
            with contextlib.suppress(OSError):
                return (self._directory / name).stat().st_mtime
        return None


_LOADED, _FAILED, _REMINDED = "loaded", "load-failed", "load-failed-logged"


def _moment(seconds: float | None) -> datetime.datetime | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.UTC)
