"""Where the processes of one service meet, when nobody configured a place."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from anchor.errors import ConfigurationError
from anchor.runtime import server


def prepare(configured: Path | None, config_json: Path) -> Path | None:
    """The directory to count in, made if it is not there; None if there can be none.

    Args:
        configured: what ``config.py`` says; counts in it outlive the service.
        config_json: tells services of one user apart.

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
    """The directory that this service alone has, as long as its first process lives."""
    leader = server.leader()
    which = hashlib.sha256(str(config_json.absolute()).encode()).hexdigest()[:12]
    parent = Path(tempfile.gettempdir(), f"anchor-metrics-{os.getuid()}")
    return parent / f"{leader}_{start_time(leader)}-{which}"


def make(directory: Path) -> Path:
    """Make that directory if it is not there, and remove those of services that have ended.

    Raises:
        OSError: it cannot be made, or others than this user could have a hand in it.
    """
    parent = directory.parent
    parent.mkdir(mode=0o700, exist_ok=True)
    # Everybody may write to /tmp, so somebody may have been there before.
    _require_own(parent)
    for other in parent.iterdir():
        pid, _, started = other.name.split("-")[0].partition("_")
        if not pid.isdigit() or started != start_time(int(pid)):
            shutil.rmtree(other, ignore_errors=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    _require_own(directory)
    return directory


def _require_own(directory: Path) -> None:
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise NotADirectoryError(
            errno.ENOTDIR, "not a directory of this user alone", str(directory)
        )


def start_time(pid: int) -> str:
    """When a process started, as /proc has it; process ids are given out again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
