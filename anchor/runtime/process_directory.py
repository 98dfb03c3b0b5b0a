"""The directory in which the processes of one service share files."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

from anchor.errors import ConfigurationError
from anchor.runtime import server


def prepare(configured: Path | None, config_json: Path) -> Path | None:
    """Create the directory for shared files; None if the default one cannot be used.

    Args:
        configured: ``metrics_directory`` in ``config.py``, whose files outlive the service.
        config_json: distinguishes the services of one user.

    Raises:
        ConfigurationError: the configured directory cannot be used.
    """
    if configured is not None:
        try:
            configured.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError.about(
                "metrics_directory", f"{configured}: {error.strerror}"
            ) from None
        if not os.access(configured, os.R_OK | os.W_OK | os.X_OK):
            raise ConfigurationError.about("metrics_directory", f"{configured} is not writable")
        return configured
    try:
        return make(find(config_json))
    except OSError:
        return None


def find(config_json: Path) -> Path:
    """The default directory of this service, which is valid while its first process runs."""
    leader = server.leader()
    digest = hashlib.sha256(str(config_json.absolute()).encode()).hexdigest()[:12]
    parent = Path(tempfile.gettempdir(), f"anchor-metrics-{os.getuid()}")
    return parent / f"{leader}_{start_time(leader)}-{digest}"


def make(directory: Path) -> Path:
    """Create a service's directory, and remove those of services that have ended.

    Raises:
        OSError: the directory cannot be created, or another user could change it.
    """
    parent = directory.parent
    parent.mkdir(mode=0o700, exist_ok=True)
    # Everyone may write to /tmp, so another user may have created it.
    _require_own(parent)
    for other in parent.iterdir():
        pid, _, started = other.name.split("-")[0].partition("_")
        if not pid.isdigit() or started != start_time(int(pid)):
            shutil.rmtree(other, ignore_errors=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    _require_own(directory)
    return directory


def keep(directory: Path) -> None:
    """Make the files of a service look used, without a change of their contents' times.

    systemd-tmpfiles deletes files in /tmp that were neither read nor changed for ten days, even if
    a process has them open or locked.

    Raises:
        OSError: the directory is gone.
    """
    for path in directory.iterdir():
        with contextlib.suppress(FileNotFoundError):
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def _require_own(directory: Path) -> None:
    status = directory.lstat()
    is_private = status.st_uid == os.getuid() and not status.st_mode & 0o077
    if not stat.S_ISDIR(status.st_mode) or not is_private:
        raise NotADirectoryError(
            errno.ENOTDIR, "not a directory of this user alone", str(directory)
        )


def start_time(pid: int) -> str:
    """When a process started, in clock ticks since boot: process ids are reused."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
