"""Where the processes of one service meet to count, when nobody configured a place."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from anchor.errors import ConfigurationError


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
        return _passing(config_json)
    except OSError:
        return None


def _passing(config_json: Path) -> Path:
    """A directory of this service's own, as long as its first process lives."""
    parent = Path(tempfile.gettempdir(), f"anchor-metrics-{os.getuid()}")
    parent.mkdir(mode=0o700, exist_ok=True)
    found = parent.lstat()
    # Everybody may write to /tmp, so somebody may have been there before.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise NotADirectoryError(str(parent))
    for other in parent.iterdir():
        pid, _, started = other.name.split("-")[0].partition("_")
        if not pid.isdigit() or started != _started(int(pid)):
            shutil.rmtree(other, ignore_errors=True)
    leader = _leader()
    which = hashlib.sha256(str(config_json.absolute()).encode()).hexdigest()[:12]
    directory = parent / f"{leader}_{_started(leader)}-{which}"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def _leader() -> int:
    """The process that all workers of this service descend from."""
    with contextlib.suppress(ImportError, AttributeError):
        # It exists inside of uwsgi only; elsewhere a directory may be taken for it.
        uwsgi = importlib.import_module("uwsgi")
        return int(uwsgi.masterpid()) or os.getpid()
    if os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/"):
        # With these settings its master loads the service; otherwise each worker does.
        settings = sys.modules.get("anchor.gunicorn")
        return settings.MASTER if settings else os.getppid()
    return os.getpid()


def _started(pid: int) -> str:
    """When a process started, as /proc has it; process ids are given out again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
