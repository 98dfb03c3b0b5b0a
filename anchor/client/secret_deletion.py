"""Deletion of the file with the first secret, when no renewal needs it any more."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from anchor.client import configuration, files, trust
from anchor.client.errors import Misconfigured
from anchor.client.outcome import one_line
from anchor.client.tracking import StateDirectory, TrackedCertificate
from anchor.errors import AnchorError


@dataclass(frozen=True)
class Deletion:
    """The result: at most one of its attributes is set.

    Attributes:
        deleted: the file that was deleted.
        kept: a phrase that says why the file is still needed.
        problem: a sentence that says why it cannot be deleted.
    """

    deleted: Path | None = None
    kept: str = ""
    problem: str = ""

    @property
    def done(self) -> str:
        """A phrase for the outcome of the renewal; may be empty."""
        return f"deleted {self.deleted}" if self.deleted else self.kept


def delete_unneeded_secret(tracked: TrackedCertificate, state: StateDirectory) -> Deletion:
    """Delete the file of a certificate's secret if that is configured and nothing needs it.

    A certificate needs the secret until it was renewed with the certificate before it.

    Args:
        tracked: the certificate, which was just renewed.
        state: the tracked certificates; others that use the file are unknown.
    """
    try:
        client = configuration.load_for(tracked.spec, needs_secret=False)
        path = client.secret_path if client.delete_secret else None
        if path is None or not os.path.lexists(path):
            return Deletion()
        needed_by = [name for name in state.names() if _may_need(state, name, path)]
        if needed_by:
            return Deletion(kept=f"kept {path} for {', '.join(needed_by)}")
        delete_secret(path)
    except OSError as error:
        return Deletion(problem=f"the secret was not deleted: {error.filename}: {error.strerror}")
    except AnchorError as error:
        return Deletion(problem=f"the secret was not deleted: {one_line(error)}")
    return Deletion(deleted=path)


def delete_secret(path: Path) -> None:
    """Delete the file of a secret, durably.

    Raises:
        AnchorError: another user could change the path, or it is no file.
        OSError: the file cannot be deleted.
    """
    # Otherwise another user could let root delete another file.
    trust.require(path)
    if not stat.S_ISREG(path.lstat().st_mode):
        raise Misconfigured(f"{path} is a link, or no file; delete what it leads to by hand")
    path.unlink(missing_ok=True)
    files.sync_directory(path.parent)


def _may_need(state: StateDirectory, name: str, path: Path) -> bool:
    try:
        tracked = state.read(name)
        client = configuration.load_for(tracked.spec, needs_secret=False)
    except AnchorError:
        # It cannot be told, so it may.
        return True
    if client.secret_path is None or not _is_same(client.secret_path, path):
        return False
    return not client.renew_with_certificate or tracked.history.obtained_with != "certificate"


def _is_same(path: Path, other: Path) -> bool:
    return os.path.realpath(path) == os.path.realpath(other)
