"""Writing files so that a crash leaves either the old one or the new one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def make_directory(path: Path) -> None:
    """Make a directory and those above it, writable by their owner only, whatever the umask."""
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(mode=0o755, exist_ok=True)


def write_new(path: Path, contents: bytes, mode: int, owner: int = -1, group: int = -1) -> None:
    """Write a new file, which only its owner can read until it has its mode."""
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        if (owner, group) != (-1, -1):
            os.fchown(file.fileno(), owner, group)
        os.fchmod(file.fileno(), mode)
        file.write(contents)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, contents: bytes, mode: int) -> None:
    """Put contents under a name, whole or not at all."""
    passing = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        write_new(passing, contents, mode)
        passing.rename(path)
    except BaseException:
        passing.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def point(link: Path, target: str) -> None:
    """Let a symbolic link point somewhere else, without a moment in which it does not exist."""
    passing = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
    try:
        passing.symlink_to(target)
        passing.rename(link)
    except BaseException:
        passing.unlink(missing_ok=True)
        raise
    sync_directory(link.parent)


def sync_directory(path: Path) -> None:
    """A new name is on disk only once its directory is."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
